"""Adds the parties' masked shares of z1. Only the complete sum is ever decoded."""

from collections.abc import Iterable

import numpy as np

from kernel.errors import StepError
from kernel.ring import RingArray


class StepShares:
    """The shares of one step; each party contributes exactly once.

    A repeat with the same bytes is harmless, with other bytes it fails the run: one of the two is not what the party
    computed.
    """

    def __init__(self, parties: Iterable[str]) -> None:
        self._missing = set(parties)
        self._received: dict[str, RingArray] = {}
        self._total: RingArray | None = None

    @property
    def complete(self) -> bool:
        return not self._missing

    def add(self, party: str, words: RingArray) -> bool:
        """Add one share, [batch, width]; false when this very share was taken before.

        Raises:
          StepError: another one was.
        """
        if party in self._received:
            if not np.array_equal(self._received[party], words):
                raise StepError(
                    f"{party!r} repeated a step with other bytes; the run stops, resume from the last barrier"
                )
            return False
        self._received[party] = words
        self._missing.discard(party)
        if self._total is None:
            self._total = words.copy()
        else:
            self._total += words
        return True

    def reconstruct(self) -> RingArray:
        """The words of z1.

        Raises:
          StepError: a share is missing.
        """
        if self._missing or self._total is None:
            raise StepError(f"shares of {sorted(self._missing)} are missing")
        return self._total
