"""Encoded rows on disk, float32[rows, columns], that a training loop indexes like an array.

Rows asked for at random cost a system call each, some microseconds; an epoch of random batches would be spent in them.
So a pass in a known order is announced, and laid out in that order first (ordered_copy.py).
"""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kernel.errors import RowsError
from party.rows.ordered_copy import OrderedCopy
from party.rows.scratch_file import ScratchFile, row_bytes

RowNumbers = NDArray[np.int64]

_SPAN_BYTES = 1 << 20
_GAP_BYTES = 1 << 13  # reading over less than this costs less than another call


class Rows(Protocol):
    """Encoded rows in aligned order, float32[rows, columns]: an array in memory, or ``DiskRows``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, columns)"""

    def __len__(self) -> int: ...

    def __getitem__(self, row_numbers: RowNumbers, /) -> NDArray[np.float32]:
        """float32[n, columns], the rows of these numbers, in their order; not to be written to."""


class DiskRows:
    """See the module.

    Args:
      directory: where the scratch files are; rows, columns: the shape.
      order: int64[rows], the written row of each aligned row; None where they are the same.
    """

    def __init__(self, directory: Path, rows: int, columns: int, order: RowNumbers | None = None) -> None:
        self.shape = (rows, columns)
        self._directory, self._order = directory, order
        self._file = ScratchFile(directory)
        self._pass: OrderedCopy | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def write(self, first_row: int, block: NDArray[np.float32]) -> None:
        """Keep float32[n, columns] as the written rows from ``first_row`` on.

        Raises:
          RowsError: another shape or type, or the disk is full.
        """
        rows, columns = self.shape
        if block.dtype != np.float32 or block.shape[1:] != (columns,) or not 0 <= first_row <= rows - len(block):
            raise RowsError(
                f"a block {block.dtype}{list(block.shape)} was to be kept from row {first_row} on; wanted "
                f"float32[n, {columns}] within {rows} rows"
            )
        self._file.write(np.ascontiguousarray(block), first_row * row_bytes(columns))

    def announce(self, row_numbers: RowNumbers) -> None:
        """Say in what order rows will be asked for next, each at most once: they are laid out in that order.

        Nothing is laid out where that is the order on disk. Asking for others stays possible, and slow.
        """
        self._end_pass()
        rows = self._written(row_numbers)
        if not (rows[1:] > rows[:-1]).all():
            self._pass = OrderedCopy(self._file, self.shape, rows, self._directory)

    def __getitem__(self, row_numbers: RowNumbers, /) -> NDArray[np.float32]:
        rows = self._written(row_numbers)
        if self._pass is not None:
            batch = self._pass.take(rows)
            if batch is not None:
                return batch
        return self._gather(rows)

    def close(self) -> None:
        """Give the disk space back."""
        self._end_pass()
        self._file.close()

    def _end_pass(self) -> None:
        if self._pass is not None:
            self._pass.close()
            self._pass = None

    def _written(self, row_numbers: RowNumbers) -> RowNumbers:
        return row_numbers if self._order is None else self._order[row_numbers]

    def _gather(self, rows: RowNumbers) -> NDArray[np.float32]:
        """By ascending offset; neighbours come with one call."""
        columns = self.shape[1]
        size = row_bytes(columns)
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(self):
            raise IndexError(f"a row outside the {len(self)} rows was asked for")
        batch = np.empty((len(rows), columns), np.float32)
        places = np.argsort(rows, kind="stable")
        ascending = rows[places]
        span_rows = max(1, _SPAN_BYTES // size)
        apart = np.diff(ascending) > max(1, _GAP_BYTES // size)
        apart |= np.diff(ascending // span_rows) > 0
        ends = [*(np.flatnonzero(apart) + 1).tolist(), len(rows)] if len(rows) else []
        start = 0
        for end in ends:
            first = int(ascending[start])
            if end - start == 1:
                self._file.read_into(batch[int(places[start])], first * size)
            else:
                span = np.empty((int(ascending[end - 1]) - first + 1, columns), np.float32)
                self._file.read_into(span, first * size)
                batch[places[start:end]] = span[ascending[start:end] - first]
            start = end
        return batch
