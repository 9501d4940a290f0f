"""A stack: what was seen of the same row in all epochs, side by side."""

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

REPEATED: Final = 1e-3
"""Of the first epoch's spread: what no value of a repeated epoch is off by."""
LIMITS: Final = {"quick": 512, "full": 1536}
"""Values kept of a row: a ridge costs their cube."""


def epoch_groups(epochs: int, width: int, limit: int) -> list[slice]:
    """Consecutive groups of epochs, as even as can be and at least one, so that groups * width <= limit where possible."""
    count = max(1, min(epochs, limit // width))
    ends = [round(epochs * number / count) for number in range(count + 1)]
    return [slice(start, end) for start, end in pairwise(ends)]


def moving_epochs(values: NDArray[np.float32]) -> list[int]:
    """The epochs of [epochs, n, width] that differ from the one before by more than fixed point rounds; the first always."""
    scale = float(values[0].std()) or 1.0
    moved = (float(np.abs(values[epoch] - values[epoch - 1]).max()) for epoch in range(1, len(values)))
    return [0, *(epoch for epoch, far in enumerate(moved, 1) if far > REPEATED * scale)]


def stacked(values: NDArray[np.float32], limit: int) -> NDArray[np.float32]:
    """float32[n, groups * width] of [epochs, n, width]: the mean of each group of epochs, the last group last. Epochs that
    repeat the one before, as a first layer that stays makes them, are left out: they add columns and no equation.

    Means are kept where single epochs would be too many, because they still use every epoch: noise that is fresh in
    each averages out, and each group has weights of its own.
    """
    values = values[moving_epochs(values)]
    groups = epoch_groups(len(values), values.shape[2], limit)
    return np.concatenate([values[group].mean(axis=0) for group in groups], axis=1)
