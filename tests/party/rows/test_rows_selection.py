"""Which rows a table uses: by hand, and that shares are disjoint, complete, deterministic and in the source's order."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kernel.errors import RowsError
from party.rows.loaders import load_table
from party.rows.schema import Column, KeptShares, SelectedShare, TableSettings
from party.rows.selection import kept_rows, selected_rows, share_rows, window_rows
from party.rows.sizes import table_size, write_table

MADE = {"source": "builtin:generated", "generate": {"rows": 300, "columns": 3, "seed": 4}}
fractions = st.floats(0, 1, allow_nan=False)


def settings(**more) -> TableSettings:
    return TableSettings(source="t.csv", columns={"x": {"type": "integer"}}, **more)


def keep_of(cells, shares, otherwise=1.0, seed=0, kind="integer", categories=()):
    keep = KeptShares(column="x", shares=shares, otherwise=otherwise, seed=seed)
    column = Column(type=kind, categories=categories)
    return kept_rows("t", settings(), keep, np.array(cells), column).tolist()


@pytest.mark.parametrize(
    ("skip", "first", "found"), [(0, None, range(10)), (3, None, range(3, 10)), (3, 4, range(3, 7)), (0, 10, range(10))]
)
def test_a_window_by_hand(skip, first, found):
    assert window_rows("t", settings(skip_rows=skip, first_rows=first), 10) == found


def test_windows_that_ask_for_too_much():
    with pytest.raises(RowsError, match=r"skip_rows is 10, and t.csv has 10 rows; none would be left"):
        window_rows("t", settings(skip_rows=10), 10)
    with pytest.raises(RowsError, match=r"first_rows is 8 after skip_rows = 3, and t.csv has 10 rows"):
        window_rows("t", settings(skip_rows=3, first_rows=8), 10)


@given(rows=st.integers(1, 400), seed=st.integers(0, 2**63 - 1), cuts=st.lists(fractions, max_size=4, unique=True))
def test_touching_shares_are_disjoint_and_complete(rows, seed, cuts):
    bounds = [0.0, *sorted(cut for cut in cuts if 0 < cut < 1), 1.0]
    parts = []
    for first, last in pairwise(bounds):
        share = SelectedShare(seed=seed, first=first, last=last)
        parts.append(selected_rows(rows, share))
        assert len(parts[-1]) == share_rows(rows, share)
        assert np.all(np.diff(parts[-1]) > 0)
        assert np.array_equal(parts[-1], selected_rows(rows, share))
    assert sorted(np.concatenate(parts).tolist()) == list(range(rows))


def test_another_seed_selects_other_rows():
    one, other = (selected_rows(1000, SelectedShare(seed=seed, last=0.5)) for seed in (1, 2))
    # two halves at random share 250 rows on average; all 500 with probability below 1e-298
    assert 150 < len(np.intersect1d(one, other)) < 350


def test_shares_of_classes_by_hand():
    cells = [0, 1, 0, 1, 2, 0, 1, 0, 2, 1]  # four of 0, four of 1, two of 2
    assert keep_of(cells, {"0": 1.0}, otherwise=0.0) == [0, 2, 5, 7]
    assert keep_of(cells, {"0": 0.0}) == [1, 3, 4, 6, 8, 9]
    half = keep_of(cells, {"0": 0.5, "1": 0.25, "2": 0.5}, otherwise=0.0)
    assert sorted(cells[row] for row in half) == [0, 0, 1, 2]
    assert half == sorted(half)
    assert keep_of([True, False, True], {"true": 1.0}, 0.0, kind="boolean") == [0, 2]
    assert keep_of([1, 0, 1], {"ill": 1.0}, 0.0, kind="category", categories=("well", "ill")) == [0, 2]
    assert keep_of([-1, 4, -1], {"-1": 1.0}, 0.0) == [0, 2]


@given(
    cells=st.lists(st.integers(-2, 3), min_size=1, max_size=60), shares=st.dictionaries(st.integers(-2, 3), fractions)
)
def test_each_class_has_its_share_and_a_larger_one_holds_the_smaller(cells, shares):
    kept = keep_of(cells, {str(label): share for label, share in shares.items()}, otherwise=1.0, seed=5)
    for label in set(cells):
        wanted = int(np.floor(cells.count(label) * shares.get(label, 1.0) + 0.5))
        assert sum(cells[row] == label for row in kept) == wanted
    smaller = keep_of(cells, {str(label): share / 2 for label, share in shares.items()}, otherwise=0.5, seed=5)
    assert set(smaller) <= set(kept)
    assert kept == sorted(kept)


def test_classes_that_a_column_cannot_have():
    with pytest.raises(RowsError, match=r'"x" is real and has no classes'):
        keep_of([0.5], {}, kind="real")
    with pytest.raises(RowsError, match=r"names 1 classes that column"):
        keep_of([True], {"yes": 1.0}, kind="boolean")


def test_a_file_gives_the_selected_rows_in_its_order_and_does_not_look_at_skipped_ones(tmp_path: Path):
    path = tmp_path / "rows.csv"
    rows = "".join(f"p{row},{row},{row % 3}\n" for row in range(1, 31))
    path.write_text("patient,age,kind\npx,broken,0\n" + rows, encoding="utf-8")
    columns = {"age": {"type": "integer"}, "kind": {"type": "integer"}}
    common = {"source": str(path), "id": "patient", "columns": columns, "skip_rows": 1}
    whole = load_table("t", TableSettings(**common), data_directory=None, columns=["age"])
    assert whole.values["age"].tolist() == list(range(1, 31))
    assert whole.ids == tuple(f"p{row}" for row in range(1, 31))
    keep = {"column": "kind", "shares": {"0": 1.0}, "otherwise": 0.0}
    third = load_table("t", TableSettings(**common, keep=keep), data_directory=None, columns=["age"])
    assert third.values["age"].tolist() == list(range(3, 31, 3))
    assert list(third.values) == ["age"]
    assert third.ids == tuple(f"p{row}" for row in range(3, 31, 3))
    halves = [
        load_table("t", TableSettings(**common, select=share), data_directory=None, columns=["age"])
        .values["age"]
        .tolist()
        for share in ({"seed": 3, "last": 0.5}, {"seed": 3, "first": 0.5, "last": 1.0})
    ]
    assert sorted(halves[0] + halves[1]) == list(range(1, 31))
    assert all(half == sorted(half) for half in halves)
    path.write_text("patient,age,kind\npx,1,0\npy,broken,0\n", encoding="utf-8")
    with pytest.raises(RowsError, match=r'row 2\b.*column "age"'):
        load_table("t", TableSettings(**common), data_directory=None, columns=["age"])


def test_builtin_and_generated_tables_are_selected_and_counted():
    wine = {"source": "builtin:wine", "skip_rows": 8, "first_rows": 100, "select": {"last": 0.25}}
    assert table_size("t", wine, ["alcohol", "target"]) == (25, 2)
    whole = load_table("t", TableSettings(source="builtin:wine"), data_directory=None, columns=["target"])
    zeros = int(np.sum(whole.values["target"] == 0))
    kept = {"source": "builtin:wine", "keep": {"column": "target", "shares": {"0": 1.0}, "otherwise": 0.0}}
    assert table_size("t", kept, ["alcohol"]) == (zeros, 1)
    made = {**MADE, "skip_rows": 100, "select": {"seed": 2, "last": 0.1}}
    assert table_size("t", made, ["V1"]) == (20, 1)
    table = load_table("t", TableSettings(**made), data_directory=None, columns=["V2"])
    everything = load_table("t", TableSettings(**MADE), data_directory=None, columns=["V2"]).values["V2"]
    rows = 100 + selected_rows(200, SelectedShare(seed=2, last=0.1))
    assert np.array_equal(table.values["V2"], everything[rows])
    positive = {**MADE, "keep": {"column": "y", "shares": {"true": 1.0}, "otherwise": 0.0}}
    counted = table_size("t", positive, ["V1"])[0]
    assert counted == int(load_table("t", TableSettings(**MADE), data_directory=None, columns=["y"]).values["y"].sum())


def test_refusals(tmp_path: Path):
    for more in ({"skip_rows": 1}, {"select": {"last": 0.5}}, {"keep": {"column": "x"}}):
        with pytest.raises(ValidationError, match=r'storage = "disk" reads the first rows'):
            TableSettings(source="t.parquet", storage="disk", **more)
    with pytest.raises(ValidationError, match=r"first = 0.5 is not below last = 0.5"):
        SelectedShare(first=0.5, last=0.5)
    with pytest.raises(ValidationError, match="first_rows is 250 after skip_rows = 51, of a table of 300 generated"):
        TableSettings(**MADE, skip_rows=51, first_rows=250)
    with pytest.raises(RowsError, match=r"written from its first row on"):
        write_table({**MADE, "skip_rows": 1}, ["V1"], tmp_path / "made.parquet")
    with pytest.raises(RowsError, match=r"select and keep leave none of 178 rows of builtin:wine"):
        table_size("t", {"source": "builtin:wine", "select": {"last": 1e-6}}, ["alcohol"])
