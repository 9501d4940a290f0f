import traceback
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kernel.errors import RowsError
from party.rows.files import column_names, read_columns


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_cells_stay_text_and_only_the_asked_columns_are_read(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.csv", '\ufeffid,"a b",c\n007,1.50,x\n8,,"y,\nz"\n')
    assert column_names(path) == ("id", "a b", "c")
    columns = read_columns(path, ["c", "id"])
    assert {name: cells.to_pylist() for name, cells in columns.items()} == {
        "c": ["x", "y,\nz"],
        "id": ["007", "8"],
    }
    assert read_columns(path, ["a b"])["a b"].to_pylist() == ["1.50", None]


def test_an_empty_line_in_a_file_of_one_column_is_a_missing_cell(tmp_path: Path) -> None:
    assert read_columns(_write(tmp_path / "a.csv", "y\n1\n\n0\n"), ["y"])["y"].to_pylist() == ["1", None, "0"]


@pytest.mark.parametrize("bad_row", [1, 2, 5])
def test_a_ragged_csv_row_is_named_without_its_text(tmp_path: Path, bad_row: int) -> None:
    rows = ["1,2"] * 5
    rows[bad_row - 1] = "31337"
    path = _write(tmp_path / "a.csv", "\n".join(["a,b", *rows, ""]))
    with pytest.raises(RowsError, match=f"row {bad_row} has 1 cells, wanted 2") as caught:
        read_columns(path, ["a"])
    assert "31337" not in str(caught.value)


def test_bytes_that_are_not_utf8_are_refused_without_showing_them(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"name\nsekret\xff\n")
    with pytest.raises(RowsError, match="not UTF-8 text") as caught:
        read_columns(path, ["name"])
    assert "sekret" not in "".join(traceback.format_exception(caught.value))


def test_npz_as_matrix_with_names_labels_and_further_arrays(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    matrix = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.savez(path, X=matrix, y=np.array([0, 1, 1]), columns=np.array(["V1", "V2"]), who=np.array(["p", "q", "r"]))
    assert column_names(path) == ("V1", "V2", "y", "who")
    columns = read_columns(path, ["who", "V2", "y"])
    assert list(columns) == ["who", "V2", "y"]
    assert columns["V2"].to_pylist() == [1.0, 3.0, 5.0]
    assert columns["V2"].type == pa.float32()
    assert columns["who"].to_pylist() == ["p", "q", "r"]


def test_npz_as_one_array_per_column(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, a=np.array([1, 2]), b=np.array([True, False]))
    assert {name: cells.to_pylist() for name, cells in read_columns(path, ["b", "a"]).items()} == {
        "a": [1, 2],
        "b": [True, False],
    }


@pytest.mark.parametrize(
    ("arrays", "names", "complaint"),
    [
        ({"a": np.zeros((2, 2))}, ["a"], r'array "a" has shape \(2, 2\)'),
        ({"a": np.zeros(2), "b": np.zeros(3)}, ["a", "b"], "different lengths"),
        ({"a": np.array([None, 1], dtype=object)}, ["a"], "not an npz of plain arrays"),
        ({"a": np.zeros(2, dtype=np.complex64)}, ["a"], 'array "a" is complex64'),
        (
            {"X": np.zeros((2, 2)), "columns": np.array(["p"])},
            ["p"],
            r"X has shape \(2, 2\), wanted \[rows, 1\]",
        ),
        ({"X": np.zeros((2, 2)), "columns": np.array(["p", "p"])}, ["p"], 'more than one column "p"'),
        ({"a": np.zeros(0)}, ["a"], "no rows"),
    ],
)
def test_an_npz_that_is_no_table_is_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], names: list[str], complaint: str
) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(RowsError, match=complaint):
        read_columns(path, names)


def test_parquet_reads_the_asked_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [1, 2], "b": ["x", None]}), path)
    assert column_names(path) == ("a", "b")
    assert {name: cells.to_pylist() for name, cells in read_columns(path, ["b"]).items()} == {"b": ["x", None]}


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_a_file_of_another_format_is_refused(tmp_path: Path, suffix: str) -> None:
    path = _write(tmp_path / f"a{suffix}", "a,b\n1,31337\n")
    with pytest.raises(RowsError, match="write it again") as caught:
        read_columns(path, ["a"])
    assert "31337" not in str(caught.value)


def test_wrong_suffix_missing_file_missing_column_and_no_rows(tmp_path: Path) -> None:
    with pytest.raises(RowsError, match=r'ends in ".xlsx"; wanted a file ending in .csv, .parquet or .npz'):
        column_names(tmp_path / "a.xlsx")
    with pytest.raises(RowsError, match="has no suffix"):
        column_names(tmp_path / "a")
    with pytest.raises(RowsError, match="There is no file"):
        column_names(tmp_path / "a.csv")
    path = _write(tmp_path / "b.csv", "Amount,y\n")
    with pytest.raises(RowsError, match='no column "amount"; did you mean "Amount"'):
        read_columns(path, ["amount"])
    with pytest.raises(RowsError, match="has no rows"):
        read_columns(path, ["y"])
    with pytest.raises(RowsError, match='more than one column "y"'):
        read_columns(_write(tmp_path / "c.csv", "y,y\n1,2\n"), ["y"])
    with pytest.raises(RowsError, match='no column "y"; there are none'):
        read_columns(_write(tmp_path / "d.csv", ""), ["y"])
