"""`masked_sum`: each party multiplies its own block in the clear and hides the product under a zero-mask.

 [1] Z_i = X_i Theta_i in float32;
 [2] words = round(Z_i 2^f), checked against the ring's room for n addends;
 [3] words + zero-mask go to the neutral server, where the masks cancel in the sum.

|z1 - sum of Z_i| <= n 2^-(f+1): each party rounds once. A single share is uniform (docs/threat_model.md).
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernel.batch_order import RowIndices
from kernel.fixed_point import FixedPoint
from kernel.masks import ZeroMask
from kernel.randomness import StreamPosition
from kernel.ring import RingArray
from party.first_layer.protocol import FirstLayerBlock


@dataclass(frozen=True)
class _Due:
    position: StreamPosition
    rows: int


class PadsAhead:
    """Zero-mask pads of a pass, made while the party waits for the neutral server."""

    def __init__(self, mask: ZeroMask, width: int, ring_bits: int) -> None:
        self._mask, self._width, self._ring_bits = mask, width, ring_bits
        self._due: deque[_Due] = deque()
        self._made: dict[StreamPosition, RingArray] = {}

    def open_pass(self, epoch: int, purpose: int, batch_rows: list[int]) -> None:
        self._made.clear()
        self._due = deque(_Due(StreamPosition(epoch, step, purpose), rows) for step, rows in enumerate(batch_rows))

    def take(self, position: StreamPosition) -> RingArray:
        """The pad of the step that is due; each is given out once."""
        if position not in self._made:
            self.make_ahead()
        return self._made.pop(position)

    def make_ahead(self) -> None:
        if self._due:
            due = self._due.popleft()
            self._made[due.position] = self._mask.pad((due.rows, self._width), self._ring_bits, due.position)


class MaskedSum:
    """See the module; ``ring`` has the plan's f and room for one addend per party."""

    def __init__(self, block: FirstLayerBlock, ring: FixedPoint, mask: ZeroMask) -> None:
        self._block, self._ring = block, ring
        self._pads = PadsAhead(mask, block.weights.shape[1], ring.ring_bits)

    def begin(self) -> None:
        """Nothing is opened."""

    def close(self) -> None:
        """Nothing is held open."""

    def open_pass(self, epoch: int, purpose: int, batch_rows: list[int]) -> None:
        self._pads.open_pass(epoch, purpose, batch_rows)

    def make_ahead(self) -> None:
        self._pads.make_ahead()

    def share(self, rows: RowIndices, batch: NDArray[np.float32], position: StreamPosition) -> RingArray:
        product = batch @ self._block.weights  # [1]
        words = self._ring.encode(product, "z1 of this party's columns")  # [2]
        words += self._pads.take(position)  # [3]
        return words
