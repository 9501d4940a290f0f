"""Left-overs are known by name and pid: a dead run's go, a living one's stay."""

import subprocess
import sys

import pytest

from coordinator.local.links import namespace_names
from coordinator.local.links.namespace_names import (
    device_name,
    hub_name,
    party_name,
    probe_name,
    remove_left_overs,
    remove_namespace,
)
from coordinator.local.links.namespaces import MAX_PARTIES
from coordinator.local.links.traffic_control import run
from kernel.errors import BadInputError, TertiumError


@pytest.fixture
def sleeper():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def dead_pid():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def test_a_device_name_fits_the_kernels_fifteen_characters():
    largest_pid = 4_194_304
    assert len(device_name(largest_pid, "h", MAX_PARTIES - 1)) <= 15
    assert device_name(7, "o") == "tt7o"


def test_names_of_others_are_left_alone():
    known = {hub_name(7): 7, party_name(7, 12): 7, probe_name(7): 7}
    others = ["tertium-7", "tertium-x-hub", "my-tertium-7-hub", "tertium-7-hub2", ""]
    assert dict(namespace_names._owned(namespace_names._NAMESPACE, [*known, *others])) == known
    devices = {"tt7o": 7, "tt7h12": 7}
    assert dict(namespace_names._owned(namespace_names._DEVICE, [*devices, "tt7", "eth0", "btt7o"])) == devices


@pytest.mark.usefixtures("kernel_links")
def test_a_dead_runs_left_overs_go_and_a_living_ones_stay(sleeper, left_in_kernel):
    dead, living = dead_pid(), sleeper.pid
    try:
        for pid in (dead, living):
            run(["ip", "netns", "add", hub_name(pid)])
            run(["ip", "link", "add", "name", device_name(pid, "o"), "type", "veth"])
        assert hub_name(dead) in remove_left_overs()
        assert left_in_kernel(dead) == []
        assert left_in_kernel(living) == [
            hub_name(living),
            device_name(living, "o"),
        ]  # a device's peer has no name of ours
    finally:
        namespace_names.remove_all_of(living)
    assert left_in_kernel(living) == []


@pytest.mark.usefixtures("kernel_links")
def test_processes_of_a_dead_run_end_with_its_namespace():
    name = party_name(dead_pid(), 0)
    run(["ip", "netns", "add", name])
    command = ["ip", "netns", "exec", name, sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as role:
        role.stdout.readline()  # it runs
        remove_left_overs()
        assert role.wait(timeout=30) != 0


def test_a_left_over_that_cannot_be_removed(monkeypatch):
    def refuse(command, *, check=True):
        if check:
            raise TertiumError("`ip netns del` failed: busy")
        return ""

    monkeypatch.setattr(namespace_names, "run", refuse)
    with pytest.raises(BadInputError, match=r"left-over network namespace 'tertium-7-hub' cannot be removed .*busy"):
        remove_namespace(hub_name(7))
