import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kernel.errors import RowsError
from party.rows.schema import Column, TableSettings, select_columns, suggestion

FRAUD = (*(f"V{index}" for index in range(1, 29)), "Amount", "y")


@pytest.mark.parametrize(
    ("declaration", "complaint"),
    [
        ({"type": "real", "low": 2, "high": 1}, "low 2 is above high 1"),
        ({"type": "real", "high": float("inf")}, "must be finite"),
        ({"type": "category"}, "needs its categories"),
        ({"type": "category", "categories": ["a", "b", "a"]}, "1 of 3 categories are repeated"),
        ({"type": "category", "categories": ["a "]}, "spaces around"),
        ({"type": "category", "categories": ["a"], "low": 0}, "not to a category column"),
        ({"type": "boolean", "high": 1}, "not to a boolean column"),
        ({"type": "real", "categories": ["a"]}, "not to a real column"),
        ({"type": "text"}, "type"),
        ({"type": "real", "lowest": 0}, "lowest"),
    ],
)
def test_a_column_that_contradicts_itself_is_refused(declaration: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Column.model_validate(declaration)


def test_bounds_may_touch_and_models_are_frozen() -> None:
    column = Column(type="integer", low=3, high=3)
    with pytest.raises(ValidationError, match="frozen"):
        column.low = 2


def test_a_builtin_takes_neither_columns_nor_id() -> None:
    assert TableSettings(source="builtin:wine").builtin == "wine"
    assert TableSettings(source="rows.csv").builtin is None
    with pytest.raises(ValidationError, match="carries its own schema"):
        TableSettings(source="builtin:wine", columns={"ash": Column(type="real")})
    with pytest.raises(ValidationError, match="no id column"):
        TableSettings(source="builtin:wine", id="ash")


@pytest.mark.parametrize("clip", [0, -1, float("inf"), float("nan")])
def test_a_clip_is_a_finite_number_above_zero(clip: float) -> None:
    with pytest.raises(ValidationError, match="clip_deviations"):
        TableSettings(source="rows.csv", clip_deviations=clip)


def test_names_and_inclusive_ranges_select_in_the_order_of_the_patterns() -> None:
    assert select_columns(FRAUD, ["Amount", "V3..V5", "V28"]) == ("Amount", "V3", "V4", "V5", "V28")
    assert select_columns(FRAUD, ["V28..y"]) == ("V28", "Amount", "y")
    assert select_columns(FRAUD, []) == ()


def test_a_name_that_holds_dots_is_a_name_before_it_is_a_range() -> None:
    assert select_columns(("a", "b", "a..b"), ["a..b"]) == ("a..b",)


@given(st.integers(0, 29), st.integers(0, 29))
def test_a_range_is_the_slice_of_the_table_order(first: int, last: int) -> None:
    pattern = f"{FRAUD[first]}..{FRAUD[last]}"
    if first <= last:
        assert select_columns(FRAUD, [pattern]) == FRAUD[first : last + 1]
    else:
        with pytest.raises(RowsError, match="runs backwards"):
            select_columns(FRAUD, [pattern])


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(RowsError, match=r'called "Amuont"; did you mean "Amount"\?'):
        select_columns(FRAUD, ["Amuont"])
    with pytest.raises(RowsError, match=r'"V29" \(in the range "V1..V29"\); did you mean "V'):
        select_columns(FRAUD, ["V1..V29"])


def test_duplicates_are_refused_and_named() -> None:
    with pytest.raises(RowsError, match=r'more than once: "V2", "V3"; name'):
        select_columns(FRAUD, ["V1..V3", "V2..V3"])


def test_a_suggestion_lists_a_few_names_and_counts_many() -> None:
    assert suggestion("q", ("ash", "hue")) == 'the names are "ash", "hue".'
    assert suggestion("???", FRAUD) == 'there are 30 names, from "V1" to "y".'
    assert suggestion("q", ()) == "there are none."
