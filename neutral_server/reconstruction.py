"""Adds the parties' masked shares of z1. Only the complete sum is ever decoded."""

from collections.abc import Iterable

from kernel.errors import StepError
from kernel.ring import RingArray


class StepShares:
    """The shares of one step; each party contributes exactly once.

    A repeat with the same bytes is harmless, with other bytes it fails the run: one of the two is not what the party
    computed.
    """

    def __init__(self, parties: Iterable[str]) -> None:
        self._missing = set(parties)
        self._received: dict[str, bytes] = {}
        self._total: RingArray | None = None

    @property
    def complete(self) -> bool:
        return not self._missing

    def add(self, party: str, words: RingArray, payload: bytes) -> None:
        """Add one share, [batch, width], unless `repeated` knows it."""
        if self.repeated(party, payload):
            return
        self._received[party] = payload
        self._missing.discard(party)
        if self._total is None:
            self._total = words.copy()
        else:
            self._total += words

    def reconstruct(self) -> RingArray:
        """The words of z1.

        Raises:
          StepError: a share is missing.
        """
        if self._missing or self._total is None:
            raise StepError(f"shares of {sorted(self._missing)} are missing")
        return self._total

    def repeated(self, party: str, payload: bytes) -> bool:
        """Whether this very share was already taken.

        Raises:
          StepError: another one was.
        """
        if party not in self._received:
            return False
        if self._received[party] != payload:
            raise StepError(f"{party!r} repeated a step with other bytes; the run stops, resume from the last barrier")
        return True
