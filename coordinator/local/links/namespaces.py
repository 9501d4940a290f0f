"""Shaped links of the kernel: a network namespace a party, joined to a hub by a veth pair with a queue at either end.

    party 0 ── tt<pid>u0 ═══ tt<pid>h0 ─┐
    party 1 ── tt<pid>u1 ═══ tt<pid>h1 ─┤ hub: coordinator, neutral server ── tt<pid>c ═══ tt<pid>o ── operator, here
                 ↑ tbf        ↑ tbf     ┘                                      (not shaped)

The hub listens; parties have a route to the hub's end of their own pair and to nothing else. Addresses are of the range
for benchmarks of network devices (RFC 2544). Needs root; all names carry the pid (namespace_names.py).
"""

import ctypes
import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from ipaddress import IPv4Network
from pathlib import Path
from typing import TypeVar

from coordinator.local.links import namespace_names as names
from coordinator.local.links.placement import COORDINATOR, NEUTRAL_SERVER, OPERATOR
from coordinator.local.links.traffic_control import missing_tool, pair_commands, run, shape_commands
from kernel.errors import BadInputError, TertiumError

_PORTS = {COORDINATOR: 7442, NEUTRAL_SERVER: 7443}
_PREFIX = 30
_PARTY_NETWORKS = IPv4Network("198.19.0.0/16")
_OPERATOR_NETWORKS = IPv4Network("198.18.0.0/16")
MAX_PARTIES = 2 ** (_PREFIX - _PARTY_NETWORKS.prefixlen)
_NAMESPACE_FILES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_CONNECT_SECONDS = 10.0

Made = TypeVar("Made")


class Namespaces:
    """Links of one federation; made when the context is entered, gone when it is left; one at a time in a process.

    Args:
      parties: names as in the plan; delay_ms: added to every packet, each way, by netem.

    Raises:
      BadInputError: more parties than there are addresses.
    """

    kind = "namespaces"

    def __init__(self, parties: Sequence[str], *, delay_ms: float = 0.0) -> None:
        if len(parties) > MAX_PARTIES:
            raise BadInputError(
                f"{len(parties)} parties need as many /{_PREFIX} networks; {_PARTY_NETWORKS} has {MAX_PARTIES}: "
                "use fewer parties"
            )
        self._pid, self._delay = os.getpid(), delay_ms
        self._numbers = {party: number for number, party in enumerate(parties)}
        self._operator_side = _slice(_OPERATOR_NETWORKS, self._pid)

    def __enter__(self) -> "Namespaces":
        names.remove_left_overs()
        with ExitStack() as undo:
            undo.callback(names.remove_all_of, self._pid)
            self._make()
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        names.remove_all_of(self._pid)

    def command(self, role: str) -> tuple[str, ...]:
        number = self._numbers.get(role)
        namespace = names.hub_name(self._pid) if number is None else names.party_name(self._pid, number)
        return ("ip", "netns", "exec", namespace)

    def listen(self, role: str) -> str:
        return f"0.0.0.0:{_PORTS[role]}"  # every address of the hub: each party has its own there

    def address(self, role: str, *, dialler: str) -> str:
        if dialler == OPERATOR:
            host = self._operator_side[1]
        elif dialler in self._numbers:
            host = self._party_side(dialler)[0]
        else:
            host = "127.0.0.1"  # the coordinator to the neutral server, both in the hub
        return f"{host}:{_PORTS[role]}"

    def set_rate(self, rate_mbps: float | None) -> None:
        hub = names.hub_name(self._pid)
        for number in self._numbers.values():
            for namespace, end in ((hub, "h"), (names.party_name(self._pid, number), "u")):
                device = names.device_name(self._pid, end, number)
                remove, *add = shape_commands(namespace, device, rate_mbps, self._delay)
                run(remove, check=False)
                for command in add:
                    run(command)

    def connect(self, party: str) -> tuple[socket.socket, socket.socket]:
        host = self._party_side(party)[0]
        with _inside(names.hub_name(self._pid), lambda: socket.create_server((host, 0))) as listener:
            listener.settimeout(_CONNECT_SECONDS)
            address = listener.getsockname()
            namespace = names.party_name(self._pid, self._numbers[party])
            near = _inside(namespace, lambda: socket.create_connection(address, timeout=_CONNECT_SECONDS))
            far, _ = listener.accept()
        return near, far

    def _make(self) -> None:
        hub, number_of = names.hub_name(self._pid), self._numbers
        for namespace in (hub, *(names.party_name(self._pid, number) for number in number_of.values())):
            run(["ip", "netns", "add", namespace])
            run(["ip", "-n", namespace, "link", "set", "dev", "lo", "up"])
        operator, inside = self._operator_side
        self._pair(None, names.device_name(self._pid, "o"), hub, names.device_name(self._pid, "c"), operator, inside)
        for party, number in number_of.items():
            near, far = (names.device_name(self._pid, end, number) for end in "hu")
            self._pair(hub, near, names.party_name(self._pid, number), far, *self._party_side(party))

    def _pair(self, here: str | None, device: str, there: str, far_device: str, address: str, far_address: str) -> None:
        prefixed = {"address": f"{address}/{_PREFIX}", "far_address": f"{far_address}/{_PREFIX}"}
        for command in pair_commands(here, device, there, far_device, **prefixed):
            run(command)

    def _party_side(self, party: str) -> tuple[str, str]:
        """(the hub's address, the party's) on the party's pair."""
        return _slice(_PARTY_NETWORKS, self._numbers[party])


def namespace_obstacle() -> str:
    """Why links cannot be shaped by namespaces here, "" where they can: tried, not guessed."""
    if os.geteuid() != 0:
        return "only root can make them"
    tool = missing_tool()
    if tool:
        return f"`{tool}` is not installed (it is part of iproute2)"
    return _tried([*shape_commands(names.probe_name(os.getpid()), "lo", 1.0, 0.0)[1:], _probe_pair()])


def delay_obstacle() -> str:
    """Why namespaces cannot delay packets here, "" where they can."""
    if _tried(shape_commands(names.probe_name(os.getpid()), "lo", None, 1.0)[1:]):
        return "this kernel has no netem, which a delay needs"
    return ""


def _probe_pair() -> list[str]:
    return ["ip", "-n", names.probe_name(os.getpid()), "link", "add", "name", "one", "type", "veth"]


def _tried(commands: list[list[str]]) -> str:
    namespace = names.probe_name(os.getpid())
    run(["ip", "netns", "del", namespace], check=False)  # an older namesake's
    try:
        run(["ip", "netns", "add", namespace])
        for command in commands:
            run(command)
    except TertiumError as error:
        return str(error)
    finally:
        run(["ip", "netns", "del", namespace], check=False)
    return ""


def _slice(networks: IPv4Network, number: int) -> tuple[str, str]:
    """The two addresses of the ``number``-th small network (counted round)."""
    size = 2 ** (32 - _PREFIX)
    first = networks[(number * size) % networks.num_addresses + 1]
    return str(first), str(first + 1)


def _inside(namespace: str, make: Callable[[], Made]) -> Made:
    """What ``make`` returns when called within the namespace: a socket stays in the one it was made in.

    A namespace is entered by a thread, which ends with the call.

    Raises:
      TertiumError: the namespace cannot be entered, or the socket not made.
    """
    made: list[Made] = []
    failed: list[OSError] = []

    def enter() -> None:
        try:
            descriptor = os.open(_NAMESPACE_FILES / namespace, os.O_RDONLY | os.O_CLOEXEC)
            try:
                library = ctypes.CDLL(None, use_errno=True)  # os.setns is of Python 3.12
                if library.setns(descriptor, _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            finally:
                os.close(descriptor)
            made.append(make())
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=enter, name=f"in {namespace}")
    thread.start()
    thread.join()
    if failed:
        raise TertiumError(f"no connection within network namespace {namespace!r}: {failed[0].strerror or failed[0]}")
    return made[0]
