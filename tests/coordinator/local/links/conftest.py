"""What needs root and iproute2, and says so where it is skipped."""

import os

import pytest

from coordinator.local.links.namespaces import namespace_obstacle
from coordinator.local.links.traffic_control import run


@pytest.fixture(scope="session")
def kernel_links():
    """Network namespaces can be made here."""
    obstacle = namespace_obstacle()
    if obstacle:
        pytest.skip(f"no network namespaces: {obstacle}")


@pytest.fixture
def left_in_kernel():
    """Namespaces and devices that carry a pid, by default this process's."""

    def look(pid: int = os.getpid()) -> list[str]:
        namespaces = [line.split()[0] for line in run(["ip", "netns", "list"]).splitlines()]
        devices = [line.split(":")[1].strip().partition("@")[0] for line in run(["ip", "-o", "link"]).splitlines()]
        found = [name for name in namespaces if name.startswith(f"tertium-{pid}-")]
        return found + [name for name in devices if name.startswith(f"tt{pid}")]

    return look
