"""A stack: what was seen of the same row in all epochs, side by side."""

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

REPEATED: Final = 1e-3
"""Of the last epoch's spread: what no value of a repeated epoch is off by."""
LIMITS: Final = {"quick": 512, "full": 1536}
"""Values kept of a row: a ridge costs their cube."""


def epoch_groups(epochs: int, width: int, limit: int) -> list[slice]:
    """Consecutive groups of epochs, as even as can be and at least one, so that groups * width <= limit where possible."""
    count = max(1, min(epochs, limit // width))
    ends = [round(epochs * number / count) for number in range(count + 1)]
    return [slice(start, end) for start, end in pairwise(ends)]


def moving_epochs(values: NDArray[np.float32]) -> list[int]:
    """The epochs of [epochs, n, width] that differ from the one after by more than fixed point rounds; the last always, so
    that a stack of one and the same view is the view that readers of the last epoch have."""
    scale = float(values[-1].std()) or 1.0
    moved = [float(np.abs(values[epoch + 1] - values[epoch]).max()) for epoch in range(len(values) - 1)]
    return [*(epoch for epoch, far in enumerate(moved) if far > REPEATED * scale), len(values) - 1]


def stacked(values: NDArray[np.float32], limit: int) -> NDArray[np.float32]:
    """float32[n, groups * width] of [epochs, n, width]: the mean of each group of epochs, the last group last. Of epochs that
    repeat each other, as a first layer that stays makes them, the last is kept: more would add columns and no equation.

    Means are kept where single epochs would be too many, because they still use every epoch: noise that is fresh in
    each averages out, and each group has weights of its own.
    """
    values = values[moving_epochs(values)]
    groups = epoch_groups(len(values), values.shape[2], limit)
    return np.concatenate([values[group].mean(axis=0) for group in groups], axis=1)
