"""Columns of a CSV, Parquet or npz file, as Arrow arrays, unchecked.

Only the columns asked for are read. CSV cells stay text: cells.py turns them into numbers, because Arrow's
own conversion errors quote the cell.
"""

import csv
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kernel.errors import RowsError
from party.rows.schema import suggestion

Columns = dict[str, pa.ChunkedArray]


def column_names(path: Path) -> tuple[str, ...]:
    """Names of a file's columns, in file order, without reading its rows (of an npz only the zip index and
    names).

    Raises:
      RowsError: no such file, another suffix than .csv, .parquet or .npz, unreadable, or a name that occurs
        twice.
    """
    names = _format(path).names(path)
    if len(set(names)) != len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise RowsError(f'{path} has more than one column "{repeated}"; rename all but one.')
    return names


def read_columns(path: Path, names: Sequence[str]) -> Columns:
    """The columns ``names`` of a file, all of the same length, at least one row.

    Raises:
      RowsError: as ``column_names``; a name the file lacks (with the nearest one), ragged rows, no rows.
    """
    available = column_names(path)
    for name in names:
        if name not in available:
            raise RowsError(f'{path} has no column "{name}"; {suggestion(name, available)}')
    columns = _format(path).read(path, names)
    lengths = {len(cells) for cells in columns.values()}
    if len(lengths) > 1:
        raise RowsError(f"{path} has columns of different lengths ({min(lengths)} to {max(lengths)} rows).")
    if lengths == {0}:
        raise RowsError(f"{path} has no rows; wanted at least one below the column names.")
    return columns


@dataclass(frozen=True)
class _Format:
    names: Callable[[Path], tuple[str, ...]]
    read: Callable[[Path, Sequence[str]], Columns]


def _format(path: Path) -> _Format:
    if path.suffix.lower() not in _FORMATS:
        found = f'ends in "{path.suffix}"' if path.suffix else "has no suffix"
        raise RowsError(f"{path} {found}; wanted a file ending in .csv, .parquet or .npz.")
    if not path.is_file():
        raise RowsError(f"There is no file {path} (looked at {path.absolute()}); correct the table's source.")
    return _FORMATS[path.suffix.lower()]


def _csv_names(path: Path) -> tuple[str, ...]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            return tuple(next(csv.reader(lines), ()))
    except (UnicodeDecodeError, csv.Error):
        raise RowsError(f"{path} is not UTF-8 text separated by commas; save it as such.") from None


def _read_csv(path: Path, names: Sequence[str]) -> Columns:
    ragged: list[tuple[int | None, int, int]] = []

    def note(row: Any) -> str:
        if not ragged:
            ragged.append((row.number, row.actual_columns, row.expected_columns))
        return "skip"

    def read(*, threads: bool) -> pa.Table:
        ragged.clear()
        return pacsv.read_csv(
            path,
            read_options=pacsv.ReadOptions(use_threads=threads),
            # In a file of one column an empty line is a row with a missing cell, not a gap.
            parse_options=pacsv.ParseOptions(
                newlines_in_values=True,
                invalid_row_handler=note,
                ignore_empty_lines=len(_csv_names(path)) > 1,
            ),
            convert_options=pacsv.ConvertOptions(
                include_columns=list(names),
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
                null_values=[""],
            ),
        )

    try:
        table = read(threads=True)
        if ragged:
            read(threads=False)  # only a single thread counts rows
    except pa.ArrowException:  # its text may quote a row
        raise RowsError(f"{path} is not UTF-8 text separated by commas; save it as such.") from None
    if ragged:
        number, found, wanted = ragged[0]
        row = "a row" if number is None else f"row {number - 1}"  # Arrow counts the header as 1
        raise RowsError(f"{path}: {row} has {found} cells, wanted {wanted} as in the first line.")
    return {name: table[name] for name in names}


def _parquet_names(path: Path) -> tuple[str, ...]:
    try:
        return tuple(pq.read_schema(path).names)
    except (pa.ArrowInvalid, OSError):
        raise RowsError(f"{path} is not a readable Parquet file; write it again.") from None


def _read_parquet(path: Path, names: Sequence[str]) -> Columns:
    try:
        table = pq.read_table(path, columns=list(names))
    except (pa.ArrowInvalid, OSError):
        raise RowsError(f"{path} is not a readable Parquet file; write it again.") from None
    return {name: table[name] for name in names}


def _npz(path: Path, wanted: Sequence[str] | None) -> tuple[tuple[str, ...], dict[str, NDArray[Any]]]:
    """Names of an npz and the arrays of those ``wanted`` (none of them where it is None).

    With ``X`` and ``columns`` the named columns of X come first; every other array is a column of its own.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            keys = list(arrays.files)
            matrix_names: tuple[str, ...] = ()
            if "X" in keys and "columns" in keys:
                matrix_names = tuple(str(name) for name in arrays["columns"])
                keys = [key for key in keys if key not in ("X", "columns")]
            names = matrix_names + tuple(keys)
            if wanted is None:
                return names, {}
            values: dict[str, NDArray[Any]] = {}
            places = {name: place for place, name in enumerate(matrix_names)}
            if any(name in places for name in wanted):
                matrix = arrays["X"]
                if matrix.ndim != 2 or matrix.shape[1] != len(matrix_names):
                    raise RowsError(
                        f"{path}: X has shape {matrix.shape}, wanted [rows, {len(matrix_names)}] as columns names."
                    )
                chosen = [name for name in wanted if name in places]
                turned = np.ascontiguousarray(matrix[:, [places[name] for name in chosen]].T)
                values.update(zip(chosen, turned, strict=True))
            for name in wanted:
                if name not in places:
                    values[name] = arrays[name]
            return names, values
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, TypeError):
        raise RowsError(f"{path} is not an npz of plain arrays (numbers or text, no pickle); write it again.") from None


def _npz_names(path: Path) -> tuple[str, ...]:
    return _npz(path, None)[0]


def _read_npz(path: Path, names: Sequence[str]) -> Columns:
    columns: Columns = {}
    for name, values in _npz(path, names)[1].items():
        if values.ndim != 1:
            raise RowsError(f'{path}: array "{name}" has shape {values.shape}, wanted one value per row: [rows].')
        try:
            columns[name] = pa.chunked_array([pa.array(values)])
        except (pa.ArrowException, UnicodeError):
            raise RowsError(f'{path}: array "{name}" is {values.dtype}, wanted numbers, booleans or text.') from None
    return {name: columns[name] for name in names}


_FORMATS = {
    ".csv": _Format(_csv_names, _read_csv),
    ".parquet": _Format(_parquet_names, _read_parquet),
    ".npz": _Format(_npz_names, _read_npz),
}
