"""The rows of one run at a party whose table does not fit memory: two readings of the file, then a scratch file.

 [1] ``fit``: cells are checked, labels collected, the encoder fitted to the training rows; batch by batch;
 [2] ``encode``: cells are encoded and written to a scratch file, batch by batch; training takes rows from there.

What stays in memory a row: 1 to 8 bytes of label and its encoding (4, multiclass 8) where there is a label; ids and
their order where there are ids (streamed_table.py). docs/decisions/0015-rows-on-disk.md adds up the whole process.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.batch_order import RowIndices
from kernel.errors import TertiumError
from kernel.network import LossName
from party.first_layer.norm_bounds import NormBounds
from party.rows.alignment import ids_in_order, order_hash
from party.rows.disk_rows import DiskRows
from party.rows.encoding import RowEncoder
from party.rows.labels import LabelEncoder
from party.rows.loaders import declared_columns
from party.rows.schema import TableSettings
from party.rows.streamed_table import StreamedTable
from party.rows.table import Table


class StreamedRows:
    """``run_rows.RunRows`` of a table with ``storage = "disk"``.

    Args:
      columns: exact names of the inputs; label: the label column, "" where there is none; scratch_directory: where
        encoded rows are kept until ``close``.
    """

    def __init__(
        self, name: str, settings: TableSettings, columns: tuple[str, ...], label: str, scratch_directory: Path
    ) -> None:
        self.columns, self._label = columns, label
        self._table = StreamedTable(name, settings)
        self._declared = declared_columns(settings)
        self._scratch_directory = scratch_directory
        self._labels: Table | None = None
        self._encoded: DiskRows | None = None

    @property
    def rows(self) -> int:
        return self._table.rows

    def order_hash(self, key: bytes) -> bytes:
        return order_hash(self._table.ids, self.rows, key, self._table.order)

    def ids(self) -> Iterator[Sequence[str]] | None:
        return None if self._table.ids is None else ids_in_order(self._table.ids, self._table.order)

    def check(self) -> None:
        for _ in self._table.batches(self._wanted) if self._wanted else ():
            pass  # a bad cell raises

    def fit(self, training_rows: RowIndices, clip_deviations: float | None) -> RowEncoder:
        training = np.zeros(self.rows, bool)
        training[training_rows if self._table.order is None else self._table.order[training_rows]] = True
        return RowEncoder.fit_batches(
            self._training_batches(training), self._table.name, self._declared, self.columns, clip_deviations
        )

    def fit_labels(self, loss: LossName, outputs: int, training_rows: RowIndices) -> LabelEncoder:
        return LabelEncoder.fit(self._collected(), self._label, loss, outputs, training_rows)

    def encode(self, encoder: RowEncoder, bounds: NormBounds | None = None) -> DiskRows:
        self.close()
        encoded = DiskRows(self._scratch_directory, self.rows, encoder.width, self._table.order)
        self._encoded = encoded
        for first_row, table in self._table.batches(self.columns):
            rows = encoder.encode(table)
            encoded.write(first_row, rows if bounds is None else bounds.clip(rows))
        return encoded

    def encode_labels(self, encoder: LabelEncoder) -> NDArray[Any]:
        return encoder.encode(self._collected())

    def announce(self, order: RowIndices) -> None:
        if self._encoded is not None:
            self._encoded.announce(order)

    def close(self) -> None:
        if self._encoded is not None:
            self._encoded.close()

    @property
    def _wanted(self) -> list[str]:
        return [*self.columns, *([self._label] if self._label and self._label not in self.columns else [])]

    def _training_batches(self, training: NDArray[np.bool_]) -> Iterator[tuple[Table, RowIndices]]:
        """Each batch with the numbers of its training rows; labels are put aside on the way [1]."""
        labels: NDArray[Any] | None = None
        for first_row, table in self._table.batches(self._wanted):
            here = slice(first_row, first_row + table.rows)
            if self._label:
                if labels is None:
                    labels = np.empty(self.rows, table.values[self._label].dtype)
                labels[here] = table.values[self._label]
            yield table, np.flatnonzero(training[here])
        if labels is not None:
            aligned = labels if self._table.order is None else labels[self._table.order]
            schema = {self._label: self._declared[self._label]}
            self._labels = Table(self._table.name, None, self.rows, {self._label: aligned}, schema)

    def _collected(self) -> Table:
        if self._labels is None:
            raise TertiumError("labels were asked for before the rows were read")
        return self._labels
