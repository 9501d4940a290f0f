"""`masked_sum`: each party multiplies its own block in the clear and hides the product under a zero-mask.

 [1] Z_i = X_i Theta_i in float32, plus noise where the plan asks for it (row_noise.py);
 [2] words = round(Z_i 2^f), checked against the ring's room for n addends;
 [3] words + zero-mask go to the neutral server, where the masks cancel in the sum.

|z1 - sum of Z_i| <= n 2^-(f+1): each party rounds once. A single share is uniform (docs/threat_model.md).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kernel.batch_order import RowIndices
from kernel.fixed_point import FixedPoint
from kernel.masks import ZeroMask
from kernel.randomness import StreamPosition
from kernel.ring import RingArray, ring_dtype
from party.first_layer.ahead import Ahead
from party.first_layer.protocol import FirstLayerBlock, OpenGradient
from party.first_layer.row_noise import RowNoise


class MaskedSum(OpenGradient):
    """See the module; ``ring`` has the plan's f and room for one addend per party; ``noise`` is this party's own."""

    def __init__(self, block: FirstLayerBlock, ring: FixedPoint, mask: ZeroMask, noise: RowNoise | None = None) -> None:
        super().__init__(block)
        self._ring, self._mask, self._source = ring, mask, noise
        width = block.weights.shape[1]
        self._pads = Ahead(self._prepare)
        self._product: NDArray[np.float32] = np.empty((0, width), np.float32)
        self._words: RingArray = np.empty((0, width), ring_dtype(ring.ring_bits))
        self._batch, self._pad = self._product, self._words
        self._noise: NDArray[np.float32] | None = None

    def begin(self) -> None:
        """Nothing is opened."""

    def close(self) -> None:
        """Nothing is held open."""

    def open_pass(self, epoch: int, purpose: int, batches: Sequence[RowIndices]) -> None:
        self._pads.open_pass(epoch, purpose, batches)
        largest = max(len(rows) for rows in batches)
        if largest > len(self._words):
            width = self._words.shape[1]
            self._product, self._words = (
                np.empty((largest, width), np.float32),
                np.empty((largest, width), self._words.dtype),
            )

    def make_ahead(self) -> None:
        self._pads.make_ahead()

    def open_step(self, batch: NDArray[np.float32], position: StreamPosition) -> None:
        """Nothing is opened; the step's pad is taken."""
        self._batch = batch
        self._pad, self._noise = self._pads.take(position)

    def share(self, piece: slice) -> RingArray:
        product = np.matmul(self._batch[piece], self._block.weights, out=self._product[piece])  # [1]
        if self._noise is not None:
            product += self._noise[piece]
        words = self._ring.encode(product, "z1 of this party's columns", out=self._words[piece])  # [2]
        words += self._pad[piece]  # [3]
        return words

    def _prepare(self, position: StreamPosition, rows: RowIndices) -> tuple[RingArray, NDArray[np.float32] | None]:
        """The step's pad and noise: nothing in them depends on rows or weights."""
        shape = (len(rows), self._block.weights.shape[1])
        # float32 as z1 is: their sum is rounded to the coarser 2^-f
        noise = None if self._source is None else self._source.draw(position, rows).astype(np.float32)
        return self._mask.pad(shape, self._ring.ring_bits, position), noise
