"""Synthetic rows as Parquet: what is read back is what was written, and the class is in the last column."""

import io

import numpy as np
import pyarrow.parquet as pq
import pytest

from kernel.errors import RowsError
from party.rows.synthetic_file import synthetic_parquet

VALUES = np.array([[0.0, 0.25, 1.0], [0.5, 0.75, 0.125]], np.float32)
LABELS = np.array([3, -1], np.int64)


def test_values_and_classes_are_read_back():
    table = pq.read_table(io.BytesIO(synthetic_parquet(("a", "b", "c"), VALUES, "digit", LABELS)))
    assert table.column_names == ["a", "b", "c", "digit"]
    assert [str(kind) for kind in table.schema.types] == ["float", "float", "float", "int64"]
    assert table.to_pydict() == {"a": [0.0, 0.5], "b": [0.25, 0.75], "c": [1.0, 0.125], "digit": [3, -1]}


@pytest.mark.parametrize(("columns", "label", "named"), [(("a", "b", "a"), "y", "a"), (("a", "b", "y"), "y", "y")])
def test_names_that_repeat_are_refused(columns, label, named):
    with pytest.raises(RowsError, match=f'two columns of the synthetic rows are called "{named}"'):
        synthetic_parquet(columns, VALUES, label, LABELS)
