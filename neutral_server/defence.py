"""The defender's part at the neutral server: the parties' summed gradient, weighted, on its way into the backward pass.

What arrives are masked shares of the sum over parties of each row's own gradient of distance at h1
(kernel/defender_plan.py). Only the complete sum is decoded; no party's gradient is ever seen alone.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernel.errors import BadInputError
from kernel.fixed_point import FixedPoint
from kernel.ring import RingArray


@dataclass(frozen=True)
class Defence:
    """``weight`` is the plan's lambda, ``ring`` that of the shares.

    Raises:
      BadInputError: the weight is negative or not finite.
    """

    weight: float
    ring: FixedPoint

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise BadInputError(f"the defender's weight is {self.weight}; it must be a finite number, 0 or more")

    def h1_gradient(self, words: RingArray, batch_rows: int) -> NDArray[np.float32]:
        """What the defender adds to dL/dh1, because the network maximises the distance: -weight / batch_rows * sum.

        Args:
          words: complete sum of the shares of some rows of a batch, [rows, widths[0]]; batch_rows: rows of the batch.
        """
        return (self.ring.decode(words) * (-self.weight / batch_rows)).astype(np.float32)
