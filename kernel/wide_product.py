"""The compiled product modulo 2^64 of matrices with many rows and columns; `ring.multiply_add` chooses it
where there is no AVX-512 (else `tile_product`).

A block of left is turned, so that a vector is one column of it, and stays in a first-level cache for a whole row of sums; four inner
columns at a time make a fourth of the passes over the sums. Processors without vector products of 64 bits multiply 32 faster, so a
word is taken in halves: a b = a0 b0 + 2^32 (a0 b1 + a1 b0) modulo 2^64, where the second sum wraps in 32 bits as well.

Measured against vectors along a row of right, GMAC/s, AVX2: at 1024 x 512 x 400 on one core 6.1 over 4.6, at 2056 x 556 x 400 and 512 x 784
x 128 on two noisy ones 1.2 and 1.5 times. At 4096 x 64 x 16 there is no difference, at 8 x 5000 x 8 it takes five times as long.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

WIDE = 64
"""Rows and columns from which on this kernel wins; also its block, two halves of 16 KB."""


@cache
def wide_product() -> Callable[[Any, Any, Any], None]:
    """``total += left right`` modulo 2^64 on numba's threads: uint64 [rows, inner], [inner, columns], [rows, columns]."""
    import numba  # late: half a second, and only the beaver protocol multiplies in the ring

    half, low = np.uint64(32), np.uint64(0xFFFFFFFF)

    def multiply_wide(left: Any, right: Any, total: Any) -> None:
        rows, inners, columns = left.shape[0], left.shape[1], right.shape[1]
        for block in numba.prange((rows + WIDE - 1) // WIDE):
            lows, highs = np.zeros((WIDE, WIDE), np.uint32), np.zeros((WIDE, WIDE), np.uint32)
            sums, cross = np.zeros((columns, WIDE), np.uint64), np.zeros((columns, WIDE), np.uint32)
            base = block * WIDE
            size = min(WIDE, rows - base)
            for first in range(0, inners, WIDE):
                depth = min(WIDE, inners - first)
                fours = depth // 4 * 4
                for row in range(size):
                    for inner in range(depth):
                        word = left[base + row, first + inner]
                        lows[inner, row], highs[inner, row] = np.uint32(word & low), np.uint32(word >> half)
                for column in range(columns):
                    for inner in range(0, fours, 4):
                        at = first + inner
                        a, b, c, d = (
                            right[at, column],
                            right[at + 1, column],
                            right[at + 2, column],
                            right[at + 3, column],
                        )
                        a0, b0, c0, d0 = np.uint32(a & low), np.uint32(b & low), np.uint32(c & low), np.uint32(d & low)
                        a1, b1 = np.uint32(a >> half), np.uint32(b >> half)
                        c1, d1 = np.uint32(c >> half), np.uint32(d >> half)
                        for row in range(WIDE):
                            cross[column, row] += (
                                np.uint32(lows[inner, row] * a1)
                                + np.uint32(highs[inner, row] * a0)
                                + np.uint32(lows[inner + 1, row] * b1)
                                + np.uint32(highs[inner + 1, row] * b0)
                                + np.uint32(lows[inner + 2, row] * c1)
                                + np.uint32(highs[inner + 2, row] * c0)
                                + np.uint32(lows[inner + 3, row] * d1)
                                + np.uint32(highs[inner + 3, row] * d0)
                            )
                        for row in range(WIDE):
                            sums[column, row] += (
                                np.uint64(lows[inner, row]) * np.uint64(a0)
                                + np.uint64(lows[inner + 1, row]) * np.uint64(b0)
                                + np.uint64(lows[inner + 2, row]) * np.uint64(c0)
                                + np.uint64(lows[inner + 3, row]) * np.uint64(d0)
                            )
                    for inner in range(fours, depth):
                        a = right[first + inner, column]
                        for row in range(WIDE):
                            word = np.uint64(lows[inner, row]) | np.uint64(highs[inner, row]) << half
                            sums[column, row] += word * a
            for row in range(size):
                for column in range(columns):
                    total[base + row, column] += sums[column, row] + (np.uint64(cross[column, row]) << half)

    compiled: Callable[[Any, Any, Any], None] = numba.njit(multiply_wide, parallel=True, cache=True, nogil=True)
    return compiled
