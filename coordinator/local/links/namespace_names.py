"""Names of what shaped links leave in the kernel: a fixed prefix and the pid, so that a killed run's can be told and removed."""

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator

from coordinator.local.links.traffic_control import run
from kernel.errors import BadInputError, TertiumError

_NAMESPACE = re.compile(r"tertium-(\d+)-(?:hub|p\d+|probe)")
_DEVICE = re.compile(r"tt(\d+)[a-z]\d*")
_END_SECONDS = 5.0


def hub_name(pid: int) -> str:
    return f"tertium-{pid}-hub"


def probe_name(pid: int) -> str:
    return f"tertium-{pid}-probe"


def party_name(pid: int, number: int) -> str:
    return f"tertium-{pid}-p{number}"


def device_name(pid: int, end: str, number: int | None = None) -> str:
    """``tt<pid><end><number>``: at most 15 characters, the kernel's limit, with 7 digits of pid and 5 of number.

    Args:
      end: one letter: o operator's side, c its other end, h hub's side of a party's pair, u the party's side.
    """
    return f"tt{pid}{end}{'' if number is None else number}"


def remove_left_overs() -> list[str]:
    """Remove what runs left that no longer live; returns the names of the namespaces.

    Raises:
      BadInputError: one cannot be removed; names it and the command.
    """
    found = []
    for name, pid in _namespaces():
        if not _alive(pid):
            remove_namespace(name)
            found.append(name)
    for device, pid in _devices():
        if not _alive(pid):
            run(["ip", "link", "del", "dev", device], check=False)  # goes with its namespace, some time later
    return found


def remove_all_of(pid: int) -> None:
    """Remove all that carries this pid, recorded or not: an interrupt may fall between a command and its record."""
    for device, owner in _devices():
        if owner == pid:
            run(["ip", "link", "del", "dev", device], check=False)
    for name, owner in _namespaces():
        if owner == pid:
            remove_namespace(name)


def remove_namespace(name: str) -> None:
    """End the processes that still run in it, which are a dead run's roles, and delete it."""
    try:
        _end_processes(name)
        run(["ip", "netns", "del", name])
    except TertiumError as error:
        raise BadInputError(
            f"a left-over network namespace {name!r} cannot be removed ({error}); remove it with `ip netns del {name}`"
        ) from None


def _namespaces() -> Iterator[tuple[str, int]]:
    yield from _owned(_NAMESPACE, [line.split()[0] for line in _lines(["ip", "netns", "list"])])


def _devices() -> Iterator[tuple[str, int]]:
    # "7: tt123o@if2: <BROADCAST…"
    names = [line.split(":")[1].strip().partition("@")[0] for line in _lines(["ip", "-o", "link", "show"])]
    yield from _owned(_DEVICE, names)


def _lines(command: list[str]) -> list[str]:
    return [line for line in run(command, check=False).splitlines() if line.strip()]


def _owned(pattern: re.Pattern[str], names: list[str]) -> Iterator[tuple[str, int]]:
    for name in names:
        match = pattern.fullmatch(name)
        if match:
            yield name, int(match[1])


def _alive(pid: int) -> bool:
    """Whether a process of that number lives; this one counts as dead: what carries its pid is an older namesake's."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True


def _end_processes(namespace: str) -> None:
    for kind in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + _END_SECONDS
        for pid in _processes(namespace):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, kind)
        while _processes(namespace) and time.monotonic() < deadline:
            time.sleep(0.02)  # not our children: nothing to wait on


def _processes(namespace: str) -> list[int]:
    """Processes within; one that has ended and was not waited for is in no namespace any more."""
    pids = [int(word) for word in run(["ip", "netns", "pids", namespace], check=False).split()]
    return [pid for pid in pids if pid != os.getpid()]
