"""A Parquet table in batches: the cells of the table in memory, and refusals that name the same row."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from kernel.errors import RowsError
from party.rows import streamed_table
from party.rows.loaders import load_table
from party.rows.schema import Column, TableSettings
from party.rows.streamed_table import StreamedTable

COLUMNS = {
    "age": Column(type="integer", low=0, high=120),
    "dose": Column(type="real", low=0),
    "weight": Column(type="real"),
    "smoker": Column(type="boolean"),
    "ward": Column(type="category", categories=("north", "south")),
}
ROWS = 37


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Eight rows at a time, whatever the columns."""
    monkeypatch.setattr(streamed_table, "_MOST_ROWS", 8)
    monkeypatch.setattr(streamed_table, "_FEWEST_ROWS", 8)


def write(path: Path, **changed: object) -> Path:
    draw = np.random.default_rng(2)
    cells = {
        "patient": [f"p{number}" for number in draw.permutation(ROWS)],
        "age": draw.integers(0, 120, ROWS),
        "dose": draw.random(ROWS),
        "weight": draw.normal(70, 9, ROWS).astype(np.float32),
        "smoker": draw.random(ROWS) < 0.5,
        "ward": pa.array(["north" if one else "south" for one in draw.random(ROWS) < 0.5]).dictionary_encode(),
    }
    pq.write_table(pa.table({**cells, **changed}), path, row_group_size=11)
    return path


def settings_of(path: Path, **more: object) -> TableSettings:
    return TableSettings.model_validate({"source": str(path), "columns": COLUMNS, "storage": "disk", **more})


@pytest.mark.parametrize("first_rows", [None, 1, 8, 20, ROWS])
def test_batches_are_the_table_in_memory(tmp_path, first_rows):
    settings = settings_of(write(tmp_path / "rows.parquet"), first_rows=first_rows)
    table = load_table("t", settings, data_directory=None)
    streamed = StreamedTable("t", settings)
    batches = list(streamed.batches(list(COLUMNS)))
    assert streamed.rows == table.rows == (first_rows or ROWS)
    assert max(batch.rows for _, batch in batches) <= 8
    assert [start for start, _ in batches] == np.cumsum([0, *(batch.rows for _, batch in batches)])[:-1].tolist()
    for name in COLUMNS:
        joined = np.concatenate([batch.values[name] for _, batch in batches])
        assert joined.dtype == table.values[name].dtype
        assert np.array_equal(joined, table.values[name])


@pytest.mark.parametrize("align", ["sort", "file_order"])
def test_ids_and_their_order(tmp_path, align):
    settings = settings_of(write(tmp_path / "rows.parquet"), id="patient", align=align, first_rows=30)
    streamed = StreamedTable("t", settings)
    ids = load_table("t", settings, data_directory=None, columns=["age"]).ids
    assert streamed.ids.to_pylist() == list(ids)
    if align == "sort":
        assert [ids[row] for row in streamed.order] == sorted(ids)
    else:
        assert streamed.order is None


@pytest.mark.parametrize(
    ("column", "row", "value", "found"),
    [
        ("age", 20, 121, "a value above the range"),
        ("dose", 30, -1.0, "a value below the range"),
        ("dose", 5, float("nan"), "NaN or infinity"),
        ("smoker", 33, 2, "something else"),
        ("ward", 17, "attic", "a category that is not declared"),
        ("age", 25, None, "a missing cell"),
    ],
)
def test_a_bad_cell_in_any_batch_is_named_by_its_row_in_the_file(tmp_path, column, row, value, found):
    good = pq.read_table(write(tmp_path / "good.parquet"))[column].to_pylist()
    good[row] = value
    cells = pa.array([int(one) for one in good] if column == "smoker" else good)
    settings = settings_of(write(tmp_path / "rows.parquet", **{column: cells}))
    with pytest.raises(RowsError) as streamed:
        list(StreamedTable("t", settings).batches(list(COLUMNS)))
    with pytest.raises(RowsError) as loaded:
        load_table("t", settings, data_directory=None)
    assert f'row {row + 1}, column "{column}": found {found}' in str(loaded.value)
    assert str(streamed.value) == str(loaded.value)


def test_several_bad_cells_are_counted_within_their_batch(tmp_path):
    dose = np.where(np.isin(np.arange(ROWS), [17, 18, 30]), -1.0, 1.0)
    streamed = StreamedTable("t", settings_of(write(tmp_path / "rows.parquet", dose=dose)))
    with pytest.raises(RowsError, match=r'row 18, column "dose": .* \(and in 1 more rows of its batch\)'):
        list(streamed.batches(["dose"]))


def test_repeated_and_missing_ids(tmp_path):
    ids = [f"secret{number % 36}" for number in range(ROWS)]
    with pytest.raises(RowsError, match="1 duplicate ids among 37 rows") as caught:
        StreamedTable("t", settings_of(write(tmp_path / "rows.parquet", patient=ids), id="patient"))
    assert "secret" not in str(caught.value)
    ids[20] = None
    with pytest.raises(RowsError, match='row 21, column "patient": found a missing cell'):
        StreamedTable("t", settings_of(write(tmp_path / "more.parquet", patient=ids), id="patient"))


def test_files_that_cannot_be_read(tmp_path):
    path = write(tmp_path / "rows.parquet")
    with pytest.raises(RowsError, match="There is no file"):
        StreamedTable("t", settings_of(tmp_path / "nowhere.parquet"))
    with pytest.raises(RowsError, match=r"first_rows is 38, and .* has 37 rows; lower it"):
        StreamedTable("t", settings_of(path, first_rows=38))
    taller = StreamedTable("t", settings_of(path, columns={**COLUMNS, "height": Column(type="real")}))
    with pytest.raises(RowsError, match='has no column "height"; did you mean "weight"'):
        list(taller.batches(["height"]))
    (tmp_path / "text.parquet").write_text("age\n3\n")
    with pytest.raises(RowsError, match="is not a readable Parquet file"):
        StreamedTable("t", settings_of(tmp_path / "text.parquet"))
    pq.write_table(pa.table({"age": pa.array([], pa.int64())}), tmp_path / "empty.parquet")
    with pytest.raises(RowsError, match="has no rows"):
        StreamedTable("t", settings_of(tmp_path / "empty.parquet"))


def test_a_file_that_changes_between_readings_is_refused(tmp_path):
    path = write(tmp_path / "rows.parquet")
    streamed = StreamedTable("t", settings_of(path))
    assert sum(batch.rows for _, batch in streamed.batches(["age"])) == ROWS
    os.utime(path, ns=(1, 1))
    with pytest.raises(RowsError, match="was written to while it was read"):
        list(streamed.batches(["age"]))


@pytest.mark.parametrize("source", ["rows.csv", "rows.npz", "builtin:wine"])
def test_other_sources_cannot_be_kept_on_disk(source):
    columns = {} if source.startswith("builtin") else COLUMNS
    with pytest.raises(
        ValidationError, match=rf'storage = "disk" reads a .parquet file in batches, and {source} is none'
    ):
        TableSettings.model_validate({"source": source, "columns": columns, "storage": "disk"})
