"""Collects what the parties send for a step, and adds masked shares. Only the complete sum is ever decoded."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import StepError
from kernel.ring import RingArray


class Contributions:
    """One array of each party for one step; each contributes exactly once.

    A repeat with the same bytes is harmless, with other bytes it fails the run: one of the two is not what the party
    computed.
    """

    def __init__(self, parties: Iterable[str]) -> None:
        self._missing = set(parties)
        self._received: dict[str, NDArray[Any]] = {}

    @property
    def complete(self) -> bool:
        return not self._missing

    @property
    def missing(self) -> list[str]:
        """Parties that are still to send, in alphabetical order."""
        return sorted(self._missing)

    @property
    def received(self) -> Mapping[str, NDArray[Any]]:
        return self._received

    def add(self, party: str, array: NDArray[Any]) -> bool:
        """Take one array; false when this very array was taken before.

        Raises:
          StepError: another one was.
        """
        if party in self._received:
            if not np.array_equal(self._received[party], array):
                raise StepError(
                    f"{party!r} repeated a step with other bytes; the run stops, resume from the last barrier"
                )
            return False
        self._received[party] = array
        self._missing.discard(party)
        return True


class StepShares(Contributions):
    """The masked shares of one step and their sum."""

    def __init__(self, parties: Iterable[str]) -> None:
        super().__init__(parties)
        self._total: RingArray | None = None

    def add(self, party: str, array: RingArray) -> bool:
        """As for every contribution; ``array``: words, [rows, width]."""
        if not super().add(party, array):
            return False
        if self._total is None:
            self._total = array.copy()
        else:
            self._total += array
        return True

    def reconstruct(self) -> RingArray:
        """The words of the sum.

        Raises:
          StepError: a share is missing.
        """
        if self._missing or self._total is None:
            raise StepError(f"shares of {self.missing} are missing")
        return self._total
