"""Predictions on new rows, written where the label holder keeps its state and nowhere else."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.durable import durable_file
from kernel.network import LossName

_ROWS_AT_ONCE = 1 << 16


def write_predictions(
    file: Path,
    ids: Iterator[Sequence[str]] | None,
    loss: LossName,
    outputs: NDArray[np.float32],
    decode: Callable[[NDArray[np.float32]], NDArray[Any]],
) -> None:
    """A CSV with one line a row, in aligned order: id (or row number from 1) and the prediction.

    Args:
      ids: in aligned order, some at a time; None where the row number is the identity.
      outputs: the head's linear outputs, [rows, outputs].
      decode: `LabelEncoder.decode`: to probability [n], class probabilities [n, classes], or value [n] in the label's
        own unit.
    """
    import pyarrow as pa
    from pyarrow import csv

    with durable_file(file) as out:
        for start, names in _pieces(len(outputs), ids):
            decoded = decode(outputs[start : start + len(names)])
            columns: dict[str, Any] = {"row" if ids is None else "id": names}
            if loss == "multiclass":
                columns["class"] = decoded.argmax(axis=1)
                columns |= {f"probability_{index}": decoded[:, index] for index in range(decoded.shape[1])}
            else:
                columns["probability" if loss == "binary" else "value"] = decoded.reshape(len(names))
            csv.write_csv(pa.table(columns), out, csv.WriteOptions(include_header=start == 0))


def _pieces(rows: int, ids: Iterator[Sequence[str]] | None) -> Iterator[tuple[int, Sequence[Any]]]:
    """(first row, names of this and the next rows), from row 0 on."""
    if ids is None:
        for start in range(0, rows, _ROWS_AT_ONCE):
            yield start, range(start + 1, min(start + _ROWS_AT_ONCE, rows) + 1)
        return
    start = 0
    for texts in ids:
        yield start, texts
        start += len(texts)
