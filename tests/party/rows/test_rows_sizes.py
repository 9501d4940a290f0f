"""What the coordinator may ask of tables here: counts and schemas, a made-up file, and the bound of rows on disk."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from kernel.errors import RowsError
from party.rows.generated import load_generated
from party.rows.schema import Generated
from party.rows.sizes import disk_memory, table_columns, table_size, write_table

MADE = {"source": "builtin:generated", "generate": {"rows": 300, "columns": 6, "seed": 4}}


def test_a_made_table_is_sized_without_being_made():
    huge = {"source": "builtin:generated", "generate": {"rows": 10**12, "columns": 6}}
    assert table_size("t", huge, ["V2..V4"]) == (10**12, 3)
    assert table_size("t", {**huge, "first_rows": 7}, ["V1..y"]) == (7, 7)


def test_first_rows_count_for_every_source():
    assert table_size("t", {"source": "builtin:wine", "first_rows": 100}, ["alcohol", "target"]) == (100, 2)
    with pytest.raises(RowsError, match="first_rows is 179, and builtin:wine has 178 rows"):
        table_size("t", {"source": "builtin:wine", "first_rows": 179}, ["alcohol"])


def test_a_table_on_disk_is_sized_from_its_header_alone(tmp_path):
    path = tmp_path / "made.parquet"
    section = {**write_table(MADE, ["V1..V3", "y"], path), "storage": "disk", "id": "V1"}
    assert table_size("t", section, ["V1..V3"]) == (300, 3)
    path.write_bytes(path.read_bytes()[:4] + bytes(100) + path.read_bytes()[104:])  # cells, not header
    assert table_size("t", {**section, "first_rows": 200}, ["V1..V3"]) == (200, 3)


def test_a_written_table_describes_itself(tmp_path):
    path = tmp_path / "made.parquet"
    section = write_table({**MADE, "first_rows": 120}, ["V5", "V2..V3", "y"], path)
    assert section["source"] == str(path)
    assert table_columns(section) == section["columns"]
    assert list(section["columns"]) == ["V5", "V2", "V3", "y"]
    made = load_generated("t", Generated(rows=120, columns=6, seed=4), ["V5", "V2", "V3", "y"], rows=120)
    read = pq.read_table(path)
    assert read.column_names == list(made.values)
    assert all(np.array_equal(read[name].to_numpy(), cells) for name, cells in made.values.items())


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(RowsError, match="only builtin:generated can be written, and the source is builtin:wine"):
        write_table({"source": "builtin:wine"}, ["alcohol"], tmp_path / "wine.parquet")
    with pytest.raises(RowsError, match='called "V7"'):
        write_table(MADE, ["V1..V7"], tmp_path / "made.parquet")
    with pytest.raises(RowsError, match=r"generate\.columns: Input should be greater"):
        write_table(
            {"source": "builtin:generated", "generate": {"rows": 5, "columns": 0}}, ["y"], tmp_path / "m.parquet"
        )
    assert list(tmp_path.iterdir()) == []


def test_the_bound_counts_rows_apart_from_columns():
    narrow, wide = (disk_memory(width, 5000, 0.2, holds_label=False) for width in (14, 400))
    assert narrow["bytes_per_row"] == wide["bytes_per_row"] == pytest.approx(8 + 4 + 0.8 * 8)
    assert narrow["fixed_bytes"] < wide["fixed_bytes"]
    # a label holder that tests on nearly nothing pays for its labels; one that tests on half, for scoring
    assert disk_memory(14, 5000, 0.001, holds_label=True)["bytes_per_row"] == pytest.approx(5 + 8 + 4 + 8, abs=0.01)
    assert disk_memory(14, 5000, 0.5, holds_label=True)["bytes_per_row"] == pytest.approx(5 + 8 + 50)
