"""Background: what an attacker is assumed to know beside its view. Some rows leaked, with their labels."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import BadInputError
from kernel.metrics.score_inputs import class_numbers

_LEAK = 0x1EAC


@dataclass(frozen=True, eq=False)
class Background:
    """The leaked rows.

    Attributes:
      rows: int64[leaked], sorted positions on the row axis of the view.
      targets: float32[leaked, columns], their encoded values.
      labels: int64[leaked], their classes.
      classes: how many classes there are, as the plan says; 1 where there are none (regression).
    """

    rows: NDArray[np.int64]
    targets: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: int

    def columns(self, chosen: NDArray[np.int64]) -> "Background":
        """The same leak of some columns only."""
        return replace(self, targets=self.targets[:, chosen])


def draw_background(
    targets: NDArray[np.float32], labels: NDArray[Any], fraction: float, seed: int, *, at_most: int | None = None
) -> Background:
    """Draws the leaked rows uniformly without replacement, at least two, and leaves at least two.

    Args:
      targets: float32[n, columns], encoded rows in the order of the views.
      labels: [n], class numbers 0, 1, 2, ...; all 0 where there are none.
      fraction: of all rows that are leaked, above 0 and below 1.
      seed: an experiment's.
      at_most: a bound on the number of leaked rows, for speed.

    Raises:
      BadInputError: the fraction is 0, 1 or outside, there are too few rows, or the lengths differ.
      RowsError: a label is not a class number.
    """
    if not 0 < fraction < 1:
        raise BadInputError(
            f"leaked_fraction is {fraction}; it must be above 0 and below 1: an attacker is fitted on leaked rows and "
            "judged on the others. 0.1 is usual."
        )
    n = len(targets)
    if n < 4 or len(labels) != n:
        raise BadInputError(
            f"found {n} rows and {len(labels)} labels; an attack needs four rows or more, with a label each."
        )
    leaked = min(max(round(n * fraction), 2), n - 2, at_most if at_most is not None else n)
    rows = np.sort(np.random.default_rng([_LEAK, seed]).permutation(n)[:leaked]).astype(np.int64)
    numbers = class_numbers(labels)
    return Background(rows, np.asarray(targets[rows], np.float32), numbers[rows], int(numbers.max()) + 1)
