"""The error of truncation on shares, measured: the real one of kernel/secret/truncation.py, fresh masks, values of full range.

Claim, of every value |x| < 2^62 and any number of parties: |y - x / 2^t| < 1, and the last bit is up with the probability of
what is cut off, so that the mean error is 0.
"""

from typing import Any

import numpy as np

from kernel.randomness import SecureRandomness, StreamPosition
from kernel.ring import RingArray
from kernel.secret.correlations import CorrelatedShares, CorrelationDealer, Recipe, correct
from kernel.secret.truncation import OFFSET_BITS, masked, truncate, truncation_items

BINS = 80
PARTS = 16
_NAME = "T"
_HERE = StreamPosition(1, 0, 1)


def measure_truncation(parties: int, *, values: int = 1 << 16, shift: int = 18, seed: int = 1) -> dict[str, Any]:
    """Figures of ``values`` truncations by ``shift`` bits among ``parties``; ``seed`` draws the values, no mask.

    Returns:
      largest, mean: of the error y - x / 2^t, in units of the last bit; outside: how many broke the bound;
      counts: of the error in `BINS` equal bins over [-1, 1]; ups, of: how often y was above floor(x / 2^t), and out of how many,
      for each of `PARTS` equal parts of what is cut off.
    """
    rng = np.random.default_rng(seed)
    x = rng.integers(1 - (1 << OFFSET_BITS), 1 << OFFSET_BITS, (values, 1)).astype(np.int64)
    y = _truncated(x.view(np.uint64), parties, shift, rng)
    cut_off = (x & ((1 << shift) - 1)).ravel()
    up = (y - (x >> shift)).ravel()
    error = up - cut_off / 2.0**shift
    part = cut_off >> (shift - PARTS.bit_length() + 1)
    return {
        "parties": parties,
        "values": values,
        "shift": shift,
        "largest": float(np.abs(error).max()),
        "mean": float(error.mean()),
        "outside": int((np.abs(error) >= 1).sum()),
        "counts": np.histogram(error, bins=BINS, range=(-1, 1))[0].tolist(),
        "ups": np.bincount(part, weights=up == 1, minlength=PARTS).astype(int).tolist(),
        "of": np.bincount(part, minlength=PARTS).tolist(),
    }


def _truncated(x: RingArray, parties: int, shift: int, rng: np.random.Generator) -> np.ndarray:
    """What the parties' shares of the truncated values add up to, int64 of x's shape."""
    randomness = SecureRandomness()
    seeds = [randomness.key() for _ in range(parties)]
    recipe = Recipe(tuple(truncation_items(_NAME, (len(x), 1), shift)))
    shares = [CorrelatedShares(one).masks(recipe, _HERE) for one in seeds]
    correct(shares[-1], recipe, CorrelationDealer(seeds, 1, 1).correction(recipe, np.zeros(1, np.int64), _HERE))
    pieces = [rng.integers(0, 1 << 64, x.shape, np.uint64) for _ in range(parties - 1)]
    opened, total = np.zeros_like(x), np.zeros_like(x)
    for place, mine in enumerate(shares):
        piece = pieces[place] if place < parties - 1 else x - sum(pieces, np.zeros_like(x))
        opened += masked(piece, mine[_NAME], first=place == 0)
    for place, mine in enumerate(shares):
        total += truncate(_NAME, opened, mine, shift, first=place == 0).share
    return total.view(np.int64)
