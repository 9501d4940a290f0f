"""Resident memory of processes while they work, from /proc/<pid>/status: VmRSS now, VmHWM the most there ever was."""

import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from kernel.errors import BadInputError, PeerError

_PROC = Path("/proc")
_SAMPLE_SECONDS = 0.1
_JOIN_SECONDS = 5.0


@dataclass(frozen=True)
class Resident:
    """Bytes of one process: resident now, and the peak of its life so far."""

    now: int
    peak: int


def read_resident(process_id: int, proc: Path = _PROC) -> Resident:
    """What the kernel says of a process.

    Raises:
      BadInputError: this system has no /proc with memory in it; PeerError: there is no such process.
    """
    check_proc(proc)
    try:
        lines = (proc / str(process_id) / "status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        raise PeerError(f"process {process_id} is gone; look at the log of its role") from None
    fields = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    if "VmRSS" not in fields or "VmHWM" not in fields:
        raise PeerError(f"process {process_id} has ended; look at the log of its role")
    return Resident(*(1024 * int(fields[name][0]) for name in ("VmRSS", "VmHWM")))


def check_proc(proc: Path = _PROC) -> None:
    """Raises BadInputError where memory of processes cannot be read this way."""
    try:
        text = (proc / "self" / "status").read_text(encoding="ascii", errors="replace")
    except OSError:
        text = ""
    if "VmHWM:" not in text:
        raise BadInputError("this system has no /proc/<pid>/status with VmRSS and VmHWM; run this benchmark on Linux")


class MemoryWatch(AbstractContextManager["MemoryWatch"]):
    """Samples processes ten times a second from a thread of its own.

    Args:
      processes: id by role; must be alive when the watch starts.
    """

    def __init__(self, processes: Mapping[str, int], *, proc: Path = _PROC) -> None:
        self._processes, self._proc = dict(processes), proc
        self._series: dict[str, list[tuple[float, int]]] = {role: [] for role in self._processes}
        self._started = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory watch", daemon=True)

    def __enter__(self) -> "MemoryWatch":
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_JOIN_SECONDS)

    @property
    def seconds(self) -> float:
        """Since the watch was made."""
        return time.monotonic() - self._started

    def now(self) -> dict[str, Resident]:
        """Every role at this moment."""
        return {role: read_resident(process, self._proc) for role, process in self._processes.items()}

    def series(self, role: str, points: int) -> list[tuple[float, int]]:
        """(seconds, resident bytes) over time, at most ``points``: the largest of each stretch, so no peak is lost."""
        samples = list(self._series[role])
        stride = -(-len(samples) // points)
        return [max(samples[start : start + stride], key=_bytes) for start in range(0, len(samples), max(1, stride))]

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLE_SECONDS):
            try:
                self._sample()
            except PeerError:
                return  # a role has ended; whoever follows the run says so

    def _sample(self) -> None:
        for role, process in self._processes.items():
            self._series[role].append((self.seconds, read_resident(process, self._proc).now))


def _bytes(sample: tuple[float, int]) -> int:
    return sample[1]
