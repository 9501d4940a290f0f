"""Where a step's time goes: seconds per phase, marked in passing."""

import time
from collections import defaultdict


class PhaseClock:
    """Each `mark` books the time since the one before under a name. One thread at a time."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._last = time.perf_counter()

    def start(self) -> None:
        """From here on; what passed since the last mark is nobody's."""
        self._last = time.perf_counter()

    def mark(self, phase: str) -> None:
        now = time.perf_counter()
        self._seconds[phase] += now - self._last
        self._last = now

    def take(self) -> dict[str, float]:
        """Seconds per phase since the last take."""
        taken = dict(self._seconds)
        self._seconds.clear()
        return taken
