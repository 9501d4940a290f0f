from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kernel.errors import RowsError
from party.rows.loaders import declared_columns, load_table
from party.rows.schema import Column, TableSettings

COLUMNS = {
    "age": Column(type="integer", low=0, high=120),
    "dose": Column(type="real", low=0),
    "smoker": Column(type="boolean"),
    "ward": Column(type="category", categories=("north", "south")),
}
CSV = "patient,age,dose,smoker,ward,remark\n31,70,0.5,true,south,x\n7,44,1.25,false,north,y\n"


def _write_all(directory: Path) -> list[Path]:
    """The same two rows as CSV, Parquet and npz."""
    paths = [directory / f"rows{suffix}" for suffix in (".csv", ".parquet", ".npz")]
    paths[0].write_text(CSV, encoding="utf-8")
    columns = {
        "patient": [31, 7],
        "age": [70, 44],
        "dose": [0.5, 1.25],
        "smoker": [True, False],
        "ward": ["south", "north"],
    }
    pq.write_table(pa.table(columns), paths[1])
    np.savez(paths[2], **{name: np.array(values) for name, values in columns.items()})
    return paths


def test_one_table_reads_alike_from_every_format(tmp_path: Path) -> None:
    for path in _write_all(tmp_path):
        settings = TableSettings(source=str(path), id="patient", columns=COLUMNS)
        table = load_table("ward", settings, data_directory=None)
        assert table.ids == ("31", "7"), path.suffix
        assert table.rows == 2
        assert {name: values.tolist() for name, values in table.values.items()} == {
            "age": [70, 44],
            "dose": [0.5, 1.25],
            "smoker": [True, False],
            "ward": [1, 0],
        }
        assert table.schema == COLUMNS


def test_only_the_columns_asked_for_are_read_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("patient,age,dose\na,1,broken\nb,2,broken\n", encoding="utf-8")
    settings = TableSettings(source=str(path), id="patient", columns=COLUMNS)
    table = load_table("t", settings, data_directory=None, columns=["age"])
    assert list(table.values) == ["age"]
    assert load_table("t", settings, data_directory=None, columns=[]).ids == ("a", "b")
    with pytest.raises(RowsError, match='row 1, column "dose": found text that is not a number'):
        load_table("t", settings, data_directory=None, columns=["age..dose"])


def test_the_id_may_also_be_a_column_and_without_id_the_row_number_counts(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("age\n3\n4\n", encoding="utf-8")
    columns = {"age": COLUMNS["age"]}
    with_id = load_table("t", TableSettings(source=str(path), id="age", columns=columns), data_directory=None)
    assert with_id.ids == ("3", "4")
    assert with_id.values["age"].tolist() == [3, 4]
    assert load_table("t", TableSettings(source=str(path), columns=columns), data_directory=None).ids is None


def test_an_error_names_table_file_row_and_column(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(CSV.replace("44", "31337"), encoding="utf-8")
    settings = TableSettings(source=str(path), columns=COLUMNS)
    with pytest.raises(RowsError) as caught:
        load_table("ward", settings, data_directory=None)
    assert str(caught.value).startswith(f'Table ward ({path}): row 2, column "age": found a value above the range')
    assert "31337" not in str(caught.value)


def test_questions_that_cannot_be_answered(tmp_path: Path) -> None:
    path = _write_all(tmp_path)[0]
    with pytest.raises(RowsError, match="no declared columns"):
        declared_columns(TableSettings(source=str(path)))
    settings = TableSettings(source=str(path), id="patent", columns=COLUMNS)
    with pytest.raises(RowsError, match='no column "patent"; did you mean "patient"'):
        load_table("t", settings, data_directory=None)
    settings = TableSettings(source=str(path), columns=COLUMNS)
    with pytest.raises(RowsError, match='called "does"; did you mean "dose"'):
        load_table("t", settings, data_directory=None, columns=["does"])
    with pytest.raises(RowsError, match="no column was asked for"):
        load_table("t", settings, data_directory=None, columns=[])
    with pytest.raises(RowsError, match="more than once"):
        load_table("t", settings, data_directory=None, columns=["age", "age"])
    with pytest.raises(RowsError, match=r'called "wien"; did you mean "wine"\?'):
        load_table("t", TableSettings(source="builtin:wien"), data_directory=None)


def test_a_builtin_goes_through_the_same_door() -> None:
    settings = TableSettings(source="builtin:wine")
    assert next(iter(declared_columns(settings))) == "alcohol"
    table = load_table("w", settings, data_directory=None, columns=["alcohol..ash", "target"])
    assert list(table.values) == ["alcohol", "malic_acid", "ash", "target"]
    assert (table.rows, table.ids) == (178, None)


def test_first_rows_of_any_format_are_the_files_first(tmp_path: Path) -> None:
    for path in _write_all(tmp_path):
        settings = TableSettings(source=str(path), id="patient", columns=COLUMNS, first_rows=1)
        table = load_table("ward", settings, data_directory=None)
        assert (table.rows, table.ids, table.values["age"].tolist()) == (1, ("31",), [70]), path.suffix
        with pytest.raises(RowsError, match=r"Table ward: first_rows is 3, and .* has 2 rows; lower it"):
            load_table("ward", settings.model_copy(update={"first_rows": 3}), data_directory=None)
    wine = load_table("w", TableSettings(source="builtin:wine", first_rows=5), data_directory=None, columns=["ash"])
    whole = load_table("w", TableSettings(source="builtin:wine"), data_directory=None, columns=["ash"])
    assert wine.values["ash"].tolist() == whole.values["ash"][:5].tolist()


def test_cells_after_the_first_rows_are_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("patient,age\na,1\nb,broken\n", encoding="utf-8")
    settings = TableSettings(source=str(path), id="patient", columns={"age": COLUMNS["age"]}, first_rows=1)
    assert load_table("t", settings, data_directory=None).values["age"].tolist() == [1]
