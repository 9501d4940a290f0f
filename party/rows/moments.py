"""Mean and deviation of columns from exact sums: the same bits for any order of the rows, and for any cut into batches.

A table read from disk in batches, in the file's order, must give the encoder of the same table in memory, in aligned
order; otherwise the two would train different networks. Rounded sums depend on the order of their addends, exact ones
do not.

 [1] x^2 = a^2 + 2ab + b^2 with x = a + b split at 26 bits (Veltkamp; Dekker, Numerische Mathematik 18, 1971): each term
     is a float64 without rounding;
 [2] a column of a block is cut into slices of 40 bits from its largest magnitude down; 2^13 such slices add up in a
     float64 without rounding (Rump, Ogita, Oishi, SIAM J. Sci. Comput. 31, 2008);
 [3] the slices' sums are added as Python integers, in units of 2^-1074, the smallest float64;
 [4] mean = s / n and deviation = sqrt((n q - s^2) / n^2) are divisions of integers, rounded once.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import RowsError

_ONE = 1 << 1074
_SLICE_BITS, _SLICED_ROWS = 40, 1 << 13
_BLOCK_CELLS = 1 << 16  # float64: 512 KB, which stays in a core's cache
_SPLITTER = float((1 << 27) + 1)
_LARGEST, _SMALLEST = 2.0**500, 2.0**-450
"""Between them every term of x^2 is a float64; what is nearer to 0 counts as 0."""

Floats = NDArray[np.float64]


class Moments:
    """Exact sums of columns and of their squares.

    Args:
      names: of the columns, for error messages.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._count = 0
        self._sums = [0] * len(self._names)
        self._squares = [0] * len(self._names)

    def add(self, columns: Sequence[NDArray[Any]], rows: NDArray[np.int64] | None = None) -> None:
        """Take in rows of a batch.

        Args:
          columns: one real or integer array [batch] a column; rows: int64[n] row numbers within them; None takes all.

        Raises:
          RowsError: a column holds values of 2^500 or more.
        """
        if not self._names:
            return
        count = len(columns[0]) if rows is None else len(rows)
        at_once = min(_SLICED_ROWS, max(1, _BLOCK_CELLS // len(self._names)))
        for start in range(0, count, at_once):
            stop = min(start + at_once, count)
            chosen = slice(start, stop) if rows is None else rows[start:stop]
            block = np.empty((len(self._names), stop - start), np.float64)
            for index, column in enumerate(columns):
                block[index] = column[chosen]
            self._add_block(block)
        self._count += count

    def mean_and_deviation(self) -> tuple[Floats, Floats]:
        """Means and population standard deviations, float64[columns] each; a constant column has deviation 1.

        Raises:
          RowsError: no row was added.
        """
        if not self._count:
            raise RowsError("No row was added; a mean needs at least one.")
        means, deviations = [], []
        for total, squares in zip(self._sums, self._squares, strict=True):
            means.append(total / (self._count * _ONE))  # [4]
            spread = max(0, self._count * squares * _ONE - total * total)
            deviations.append(math.sqrt(spread / (self._count * _ONE) ** 2) or 1.0)
        return np.array(means, np.float64), np.array(deviations, np.float64)

    def _add_block(self, block: Floats) -> None:
        largest = np.abs(block).max(axis=1)
        if not (largest < _LARGEST).all():
            column = self._names[int(np.flatnonzero(~(largest < _LARGEST))[0])]
            raise RowsError(f'Column "{column}" spreads too far for float64; rescale it in the file.')
        block[np.abs(block) < _SMALLEST] = 0.0
        high = block * _SPLITTER  # [1]
        high -= high - block
        low = block - high
        _add_exactly(self._sums, block)
        _add_exactly(self._squares, high * high)
        if low.any():  # float32 and small integers have no lower half
            _add_exactly(self._squares, 2.0 * high * low)
            _add_exactly(self._squares, low * low)


def _add_exactly(totals: list[int], terms: Floats) -> None:
    """Add each row of ``terms`` [columns, n <= 2^13] to its total; uses ``terms`` up [2]."""
    largest = np.abs(terms).max(axis=1)
    while largest.any():
        # adding and taking away 1.5 * 2^52 units rounds to a multiple of the unit
        units = np.ldexp(1.5, np.frexp(largest)[1] - _SLICE_BITS + 52)[:, None]
        slices = terms + units
        slices -= units
        terms -= slices
        for index, value in enumerate(slices.sum(axis=1).tolist()):
            numerator, denominator = value.as_integer_ratio()
            totals[index] += numerator * (_ONE // denominator)  # [3]
        largest = np.abs(terms).max(axis=1)
