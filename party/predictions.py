"""Predictions on new rows, written where the label holder keeps its state and nowhere else."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.durable import write_durably
from kernel.network import LossName


def write_predictions(file: Path, ids: Sequence[str] | None, loss: LossName, decoded: NDArray[Any]) -> None:
    """A CSV with one line a row, in aligned order: id (or row number from 1) and the prediction.

    Args:
      decoded: `LabelEncoder.decode` of the head's outputs: probability [rows], class probabilities [rows, classes], or
        value [rows] in the label's own unit.
    """
    import pyarrow as pa
    from pyarrow import csv

    rows = len(decoded)
    columns: dict[str, Any] = {"id": list(ids)} if ids is not None else {"row": np.arange(1, rows + 1)}
    if loss == "multiclass":
        columns["class"] = decoded.argmax(axis=1)
        columns |= {f"probability_{index}": decoded[:, index] for index in range(decoded.shape[1])}
    else:
        columns["probability" if loss == "binary" else "value"] = decoded.reshape(rows)
    buffer = io.BytesIO()
    csv.write_csv(pa.table(columns), buffer)
    write_durably(file, buffer.getvalue())
