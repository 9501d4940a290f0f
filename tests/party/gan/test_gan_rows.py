"""party.gan.rows: tables of a few rows, scaled, classed and split by hand; and what is refused by its name."""

import numpy as np
import pytest

from kernel.errors import RowsError, SettingsError
from kernel.gan.spec import ImageShape
from party.gan.rows import load_gan_rows, to_unit
from party.rows.schema import TableSettings
from protos.v1 import plan_pb2

NUMBER = {"type": "real", "low": 0, "high": 10}
COUNT = {"type": "integer", "low": -1, "high": 3}
DIGIT = {"type": "integer", "low": 0, "high": 9}
TABLE = "x,n,digit\n0,-1,3\n5,1,3\n10,3,3\n2.5,0,7\n7.5,2,7\n"


@pytest.fixture
def table(tmp_path):
    """``table(text, **changes)``: settings of a CSV of this text; ``columns`` of it are numbers unless said otherwise."""

    def made(text=TABLE, name="mine", **changes):
        path = tmp_path / f"{name}.csv"
        path.write_text(text)
        columns = {"x": NUMBER, "n": COUNT, "digit": DIGIT, **changes.pop("columns", {})}
        return TableSettings.model_validate({"source": str(path), "columns": columns, **changes})

    return made


def load(tables, classes=(), fraction=0.34, seed=0, **part):
    wanted = {"name": "ann", "table": "mine", "columns": ["x", "n"], "label": "digit", **part}
    return load_gan_rows(plan_pb2.PartyPlan(**wanted), tables, None, classes, fraction, seed)


def together(rows, label):
    """All rows of a class, sorted."""
    both = np.concatenate([rows.train[label], rows.holdout[label]])
    return both[np.lexsort(both.T[::-1])].tolist()


def test_bounds_become_minus_one_and_one_and_labels_classes(table):
    rows = load({"mine": table()})
    assert together(rows, 3) == [[-1, -1], [0, 0], [1, 1]]
    assert together(rows, 7) == [[-0.5, -0.5], [0.5, 0.5]]
    assert (rows.columns, rows.image) == (("x", "n"), None)
    assert list(rows.train) == list(rows.holdout) == [3, 7]
    assert rows.train[3].dtype == np.float32


def test_a_share_of_every_class_is_held_out(table):
    """round(3 * 0.34) = 1; of two rows 0.68 is rounded to one, and 0.1 would be none, but one stays on either side."""
    for fraction in (0.34, 0.1, 0.9):
        rows = load({"mine": table()}, fraction=fraction)
        held = {label: len(one) for label, one in rows.holdout.items()}
        assert held == ({3: 2, 7: 1} if fraction == 0.9 else {3: 1, 7: 1})
        assert {label: len(one) for label, one in rows.train.items()} == {3: 3 - held[3], 7: 1}


def test_the_seed_draws_the_split_and_a_class_not_what_is_beside_it(table):
    text = "x,n,digit\n" + "".join(f"{number / 10},0,{digit}\n" for digit in (1, 2) for number in range(100))
    tables = {"mine": table(text)}
    first, again, other = load(tables), load(tables, classes=(2,)), load(tables, seed=1)
    np.testing.assert_array_equal(first.holdout[2], again.holdout[2])
    assert list(again.train) == [2]
    assert first.holdout[2].tolist() != other.holdout[2].tolist()
    assert first.holdout[2].tolist() != first.holdout[1].tolist()
    assert len(first.holdout[2]) == 34


def test_a_class_of_the_plan_that_is_not_here_has_no_rows(table):
    rows = load({"mine": table()}, classes=(9, 3))
    assert list(rows.train) == [3, 9]
    assert rows.train[9].shape == rows.holdout[9].shape == (0, 2)


def test_rows_of_another_table_are_held_out_and_none_of_this_one(table):
    other = table("x,n,digit\n1,0,7\n2,0,5\n", name="other")
    rows = load({"mine": table(), "other": other}, holdout="other")
    assert {label: len(one) for label, one in rows.train.items()} == {3: 3, 5: 0, 7: 2}
    assert {label: len(one) for label, one in rows.holdout.items()} == {3: 0, 5: 1, 7: 1}
    assert rows.holdout[7].tolist() == [[pytest.approx(-0.8), -0.5]]


def test_other_rows_of_the_same_source_are_held_out(table):
    rows = load({"mine": table(first_rows=3), "other": table(skip_rows=3)}, holdout="other")
    assert {label: len(one) for label, one in rows.train.items()} == {3: 3, 7: 0}
    assert {label: len(one) for label, one in rows.holdout.items()} == {3: 0, 7: 2}


def test_a_single_row_is_enough_with_a_holdout_table(table):
    one = "x,n,digit\n1,0,7\n"
    tables = {"mine": table(one), "other": table(one, name="other")}
    assert len(load(tables, holdout="other").train[7]) == 1
    with pytest.raises(RowsError, match=r"Class 7 of mine has a single row.*name a holdout table"):
        load(tables)


@pytest.mark.parametrize(
    ("declared", "cells", "classes"),
    [
        ({"type": "category", "categories": ("cat", "dog")}, ("dog", "cat"), [1, 0]),
        ({"type": "boolean"}, ("true", "false"), [1, 0]),
        (DIGIT, ("4", "0"), [4, 0]),
    ],
)
def test_labels_of_every_kind(table, declared, cells, classes):
    text = "x,n,digit\n" + "".join(f"{number},0,{cell}\n" for number, cell in enumerate(cells) for _ in range(2))
    rows = load({"mine": table(text, columns={"digit": declared})})
    for number, label in enumerate(classes):
        assert together(rows, label) == [[pytest.approx(number / 5 - 1), -0.5]] * 2


def test_pixels_are_an_image(table):
    columns = {f"pixel{number}": {"type": "integer", "low": 0, "high": 255, "scale": "unit"} for number in range(4)}
    text = "pixel0,pixel1,pixel2,pixel3,digit\n" + "0,255,51,204,3\n" * 2
    settings = TableSettings.model_validate({"source": table(text).source, "columns": {**columns, "digit": DIGIT}})
    rows = load({"mine": settings}, columns=["pixel0..pixel3"])
    assert rows.image == ImageShape(2, 2)
    np.testing.assert_allclose(rows.train[3], [[-1, 1, -0.6, 0.6]], atol=1e-7)
    np.testing.assert_allclose(to_unit(rows.train[3]), [[0, 1, 0.2, 0.8]], atol=1e-7)


def test_the_unit_interval_is_never_left():
    assert to_unit(np.float32([-1.0000001, -1, 0, 1, 1.0000001])).tolist() == [0, 0, 0.5, 1, 1]


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ({"type": "real"}, 'Column "x" of mine has no low and high.*declare both'),
        ({"type": "real", "low": 0}, 'Column "x" of mine has no low and high'),
        ({"type": "real", "low": 5, "high": 5}, 'Column "x" of mine has no low and high'),
        ({"type": "boolean"}, r'Column "x" of mine is boolean.*integer from low = 0 to high = 1'),
        ({"type": "category", "categories": ("a",)}, r'Column "x" of mine is category; a GAN makes numbers\. Leave it'),
    ],
)
def test_a_column_no_gan_can_make_is_named_before_a_row_is_read(table, column, sentence):
    settings = table("not read\n", columns={"x": column})
    with pytest.raises(RowsError, match=sentence):
        load({"mine": settings})


def test_other_refusals(table):
    with pytest.raises(RowsError, match='Label "x" of mine is real'):
        load({"mine": table()}, columns=["n"], label="x")
    with pytest.raises(RowsError, match='Label "n" of mine has negative classes'):
        load({"mine": table()}, columns=["x"], label="n")
    with pytest.raises(RowsError, match='label "n" is among the columns'):
        load({"mine": table()}, label="n")
    for same in ({}, {"id": "n", "clip_deviations": 3}):
        with pytest.raises(RowsError, match="The holdout table other has the rows of mine, which are trained on"):
            load({"mine": table(), "other": table(**same)}, holdout="other")
    with pytest.raises(RowsError, match="The holdout table mine has the rows of mine"):
        load({"mine": table()}, holdout="mine")
    wider = table(name="other", columns={"x": {**NUMBER, "high": 20}})
    with pytest.raises(RowsError, match='Column "x" is declared otherwise in other than in mine'):
        load({"mine": table(), "other": wider}, holdout="other")
    on_disk = TableSettings.model_validate({**table().model_dump(), "source": "t.parquet", "storage": "disk"})
    with pytest.raises(SettingsError, match='table \'mine\' says storage = "disk"; use storage = "memory"'):
        load({"mine": on_disk})
