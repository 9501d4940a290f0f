"""Words of Z_2^32 and Z_2^64 and their exact matrix product.

A ring array is an unsigned numpy array; additions wrap by the type. Signed meaning is two's complement.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

RingBits = Literal[32, 64]
RingArray = NDArray[np.unsignedinteger[Any]]

_PARALLEL_PRODUCTS = 1 << 23  # below this many multiplications a second thread costs more than it brings


def ring_dtype(bits: RingBits) -> np.dtype[Any]:
    """The unsigned dtype of a ring, little endian."""
    return np.dtype("<u4") if bits == 32 else np.dtype("<u8")


def ring_bits_of(words: RingArray) -> RingBits:
    return 32 if words.dtype.itemsize == 4 else 64


def ring_matmul(left: RingArray, right: RingArray) -> RingArray:
    """Exact product modulo 2^bits.

    Args:
      left: words [rows, inner]; right: words [inner, columns], same ring.

    Returns: words [rows, columns]. The kernel is compiled once per machine (numba's cache) and wraps by construction.
    """
    if left.ndim != 2 or right.ndim != 2 or left.dtype != right.dtype or left.shape[1] != right.shape[0]:
        raise ValueError(f"cannot multiply {left.dtype}{left.shape} by {right.dtype}{right.shape}")
    out = np.zeros((left.shape[0], right.shape[1]), left.dtype)
    products = left.shape[0] * left.shape[1] * right.shape[1]
    _kernel(products >= _PARALLEL_PRODUCTS)(np.ascontiguousarray(left), np.ascontiguousarray(right), out)
    return out


def load_ring_kernels(bits: RingBits) -> None:
    """Compile (or load from numba's cache) ahead of the first step: seconds the first time on a machine."""
    word = np.ones((1, 1), ring_dtype(bits))
    for parallel in (False, True):
        _kernel(parallel)(word, word, np.zeros((1, 1), ring_dtype(bits)))


@cache
def _kernel(parallel: bool) -> Callable[[RingArray, RingArray, RingArray], None]:
    import numba  # late: half a second, and only the beaver protocol multiplies in the ring

    # Two functions, not one under two options: numba's disk cache knows a function by name and line only, and would
    # hand the serial machine code to the parallel kernel.
    def multiply_serially(left: Any, right: Any, out: Any) -> None:
        for row in range(left.shape[0]):
            for inner in range(left.shape[1]):
                factor = left[row, inner]
                for column in range(right.shape[1]):
                    out[row, column] += factor * right[inner, column]

    def multiply_in_parallel(left: Any, right: Any, out: Any) -> None:
        for row in numba.prange(left.shape[0]):
            for inner in range(left.shape[1]):
                factor = left[row, inner]
                for column in range(right.shape[1]):
                    out[row, column] += factor * right[inner, column]

    compiled: Callable[[RingArray, RingArray, RingArray], None] = numba.njit(
        multiply_in_parallel if parallel else multiply_serially, parallel=parallel, cache=True, nogil=True
    )
    return compiled
