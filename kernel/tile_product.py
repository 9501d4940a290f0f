"""The compiled product modulo 2^bits of many columns on processors with AVX-512; `ring.multiply_add` chooses it.

Four rows of left by four inner columns a pass: what is read of right serves four rows, and what is read and written of the sums four
inner columns. Its sixteen factors stay in vector registers where there are 32 of them, and words of 64 bits multiply as vectors there;
with sixteen registers the same loop is up to three times slower than a row at a time.

Measured in one run beside a row at a time and halves (`wide_product`), AVX-512, two cores, GMAC/s: 64 bits 41, 25 and 14 at 2570 x 473
x 400, 42, 21 and 15 at 512 x 784 x 128; 32 bits 78 over 44 at the first. Below 64 columns it depends: 34 over 18 at 5000 x 64 x 32, but
4.2 over 5.4 at 5000 x 14 x 8.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

TILE_COLUMNS = 64
"""Columns of right from which on this kernel won at every shape that was measured."""

_ROWS, _INNER = 32, 64  # a block of left, while as many rows of right stay in a cache


@cache
def tile_product() -> Callable[[Any, Any, Any], None]:
    """``total += left right`` modulo 2^bits on numba's threads: words [rows, inner], [inner, columns], [rows, columns]."""
    import numba  # late: half a second, and only the beaver protocol multiplies in the ring

    def multiply_tiles(left: Any, right: Any, total: Any) -> None:
        rows, inners, columns = left.shape[0], left.shape[1], right.shape[1]
        for block in numba.prange((rows + _ROWS - 1) // _ROWS):
            start = block * _ROWS
            end = min(rows, start + _ROWS)
            whole_rows = start + (end - start) // 4 * 4
            for first in range(0, inners, _INNER):
                last = min(inners, first + _INNER)
                whole = first + (last - first) // 4 * 4
                for row in range(start, whole_rows, 4):
                    for at in range(first, whole, 4):
                        a0, b0, c0, d0 = left[row, at], left[row, at + 1], left[row, at + 2], left[row, at + 3]
                        row1, row2, row3 = row + 1, row + 2, row + 3
                        a1, b1, c1, d1 = left[row1, at], left[row1, at + 1], left[row1, at + 2], left[row1, at + 3]
                        a2, b2, c2, d2 = left[row2, at], left[row2, at + 1], left[row2, at + 2], left[row2, at + 3]
                        a3, b3, c3, d3 = left[row3, at], left[row3, at + 1], left[row3, at + 2], left[row3, at + 3]
                        for column in range(columns):
                            a, b = right[at, column], right[at + 1, column]
                            c, d = right[at + 2, column], right[at + 3, column]
                            total[row, column] += a0 * a + b0 * b + c0 * c + d0 * d
                            total[row1, column] += a1 * a + b1 * b + c1 * c + d1 * d
                            total[row2, column] += a2 * a + b2 * b + c2 * c + d2 * d
                            total[row3, column] += a3 * a + b3 * b + c3 * c + d3 * d
                for row in range(start, end):
                    for inner in range(whole if row < whole_rows else first, last):
                        factor = left[row, inner]
                        for column in range(columns):
                            total[row, column] += factor * right[inner, column]

    compiled: Callable[[Any, Any, Any], None] = numba.njit(multiply_tiles, parallel=True, cache=True, nogil=True)
    return compiled
