"""Zero-masks: uniform pads that sum to zero over all parties.

Every pair of parties shares a keystream; the one whose name sorts first adds it, the other subtracts it. Summed at the
neutral server the pads cancel; any proper subset of masked shares is uniform (Bonawitz et al. 2017, section 4).
"""

from collections.abc import Mapping

import numpy as np

from kernel.randomness import Keystream, StreamPosition
from kernel.ring import RingArray, ring_dtype


class ZeroMask:
    """One party's side of the zero-mask. A position is used for one message only; the session's step ids see to that."""

    def __init__(self, name: str, peers: Mapping[str, Keystream]) -> None:
        self._added = [keystream for peer, keystream in peers.items() if name < peer]
        self._subtracted = [keystream for peer, keystream in peers.items() if name > peer]

    def pad(self, shape: tuple[int, ...], bits: int, position: StreamPosition) -> RingArray:
        """The pad of one message, made ahead of need: nothing in it depends on rows or weights."""
        total = np.zeros(shape, ring_dtype(32 if bits == 32 else 64))
        self.apply(total, position)
        return total

    def apply(self, words: RingArray, position: StreamPosition) -> None:
        """Add the pad in place."""
        for keystream in self._added:
            keystream.add_to(words, position)
        for keystream in self._subtracted:
            keystream.subtract_from(words, position)
