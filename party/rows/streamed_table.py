"""A Parquet table too large for memory: read in batches through Arrow, every cell checked on its way.

Only ids are held, as Arrow text: their bytes and 8 more a row, and where they are sorted an order of int64[rows].
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kernel.errors import RowsError
from party.rows.alignment import order_of_ids
from party.rows.cells import check_cells, check_id_texts
from party.rows.files import column_names
from party.rows.loaders import declared_columns
from party.rows.schema import TableSettings, suggestion
from party.rows.selection import window_rows
from party.rows.table import Table

BATCH_BYTES = 4 << 20
"""Of one batch of checked cells, at 8 bytes a cell."""

_FEWEST_ROWS, _MOST_ROWS = 1 << 10, 1 << 16
_READ_BYTES = 1 << 18  # of a column chunk at a time; without it Arrow reads whole chunks


class StreamedTable:
    """One table of a party's config with ``storage = "disk"``.

    Attributes:
      name, settings: the party's own; rows: how many are used.
      ids: Arrow large_string in the file's order, or None where the row number is the identity.
      order: int64[rows], the file's row of each aligned row; None where the file is in that order.
    """

    def __init__(self, name: str, settings: TableSettings) -> None:
        """Opens the file, and reads the ids where there are any.

        Raises:
          RowsError: the file or a column is missing, the file is empty or no Parquet, ids are missing or repeated.
        """
        self.name, self.settings = name, settings
        self._path = Path(settings.source).expanduser()
        self._declared = declared_columns(settings)
        self._available = column_names(self._path)
        self._stamp = self._stamp_now()
        stored = self._open().metadata.num_rows
        if stored == 0:
            raise RowsError(f"{self._path} has no rows; wanted at least one.")
        self.rows = len(window_rows(name, settings, stored))
        self.ids: pa.Array | None = None
        self.order: NDArray[np.int64] | None = None
        if settings.id is not None:
            self.ids = self._read_ids(settings.id)
            self.order = order_of_ids(name, self.ids, settings.align)

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, Table]]:
        """(file row of the first, checked rows) from the file's beginning to its last used row.

        Args:
          columns: exact names, at least one.

        Raises:
          RowsError: a column the file lacks, a cell that its declaration does not allow (file, data row counted
            from 1 and column are named, the value is not), a file that was written to since it was opened.
        """
        schema = {column: self._declared[column] for column in columns}
        file = f"Table {self.name} ({self._path})"
        for start, cells in self._read(columns):
            values = {
                column: check_cells(cells[column], declared, file=file, name=column, first_row=start)
                for column, declared in schema.items()
            }
            yield start, Table(self.name, None, len(next(iter(values.values()))), values, schema)
        pa.default_memory_pool().release_unused()

    def _read_ids(self, column: str) -> pa.Array:
        file = f"Table {self.name} ({self._path})"
        texts = [
            check_id_texts(cells[column], file=file, name=column, first_row=start)
            .combine_chunks()
            .cast(pa.large_string())
            for start, cells in self._read([column])
        ]
        joined = pa.chunked_array(texts).combine_chunks()
        texts.clear()
        pa.default_memory_pool().release_unused()
        return joined

    def _read(self, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, pa.ChunkedArray]]]:
        for column in columns:
            if column not in self._available:
                raise RowsError(f'{self._path} has no column "{column}"; {suggestion(column, self._available)}')
        at_once = min(_MOST_ROWS, max(_FEWEST_ROWS, BATCH_BYTES // (8 * len(columns))))
        start = 0
        try:
            for batch in self._open().iter_batches(at_once, columns=list(columns), use_threads=False):
                batch = batch.slice(0, self.rows - start)
                if batch.num_rows:
                    yield start, {column: pa.chunked_array([batch[column]]) for column in columns}
                start += batch.num_rows
                if start == self.rows:
                    break
        except (pa.ArrowInvalid, OSError):
            raise RowsError(f"{self._path} is not a readable Parquet file; write it again.") from None
        if start != self.rows or self._stamp_now() != self._stamp:
            raise RowsError(f"{self._path} was written to while it was read; leave it alone during a run.")

    def _open(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self._path, buffer_size=_READ_BYTES, pre_buffer=False)
        except (pa.ArrowInvalid, OSError):
            raise RowsError(f"{self._path} is not a readable Parquet file; write it again.") from None

    def _stamp_now(self) -> tuple[int, int, int]:
        try:
            status = self._path.stat()
        except OSError:
            raise RowsError(f"{self._path} went away while it was read; leave it alone during a run.") from None
        return status.st_ino, status.st_size, status.st_mtime_ns
