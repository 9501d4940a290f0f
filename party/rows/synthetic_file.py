"""Synthetic rows as Parquet: what a coordinator hands on of what generators made. No real cell passes here."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kernel.errors import RowsError


def synthetic_parquet(
    columns: Sequence[str], values: NDArray[np.float32], label: str, labels: NDArray[np.int64]
) -> bytes:
    """The bytes of a file with a column for each of ``values``, and the rows' classes last.

    Args:
      columns: names; values: float32[rows, columns], as they are; label: name of the last column; labels: int64[rows].

    Raises:
      RowsError: the label is called as a column is, or names repeat.
    """
    names = [*columns, label]
    if len(set(names)) != len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise RowsError(
            f'two columns of the synthetic rows are called "{repeated}"; write .npz, which keeps them apart.'
        )
    cells = [pa.array(np.ascontiguousarray(values[:, place])) for place in range(values.shape[1])]
    file = pa.BufferOutputStream()
    pq.write_table(pa.table([*cells, pa.array(labels)], names=names), file)
    encoded: bytes = file.getvalue().to_pybytes()
    return encoded
