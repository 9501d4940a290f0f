import decimal
import traceback
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import RowsError
from party.rows.cells import check_cells, check_ids, check_range
from party.rows.schema import Column

REAL = Column(type="real")
INTEGER = Column(type="integer")
BOOLEAN = Column(type="boolean")
CATEGORY = Column(type="category", categories=("red", "7", "blue"))


def _check(values: Any, column: Column, stored: pa.DataType | None = None) -> np.ndarray:
    return check_cells(pa.chunked_array([pa.array(values, type=stored)]), column, file="f.csv", name="c")


@pytest.mark.parametrize(
    ("values", "stored", "column", "wanted", "dtype"),
    [
        (["1.5", " -2e3 "], None, REAL, [1.5, -2000.0], np.float64),
        ([1, 2], pa.int8(), REAL, [1.0, 2.0], np.float64),
        ([1.5, 2.5], pa.float32(), REAL, [1.5, 2.5], np.float32),
        ([np.float16(1.5)], pa.float16(), REAL, [1.5], np.float32),
        ([decimal.Decimal("1.25")], pa.decimal128(5, 2), REAL, [1.25], np.float64),
        (["3", "4.0"], None, INTEGER, [3, 4], np.int64),
        (["9007199254740993"], None, INTEGER, [2**53 + 1], np.int64),
        ([3.0], pa.float32(), INTEGER, [3], np.int64),
        ([3], pa.uint64(), INTEGER, [3], np.int64),
        (["0", "1", "True", "FALSE"], None, BOOLEAN, [False, True, True, False], np.bool_),
        ([True, False], pa.bool_(), BOOLEAN, [True, False], np.bool_),
        ([0, 1], pa.uint8(), BOOLEAN, [False, True], np.bool_),
        (["blue", " red"], None, CATEGORY, [2, 0], np.int32),
        ([7, 7], pa.int64(), CATEGORY, [1, 1], np.int32),
        ([7.0], pa.float64(), CATEGORY, [1], np.int32),
    ],
)
def test_text_and_stored_types_give_the_same_values(
    values: list[Any], stored: pa.DataType | None, column: Column, wanted: list[Any], dtype: type
) -> None:
    found = _check(values, column, stored)
    assert found.tolist() == wanted
    assert found.dtype == dtype


def test_dictionary_columns_are_decoded() -> None:
    cells = pa.chunked_array([pa.array(["red", "blue", "red"]).dictionary_encode()])
    assert check_cells(cells, CATEGORY, file="f", name="c").tolist() == [0, 2, 0]


BOUNDED = Column(type="real", low=0, high=10)

REFUSALS = [
    ("31337.25", None, BOUNDED, "a value above the range", "a finite real number from 0 to 10"),
    ("-31337.25", None, BOUNDED, "a value below the range", "a finite real number from 0 to 10"),
    (
        31337,
        pa.int64(),
        Column(type="integer", high=9),
        "a value above the range",
        "a whole number of at most 9",
    ),
    ("nan", None, BOUNDED, "NaN or infinity", "a finite real number from 0 to 10"),
    (float("inf"), pa.float64(), REAL, "NaN or infinity", "a finite real number"),
    ("31337x", None, REAL, "text that is not a number", "a finite real number"),
    ("31337x", None, INTEGER, "text that is not a number", "a whole number"),
    ("31337.25", None, INTEGER, "a number with a fraction", "a whole number"),
    (31337.25, pa.float64(), INTEGER, "a number with a fraction", "a whole number"),
    (2**63, pa.uint64(), INTEGER, "too large", "a whole number"),
    ("31337", None, BOOLEAN, "something else", "0, 1, true or false"),
    (31337, pa.int64(), BOOLEAN, "something else", "0, 1, true or false"),
    ("sekret31337", None, CATEGORY, "a category that is not declared", "one of the 3 declared categories"),
    (31337, pa.int64(), CATEGORY, "a category that is not declared", "one of the 3 declared categories"),
    (None, None, CATEGORY, "a missing cell", "one of the 3 declared categories"),
    ("  ", None, REAL, "a missing cell", "a finite real number"),
    (None, pa.float64(), BOUNDED, "a missing cell", "a finite real number from 0 to 10"),
]


@pytest.mark.parametrize(("bad", "stored", "column", "found", "wanted"), REFUSALS)
@pytest.mark.parametrize("place", [0, 3, 6])
def test_a_refusal_names_row_and_column_and_never_the_cell(
    bad: Any, stored: pa.DataType | None, column: Column, found: str, wanted: str, place: int
) -> None:
    good: Any = "7" if stored is None else 7 if not pa.types.is_floating(stored) else 7.0
    if column is BOOLEAN:
        good = "1" if stored is None else 1
    values = [good] * 7
    values[place] = bad
    with pytest.raises(RowsError) as caught:
        _check(values, column, stored)
    message = str(caught.value)
    assert message.startswith(f'f.csv: row {place + 1}, column "c": found ')
    assert found in message
    assert wanted in message
    assert "31337" not in "".join(traceback.format_exception(caught.value))


def test_the_other_bad_rows_are_counted() -> None:
    with pytest.raises(RowsError, match=r"row 2, .* \(and in 2 more rows\)"):
        _check([1.0, np.nan, np.inf, 2.0, -np.inf], REAL)


@given(st.lists(st.integers(0, 1), min_size=1, max_size=40))
def test_halving_finds_the_first_text_that_is_no_number(flags: list[int]) -> None:
    texts = ["x" if flag else "1" for flag in flags]
    if 1 not in flags:
        assert _check(texts, REAL).tolist() == [1.0] * len(flags)
        return
    with pytest.raises(RowsError, match=f"row {flags.index(1) + 1}, "):
        _check(texts, REAL)


@pytest.mark.parametrize(
    ("values", "column"), [([b"1"], REAL), ([True], REAL), ([b"red"], CATEGORY), ([b"1"], BOOLEAN)]
)
def test_a_stored_type_that_means_something_else_is_refused(values: list[Any], column: Column) -> None:
    with pytest.raises(RowsError, match=r'column "c" is stored as (binary|bool), wanted'):
        _check(values, column)


def test_a_float32_at_a_bound_that_float32_rounds_is_inside() -> None:
    values = np.array([0.1], dtype=np.float32)  # its double is above 0.1
    assert check_range(values, Column(type="real", high=0.1), file="f", name="c") is values


def test_whole_number_ids_are_the_same_text_from_any_type() -> None:
    stored = [pa.array(["7", " 12"]), pa.array([7, 12]), pa.array([7.0, 12.0]), pa.array([7, 12], pa.uint8())]
    found = {check_ids(pa.chunked_array([cells]), file="f", name="id") for cells in stored}
    assert found == {("7", "12")}
    assert check_ids(pa.chunked_array([["007"]]), file="f", name="id") == ("007",)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (["a", None], "row 2, .* a missing cell"),
        (["", "b"], "row 1, .* a missing cell"),
        ([1.0, 2.5], "row 2, .* a fraction"),
        ([True, False], "stored as bool"),
        ([b"a", b"b"], "stored as binary"),
    ],
)
def test_ids_that_are_not_text_or_whole_numbers_are_refused(values: list[Any], complaint: str) -> None:
    with pytest.raises(RowsError, match=complaint):
        check_ids(pa.chunked_array([pa.array(values)]), file="f", name="id")
