import numpy as np
import pytest

from kernel.errors import RowsError
from party.rows.schema import Column
from party.rows.table import Table, check_row_numbers

REAL = Column(type="real")


def _table() -> Table:
    return Table("t", ("anna", "otto"), 2, {"height": np.array([1.61, 1.87])}, {"height": REAL})


def test_repr_shows_neither_ids_nor_values() -> None:
    text = repr(_table())
    assert text == "Table(name='t', rows=2)"


def test_parts_must_agree() -> None:
    values = {"height": np.zeros(2)}
    with pytest.raises(RowsError, match="1 ids for 2 rows"):
        Table("t", ("anna",), 2, values, {"height": REAL})
    with pytest.raises(RowsError, match=r"has shape \(2,\); \(3,\) is needed"):
        Table("t", None, 3, values, {"height": REAL})
    with pytest.raises(RowsError, match="same columns"):
        Table("t", None, 2, values, {"weight": REAL})


def test_a_column_comes_with_its_declaration() -> None:
    values, declared = _table().column("height")
    assert values.tolist() == [1.61, 1.87]
    assert declared is REAL
    with pytest.raises(RowsError, match='no column "hieght"; did you mean "height"'):
        _table().column("hieght")


@pytest.mark.parametrize(
    ("row_numbers", "complaint"),
    [
        (np.array([], dtype=np.int64), "no training rows"),
        (np.array([0, 2], dtype=np.int64), "outside its 2 rows"),
        (np.array([-1], dtype=np.int64), "outside its 2 rows"),
        (np.array([0, 1], dtype=np.int32), r"int32\[2\]; int64\[n\] is needed"),
        (np.array([[0, 1]], dtype=np.int64), r"int64\[1, 2\]; int64\[n\] is needed"),
        (np.array([True, False]), "bool"),
    ],
)
def test_row_numbers_outside_the_table_are_refused(row_numbers: np.ndarray, complaint: str) -> None:
    with pytest.raises(RowsError, match=complaint):
        check_row_numbers(_table(), row_numbers, "training")


def test_good_row_numbers_pass_unchanged() -> None:
    rows = np.array([1, 0], dtype=np.int64)
    assert check_row_numbers(_table(), rows, "test") is rows
