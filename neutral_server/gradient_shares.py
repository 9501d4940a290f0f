"""The gradient at the cut as additive shares: what no party learns.

The server draws a seed for every party but the first of the plan; a party's share is the keystream of its seed at the step's
position, and never travels. The first party gets 2^s dL/dz as words less all these keystreams: it is uniform to it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kernel.fixed_point import FixedPoint
from kernel.randomness import Keystream, SecretKey, SecureRandomness, StreamPosition
from kernel.ring import RingArray


class GradientShares:
    """Of one run generation.

    Args:
      ring: of the words; shift: s.
    """

    def __init__(self, parties: Sequence[str], ring: FixedPoint, shift: int) -> None:
        randomness = SecureRandomness()
        self.first, self.ring, self._scale = parties[0], ring, 2.0**shift
        self._seeds: dict[str, SecretKey] = {party: randomness.key() for party in parties[1:]}
        self._keystreams = [Keystream(seed) for seed in self._seeds.values()]

    def seed(self, party: str) -> bytes:
        """The party's own; empty for the first."""
        return self._seeds.get(party, b"")

    def share_of_first(self, gradient: NDArray[np.float32], position: StreamPosition) -> RingArray:
        """Words of the gradient's shape for the first party.

        Raises:
          FixedPointError: a gradient that the ring cannot hold.
        """
        words = self.ring.encode(gradient.astype(np.float64) * self._scale, "dL/dz at the cut")
        for keystream in self._keystreams:
            keystream.subtract_from(words, position)
        return words
