"""The rate of one direction of a link: who may send when. Virtual scheduling, the same arithmetic as a token bucket.

In any window of T seconds at most ``burst + rate * T`` bytes are let through, and a sender that waits never gets more
later than the burst.
"""

import threading
import time
from collections.abc import Callable


class TokenBucket:
    """Shared by all connections of one direction; any thread.

    Args:
      rate: bytes a second, None for no limit; burst: bytes let through at once after a rest.
      clock: seconds, never running backwards.
    """

    def __init__(self, rate: float | None, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock, self._clock = threading.Lock(), clock
        self._rate, self._burst = rate, burst
        self._busy_until = clock()

    def set_rate(self, rate: float | None, burst: int) -> None:
        with self._lock:
            self._rate, self._burst = rate, burst
            self._busy_until = self._clock()

    def reserve(self, size: int) -> float:
        """When the last of ``size`` bytes may leave, on the clock; the bytes count as sent."""
        with self._lock:
            now = self._clock()
            if self._rate is None:
                return now
            saved = self._burst / self._rate
            self._busy_until = max(self._busy_until, now - saved) + size / self._rate
            return max(now, self._busy_until)
