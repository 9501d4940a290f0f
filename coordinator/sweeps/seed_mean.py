"""A mean over seeds with Student's interval: what another start of the same network would give."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from kernel.errors import BadInputError

T_975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""0.975 quantiles of Student's t with 1, 2, … degrees of freedom; beyond, the last one is a little too wide."""


@dataclass(frozen=True)
class SeedMean:
    """A mean of ``n`` seeds; ``low`` and ``high`` are its 95 % interval, None where one seed leaves none."""

    mean: float
    low: float | None
    high: float | None
    n: int


def seed_mean(values: Sequence[float]) -> SeedMean:
    """Mean ± t(0.975, n - 1) · s / √n over one value or more (Student 1908).

    Raises:
      BadInputError: no value.
    """
    if not values:
        raise BadInputError("no seed was measured; a mean needs one at least")
    n, mean = len(values), fmean(values)
    if n == 1:
        return SeedMean(mean, None, None, 1)
    half = T_975[min(n - 1, len(T_975)) - 1] * stdev(values) / math.sqrt(n)
    return SeedMean(mean, mean - half, mean + half, n)
