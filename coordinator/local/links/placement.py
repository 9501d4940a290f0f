"""Where a local federation's processes run and under which addresses they find one another.

The default is loopback. A placement with shaped links (shaped_links.py) stands between the parties and the listening
roles; the daemons, their configs and their TLS are the same in every one. An address need not stand in a certificate:
a dialler checks the name of the role, not the host (kernel/wire/channel.py).
"""

import socket
from typing import Protocol

COORDINATOR, NEUTRAL_SERVER, OPERATOR = "coordinator", "neutral-server", "operator"


class Placement(Protocol):
    """What a local federation asks before it writes configs and starts processes. Roles are named as in certificates."""

    def command(self, role: str) -> tuple[str, ...]:
        """What stands before the command line of this role's process."""

    def listen(self, role: str) -> str:
        """``host:port`` at which a listening role listens."""

    def address(self, role: str, *, dialler: str) -> str:
        """``host:port`` under which ``dialler`` reaches the listening ``role``."""


class Loopback:
    """Every role on 127.0.0.1, each listening one on a port of its own."""

    def __init__(self) -> None:
        self._ports: dict[str, int] = {}

    def command(self, role: str) -> tuple[str, ...]:
        return ()

    def listen(self, role: str) -> str:
        if role not in self._ports:
            self._ports[role] = free_port()
        return f"127.0.0.1:{self._ports[role]}"

    def address(self, role: str, *, dialler: str) -> str:
        return self.listen(role)


def free_port() -> int:
    """A port free on loopback a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
