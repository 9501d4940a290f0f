"""Rows of a scratch file laid out anew in the order of one pass: two sequential readings instead of a call a row.

 [1] the pass is cut into buckets of BUCKET_BYTES, in its order;
 [2] the source is read from its beginning in blocks; the rows of a block go to their buckets, one write a bucket, so
     that a bucket fills up in the source's order;
 [3] when the pass comes to a bucket it is read whole and put into the order of the pass, in memory.

Costs another scratch file of the rows in the pass, and while [2] lasts a place of 4 bytes (8 from 2^31 rows on) a row.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import RowsError
from party.rows.scratch_file import ScratchFile, row_bytes

BUCKET_BYTES = 4 << 20
"""Four of these are in memory at once: a block and its rows by bucket in [2], a bucket before and after sorting in [3]."""

RowNumbers = NDArray[np.int64]


class OrderedCopy:
    """One pass over a scratch file of float32 rows.

    Args:
      source: the rows; shape: (rows, columns) of it; order: int64[n] row numbers, each at most once, in the order in
        which they will be taken (kept, not copied); directory: where the copy is.

    Raises:
      RowsError: a row is named twice or does not exist, or the disk is full.
    """

    def __init__(self, source: ScratchFile, shape: tuple[int, int], order: RowNumbers, directory: Path) -> None:
        self._columns, self._order = shape[1], order
        self._size = row_bytes(self._columns)
        self._bucket_rows = max(1, BUCKET_BYTES // self._size)
        self._taken = 0
        self._bucket_number, self._bucket = -1, np.empty((0, self._columns), np.float32)
        self._file = ScratchFile(directory)
        self._lay_out(source, shape[0])

    def take(self, rows: RowNumbers) -> NDArray[np.float32] | None:
        """float32[n, columns] if ``rows`` are the next of the pass, otherwise None; not to be written to."""
        start, stop = self._taken, self._taken + len(rows)
        if not np.array_equal(self._order[start:stop], rows):
            return None
        pieces = []
        while start < stop:
            number, first = divmod(start, self._bucket_rows)
            bucket = self._bucket_of(number)
            last = min(first + stop - start, len(bucket))
            pieces.append(bucket[first:last])
            start += last - first
        self._taken = stop
        return pieces[0] if len(pieces) == 1 else np.concatenate([*pieces, self._bucket[:0]])

    def close(self) -> None:
        self._file.close()

    def _lay_out(self, source: ScratchFile, rows: int) -> None:
        place = self._places(rows)
        buckets = -(-len(self._order) // self._bucket_rows)
        filled = np.arange(buckets, dtype=np.int64) * self._bucket_rows
        block = np.empty((self._bucket_rows, self._columns), np.float32)
        for start in range(0, rows, self._bucket_rows):
            part = block[: min(self._bucket_rows, rows - start)]
            places = place[start : start + len(part)]
            wanted = np.flatnonzero(places >= 0)
            if not len(wanted):
                continue
            source.read_into(part, start * self._size)
            bucket = places[wanted] // self._bucket_rows
            if buckets < 1 << 16:
                bucket = bucket.astype(np.uint16)  # sorted by radix
            by_bucket = part[wanted[np.argsort(bucket, kind="stable")]]
            counts = np.bincount(bucket, minlength=buckets)
            done = 0
            for number in np.flatnonzero(counts).tolist():
                count = int(counts[number])
                self._file.write(by_bucket[done : done + count], int(filled[number]) * self._size)
                done += count
            filled += counts

    def _places(self, rows: int) -> NDArray[Any]:
        """Where in the pass each row of the source comes, [rows]; -1: nowhere."""
        order = self._order
        if len(order) and not 0 <= int(order.min()) <= int(order.max()) < rows:
            raise RowsError(f"a pass names rows outside the {rows} on disk")
        place: NDArray[Any] = np.full(rows, -1, np.int32 if rows < 1 << 31 else np.int64)
        place[order] = np.arange(len(order), dtype=place.dtype)
        if int(np.count_nonzero(place >= 0)) != len(order):
            raise RowsError("a pass names a row twice; each row comes once in a pass")
        return place

    def _bucket_of(self, number: int) -> NDArray[np.float32]:
        if number != self._bucket_number:
            order = self._order[number * self._bucket_rows : (number + 1) * self._bucket_rows]
            written = np.empty((len(order), self._columns), np.float32)
            self._file.read_into(written, number * self._bucket_rows * self._size)
            bucket = np.empty_like(written)
            bucket[np.argsort(order)] = written  # rows came in ascending order
            self._bucket_number, self._bucket = number, bucket
        return self._bucket
