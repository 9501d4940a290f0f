"""A party's gradient of distance as a masked share: the neutral server learns the sum over parties, and no addend.

1. the defender's gradient at each row of h1 (defender.py), words of kernel.defender_plan.defender_ring
2. words + zero-mask, from keystreams of each pair of parties that hide nothing else ("defender-mask")

Any set of shares that lacks one party's is uniform and independent of that party's rows.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kernel.batch_order import RowIndices
from kernel.defender_plan import defender_ring
from kernel.errors import FixedPointError
from kernel.masks import ZeroMask
from kernel.randomness import Keystream, StreamPosition, derive_key
from kernel.ring import RingArray
from party.defender import Defender
from party.first_layer.ahead import Ahead
from party.membership import Membership
from party.peer_links import PeerLinks


class DefenderShares:
    """A defender and the masks of what it sends."""

    def __init__(self, defender: Defender, membership: Membership, links: PeerLinks) -> None:
        run, generation = membership.run, membership.generation
        streams = {
            name: Keystream(derive_key(link.pairwise, run, generation, "defender-mask"))
            for name, link in links.links.items()
        }
        self.defender = defender
        self.ring = defender_ring(defender.spec.objective, len(membership.names))
        mask, width, bits = ZeroMask(membership.me, streams), defender.width, self.ring.ring_bits
        self._pads = Ahead(lambda position, rows: mask.pad((len(rows), width), bits, position))
        self._pad: RingArray = np.empty((0, width), np.uint32)

    def open_pass(self, epoch: int, purpose: int, batches: Sequence[RowIndices]) -> None:
        """The rows of the training steps to come."""
        self._pads.open_pass(epoch, purpose, batches)

    def make_ahead(self) -> None:
        """Use a wait: make the next step's mask."""
        self._pads.make_ahead()

    def open_step(self, position: StreamPosition) -> None:
        """Take the mask of a step."""
        self._pad = self._pads.take(position)

    def share(self, piece: slice, h1: NDArray[np.float32], rows: NDArray[np.float32]) -> RingArray:
        """Masked share of some rows of the step that is open, [piece, width]; every row is asked for once.

        Args:
          h1: float32[piece, width]; rows: this party's encoded rows of the piece.

        Raises:
          FixedPointError: adversarial, and a gradient does not fit the ring. A literal defender runs away by design: what
            does not fit is clipped to the ring's limit.
        """
        _, gradient = self.defender.distance_and_gradient(h1, rows)
        largest = float(np.max(np.abs(gradient), initial=0.0))
        if self.defender.spec.objective == "adversarial" and np.isfinite(largest) and largest > self.ring.limit:
            raise FixedPointError(
                f"a row's gradient of the defender's distance at h1 is above {self.ring.limit:.0f}, the most a share of it "
                'holds: some row lies far from the others, or the defender diverges; set [defender] distance to "mae", '
                "whose gradient does not grow with the distance, or lower the defender's learning_rate"
            )
        if self.defender.spec.objective == "literal":
            # float32 may round the limit up to one the ring refuses
            limit = np.nextafter(np.float32(self.ring.limit), np.float32(0))
            gradient = np.clip(gradient, -limit, limit)
        words = self.ring.encode(gradient, "the defender's gradient at h1")
        words += self._pad[piece]
        return words

    def close_step(self) -> None:
        """Move the defender's weights, once all pieces of the step were sent."""
        self.defender.apply()
