"""Words of Z_2^32 and Z_2^64 and their exact matrix product.

A ring array is an unsigned numpy array; additions wrap by the type. Signed meaning is two's complement.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kernel.processor import has
from kernel.tile_product import TILE_COLUMNS, tile_product
from kernel.wide_product import WIDE, wide_product

RingBits = Literal[32, 64]
RingArray = NDArray[np.unsignedinteger[Any]]
Kernel = Callable[[RingArray, RingArray, RingArray], None]

_BLOCK_ROWS, _BLOCK_INNER = 32, 64
_PARALLEL_PRODUCTS = 1 << 23  # below this many multiplications a second thread costs more than it brings


def ring_dtype(bits: RingBits) -> np.dtype[Any]:
    """The unsigned dtype of a ring, little endian."""
    return np.dtype("<u4") if bits == 32 else np.dtype("<u8")


def ring_bits_of(words: RingArray) -> RingBits:
    return 32 if words.dtype.itemsize == 4 else 64


def ring_matmul(left: RingArray, right: RingArray) -> RingArray:
    """Exact product modulo 2^bits: words [rows, columns] of [rows, inner] by [inner, columns], same ring."""
    out = np.zeros((left.shape[0], right.shape[-1]), left.dtype)
    multiply_add(left, right, out)
    return out


def multiply_add(left: RingArray, right: RingArray, total: RingArray) -> None:
    """``total += left right`` modulo 2^bits, exact by construction (unsigned words wrap).

    Args:
      left: words [rows, inner]; right: words [inner, columns]; total: words [rows, columns], C-contiguous, same ring.

    The kernel is compiled once per machine (numba's cache); large products run on numba's threads.

    Raises:
      ValueError: shapes or rings that do not fit.
    """
    if left.ndim != 2 or right.ndim != 2 or left.dtype != right.dtype or left.shape[1] != right.shape[0]:
        raise ValueError(f"cannot multiply {left.dtype}{left.shape} by {right.dtype}{right.shape}")
    if total.dtype != left.dtype or total.shape != (left.shape[0], right.shape[1]) or not total.flags.c_contiguous:
        raise ValueError(
            f"cannot add {left.dtype}{left.shape} by {right.dtype}{right.shape} to {total.dtype}{total.shape}"
        )
    kernel = _chosen(left.shape[0], left.shape[1], right.shape[1], ring_bits_of(left))
    kernel(np.ascontiguousarray(left), np.ascontiguousarray(right), total)


def load_ring_kernels(bits: RingBits) -> None:
    """Compile (or load from numba's cache) ahead of the first step: seconds the first time on a machine."""
    word = np.ones((1, 1), ring_dtype(bits))
    much = _PARALLEL_PRODUCTS
    for kernel in {_chosen(1, 1, 1, bits), _chosen(much, 1, 1, bits), _chosen(much, 1, max(WIDE, TILE_COLUMNS), bits)}:
        kernel(word, word, np.zeros((1, 1), ring_dtype(bits)))


def _chosen(rows: int, inners: int, columns: int, bits: RingBits) -> Kernel:
    """The fastest kernel for a product [rows, inners] by [inners, columns] on this processor."""
    if rows * inners * columns < _PARALLEL_PRODUCTS:
        return _row_product(parallel=False)
    if columns >= TILE_COLUMNS and has("avx512dq"):
        return tile_product()
    if bits == 64 and min(rows, columns) >= WIDE and not has("avx512dq"):
        return wide_product()
    return _row_product(parallel=True)


@cache
def _row_product(*, parallel: bool) -> Kernel:
    import numba  # late: half a second, and only the beaver protocol multiplies in the ring

    # Two functions, not one under two options: numba's disk cache knows a function by name and line only, and would
    # hand the serial machine code to the parallel kernel. Four inner words at a time: a fourth of the passes over total.
    # The parallel one keeps 64 rows of right in cache for 32 rows of left. Measured against the plain loop on one noisy
    # core: 1.2 to 1.9 times at 5000 x 28 x 8; at 2570 x 556 x 400 1.5 times in 32 bits.
    def multiply_serially(left: Any, right: Any, total: Any) -> None:
        fours = left.shape[1] // 4 * 4
        for row in range(left.shape[0]):
            for inner in range(0, fours, 4):
                a, b, c, d = left[row, inner], left[row, inner + 1], left[row, inner + 2], left[row, inner + 3]
                for column in range(right.shape[1]):
                    total[row, column] += (
                        a * right[inner, column]
                        + b * right[inner + 1, column]
                        + c * right[inner + 2, column]
                        + d * right[inner + 3, column]
                    )
            for inner in range(fours, left.shape[1]):
                factor = left[row, inner]
                for column in range(right.shape[1]):
                    total[row, column] += factor * right[inner, column]

    def multiply_in_parallel(left: Any, right: Any, total: Any) -> None:
        rows, inners = left.shape
        for block in numba.prange((rows + _BLOCK_ROWS - 1) // _BLOCK_ROWS):
            for first in range(0, inners, _BLOCK_INNER):
                end = min(inners, first + _BLOCK_INNER)
                fours = first + (end - first) // 4 * 4
                for row in range(block * _BLOCK_ROWS, min(rows, (block + 1) * _BLOCK_ROWS)):
                    for inner in range(first, fours, 4):
                        a, b, c, d = left[row, inner], left[row, inner + 1], left[row, inner + 2], left[row, inner + 3]
                        for column in range(right.shape[1]):
                            total[row, column] += (
                                a * right[inner, column]
                                + b * right[inner + 1, column]
                                + c * right[inner + 2, column]
                                + d * right[inner + 3, column]
                            )
                    for inner in range(fours, end):
                        factor = left[row, inner]
                        for column in range(right.shape[1]):
                            total[row, column] += factor * right[inner, column]

    compiled: Kernel = numba.njit(
        multiply_in_parallel if parallel else multiply_serially, parallel=parallel, cache=True, nogil=True
    )
    return compiled
