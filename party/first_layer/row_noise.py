"""Noise of a party on its share of z1: fresh whenever a row's image has changed, and drawn once for an image that stays.

While first-layer weights move, a row has another image in every pass, and each gets noise of its own. Once they stay
(freeze_first_layer_after) the image is the same in every training pass: fresh noise would let whoever sees z1 average it
away, so the first frozen pass draws one noise for each row, and all later ones send the same sum again. To whoever
collects z1 the frozen passes are one release, whatever their number.

It stays float64 until it is rounded to the grid of what it is added to: a float32 draw of size 4 is a multiple of 2^-21, and `beaver` sends z1
to 2^-40, whose last bits would go out as they are.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.batch_order import RowIndices
from kernel.errors import BadInputError
from kernel.gaussian_noise import GaussianNoise
from kernel.protection import ProtectionSpec
from kernel.randomness import StreamPosition
from protos.v1 import common_pb2


class RowNoise:
    """One party's.

    Args:
      rows: of the party's table, test rows included; width: of the first layer.
    """

    def __init__(self, source: GaussianNoise, protection: ProtectionSpec, rows: int, width: int) -> None:
        self._source, self._protection, self._shape = source, protection, (rows, width)
        self._kept: NDArray[np.float64] | None = None

    def draw(self, position: StreamPosition, rows: RowIndices) -> NDArray[np.float64]:
        """Noise for the rows of a step, float64[len(rows), width]; test rows and new rows get fresh noise always."""
        training = position.purpose == common_pb2.PURPOSE_TRAIN
        if not training or self._protection.trains_first_layer(position.epoch):
            return self._source.draw((len(rows), self._shape[1]))
        if self._kept is None:
            self._kept = self._source.draw(self._shape)
        return self._kept[rows]

    def state(self) -> dict[str, NDArray[Any]]:
        """What was drawn to stay, for a barrier: drawn again after a resume it would be a second release."""
        return {} if self._kept is None else {"kept": self._kept}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what ``state`` returned.

        Raises:
          BadInputError: it belongs to another table or width.
        """
        kept = state.get("kept")
        if kept is not None and kept.shape != self._shape:
            raise BadInputError(
                f"the barrier holds noise of shape {list(kept.shape)}, wanted {list(self._shape)}; the table has changed since"
            )
        self._kept = None if kept is None else np.asarray(kept, np.float64)
