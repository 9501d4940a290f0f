"""builtin:generated: a row is a function of seed and place, whoever makes which part of it."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from kernel.errors import RowsError
from kernel.metrics.scores import auc
from party.rows.generated import BLOCK_ROWS, generated_blocks, generated_columns, load_generated, write_generated
from party.rows.loaders import declared_columns, load_table
from party.rows.schema import Generated, TableSettings

SIZE = Generated(rows=BLOCK_ROWS + 500, columns=5, seed=9)
NAMES = ["V1", "V2", "V3", "V4", "V5", "y"]


def whole(size=SIZE, columns=tuple(NAMES)):
    return load_generated("made", size, columns, rows=size.rows)


def test_the_schema_is_known_before_a_row_is_made():
    assert list(generated_columns(SIZE)) == NAMES
    settings = TableSettings(source="builtin:generated", generate=SIZE)
    assert {name: column.type for name, column in declared_columns(settings).items()} == {
        **dict.fromkeys(NAMES[:-1], "real"),
        "y": "boolean",
    }


def test_parties_that_make_their_own_columns_hold_one_table():
    table = whole()
    for part in (["V1", "V2"], ["V5", "V3"], ["y"]):
        mine = whole(columns=tuple(part))
        assert list(mine.values) == part
        for name in part:
            assert np.array_equal(mine.values[name], table.values[name]), name


def test_a_shorter_table_is_the_beginning_of_a_longer_one_and_seeds_tell_tables_apart():
    table, shorter = whole(), whole(SIZE.model_copy(update={"rows": BLOCK_ROWS - 7}))
    for name in NAMES:
        assert np.array_equal(shorter.values[name], table.values[name][: BLOCK_ROWS - 7])
    other = whole(SIZE.model_copy(update={"seed": 10}))
    assert not any(np.array_equal(other.values[name], table.values[name]) for name in NAMES)


def test_columns_are_standard_normal_and_the_label_follows_from_them():
    table = whole()
    rows = np.stack([table.values[name] for name in NAMES[:-1]], axis=1).astype(np.float64)
    # 66,036 rows: 6 standard errors of a mean are 0.023, of a deviation 0.017, of a correlation 0.023
    assert np.abs(rows.mean(axis=0)).max() < 0.023
    assert np.abs(rows.std(axis=0) - 1).max() < 0.017
    assert np.abs(np.corrcoef(rows.T) - np.eye(5)).max() < 0.023
    assert abs(table.values["y"].mean() - 0.5) < 0.012
    assert auc(table.values["y"], rows @ [1, -1, 1, -1, 1]).value == pytest.approx(0.835, abs=0.01)
    assert auc(table.values["y"], rows[:, 0]).value > 0.55


def test_blocks_hold_no_more_than_a_block():
    lengths = [len(block["V1"]) for block in generated_blocks(SIZE, ["V1", "y"])]
    assert lengths == [BLOCK_ROWS, 500]


def test_a_written_table_is_the_made_one(tmp_path):
    path = tmp_path / "made.parquet"
    write_generated(SIZE, ["V2", "y"], path)
    file = pq.ParquetFile(path)
    assert file.metadata.num_row_groups == 2
    columns = {name: column.model_dump(exclude_defaults=True) for name, column in generated_columns(SIZE).items()}
    settings = TableSettings(source=str(path), columns={name: columns[name] for name in ("V2", "y")})
    read, made = load_table("t", settings, data_directory=None), whole(columns=("V2", "y"))
    assert read.rows == made.rows
    for name in ("V2", "y"):
        assert read.values[name].dtype == made.values[name].dtype
        assert np.array_equal(read.values[name], made.values[name])


def test_a_disk_that_refuses_is_a_sentence(tmp_path):
    with pytest.raises(RowsError, match="cannot write"):
        write_generated(SIZE, ["y"], tmp_path / "nowhere" / "made.parquet")


def test_first_rows_of_a_generated_table():
    settings = TableSettings(source="builtin:generated", generate=SIZE, first_rows=70)
    table = load_table("t", settings, data_directory=None, columns=["V4"])
    assert np.array_equal(table.values["V4"], whole().values["V4"][:70])


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"source": "builtin:generated"}, "belong together"),
        ({"source": "builtin:wine", "generate": {"rows": 10, "columns": 2}}, "belong together"),
        ({"source": "rows.csv", "generate": {"rows": 10, "columns": 2}}, "belong together"),
        ({"source": "builtin:generated", "generate": {"rows": 1, "columns": 2}}, "greater than or equal to 2"),
        ({"source": "builtin:generated", "generate": {"rows": 10, "columns": 0}}, "greater than or equal to 1"),
        ({"source": "builtin:generated", "generate": {"rows": 9, "columns": 2}, "first_rows": 10}, "of a table of 9"),
        ({"source": "builtin:generated", "generate": {"rows": 9, "columns": 2}, "storage": "disk"}, "none; save"),
        ({"source": "builtin:generated", "generate": {"rows": 9, "columns": 2}, "id": "V1"}, "no id column"),
    ],
)
def test_sections_that_cannot_be(section, sentence):
    with pytest.raises(ValidationError, match=sentence):
        TableSettings.model_validate(section)
