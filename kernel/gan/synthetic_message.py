"""Rows that generators made, as they travel between a party and the coordinator."""

import numpy as np
from numpy.typing import NDArray

from kernel.errors import WireError
from protos.v1 import coordination_pb2


def encode_synthetic(
    values: NDArray[np.float32], labels: NDArray[np.int64], column_names: tuple[str, ...] = ()
) -> coordination_pb2.SyntheticRows:
    """``values``: [rows, columns] in [0, 1]; ``labels``: [rows]."""
    return coordination_pb2.SyntheticRows(
        rows=values.shape[0],
        columns=values.shape[1],
        values=np.ascontiguousarray(values, "<f4").tobytes(),
        labels=np.ascontiguousarray(labels, "<i8").tobytes(),
        column_names=column_names,
    )


def decode_synthetic(message: coordination_pb2.SyntheticRows) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """float32[rows, columns] in [0, 1], and int64[rows].

    Raises:
      WireError: other sizes than the message says, no column, or a value outside [0, 1].
    """
    rows, columns = message.rows, message.columns
    if columns < 1 or len(message.values) != 4 * rows * columns or len(message.labels) != 8 * rows:
        raise WireError(
            f"synthetic rows say {rows} rows of {columns} columns and bring {len(message.values)} bytes of values and "
            f"{len(message.labels)} of labels; run one version everywhere"
        )
    values = np.frombuffer(message.values, "<f4").reshape(rows, columns).astype(np.float32)
    if not np.all((values >= 0) & (values <= 1)):
        raise WireError("a value of synthetic rows is not from 0 to 1; run one version everywhere")
    return values, np.frombuffer(message.labels, "<i8").astype(np.int64)
