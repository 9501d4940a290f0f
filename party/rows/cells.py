"""Every cell against its declaration: Arrow columns in, checked numpy columns out.

CSV text and typed Parquet or npz columns take the same path, so that one table gives the same values and ids
from any of them. A refusal names file, data row (counted from 1), column, what kind of thing was found and
what was wanted; never the cell.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kernel.errors import RowsError
from party.rows.schema import Column

_BOOLEAN_TEXTS = ("0", "false", "1", "true")
_LARGEST_EXACT = 2.0**53  # above it float64 skips whole numbers


def check_cells(
    cells: pa.ChunkedArray, column: Column, *, file: str, name: str, first_row: int | None = None
) -> NDArray[Any]:
    """One column, checked and converted.

    Args:
      cells: as read, any Arrow type of text, number or boolean.
      column: its declaration.
      file: how to call the file in an error.
      name: the column's name.
      first_row: row number of the first cell, where the cells are a batch of a longer column; None: the whole.

    Returns:
      [rows]: real float32 (from stored float16 or float32) or float64; integer int64; boolean bool; category
      int32 positions in ``column.categories``.

    Raises:
      RowsError: a missing cell, NaN or infinity, a value outside low/high, a fraction in an integer column, a
        category that is not declared, text that is not a number, a stored type that cannot be read so.
    """
    refuse = _Refusal(file, name, _wanted(column), first_row)
    cells = _without_missing(cells, refuse)
    if column.type == "category":
        texts = _texts(cells, refuse)
        declared = pa.array(column.categories, type=texts.type)
        codes = pc.index_in(texts, value_set=declared)
        refuse.where(pc.is_null(codes).to_numpy(), "a category that is not declared")
        return _numpy(codes).astype(np.int32, copy=False)
    if column.type == "boolean":
        return _booleans(cells, refuse)
    values = _integers(cells, refuse) if column.type == "integer" else _reals(cells, refuse)
    return check_range(values, column, file=file, name=name, first_row=first_row)


def check_range(
    values: NDArray[Any], column: Column, *, file: str, name: str, first_row: int | None = None
) -> NDArray[Any]:
    """``values`` [rows] as they came, if finite and within the declared bounds; otherwise RowsError."""
    refuse = _Refusal(file, name, _wanted(column), first_row)
    if values.size == 0:
        return values
    least, greatest = values.min(), values.max()  # NaN reaches both
    if values.dtype.kind == "f" and not (np.isfinite(least) and np.isfinite(greatest)):
        refuse.where(~np.isfinite(values), "NaN or infinity")
    if column.low is not None and least < column.low:
        refuse.where(values < column.low, "a value below the range")
    if column.high is not None and greatest > column.high:
        refuse.where(values > column.high, "a value above the range")
    return values


def check_ids(cells: pa.ChunkedArray, *, file: str, name: str, first_row: int | None = None) -> tuple[str, ...]:
    """Row identities as text: 7 stored as a whole number and "7" in a CSV are the same id; "007" is another.

    Raises:
      RowsError: a missing id, or a column that holds neither text nor whole numbers.
    """
    ids: tuple[str, ...] = tuple(check_id_texts(cells, file=file, name=name, first_row=first_row).to_pylist())
    return ids


def check_id_texts(cells: pa.ChunkedArray, *, file: str, name: str, first_row: int | None = None) -> pa.ChunkedArray:
    """``check_ids`` as Arrow text (large_string): 8 bytes a row and the text itself, where a Python string takes 60."""
    refuse = _Refusal(file, name, "an id: text or a whole number", first_row)
    cells = _without_missing(cells, refuse)
    if pa.types.is_boolean(cells.type):
        raise refuse.type(cells.type)
    return _texts(cells, refuse)


def _wanted(column: Column) -> str:
    if column.type == "boolean":
        return "a boolean: 0, 1, true or false"
    if column.type == "category":
        return f"one of the {len(column.categories)} declared categories"
    kind = "a finite real number" if column.type == "real" else "a whole number"
    if column.low is not None and column.high is not None:
        return f"{kind} from {column.low:.10g} to {column.high:.10g}"
    if column.low is not None:
        return f"{kind} of at least {column.low:.10g}"
    if column.high is not None:
        return f"{kind} of at most {column.high:.10g}"
    return kind


class _Refusal:
    """Words an error about one column without ever holding a cell."""

    def __init__(self, file: str, name: str, wanted: str, first_row: int | None = None) -> None:
        self._place, self._first_row = file, first_row or 0
        self._among = "" if first_row is None else " of its batch"
        self._name = name
        self._wanted = wanted

    def where(self, bad: NDArray[np.bool_], found: str) -> None:
        """Raise if any of ``bad`` [rows] is true; name the first such row and count the others."""
        rows = np.flatnonzero(bad)
        if rows.size:
            raise self.row(int(rows[0]), found, others=int(rows.size) - 1)

    def row(self, index: int, found: str, *, others: int = 0) -> RowsError:
        also = f" (and in {others} more rows{self._among})" if others else ""
        return RowsError(
            f'{self._place}: row {self._first_row + index + 1}, column "{self._name}": found {found}{also}, wanted '
            f"{self._wanted}. Correct the file or the declared schema."
        )

    def type(self, stored: pa.DataType) -> RowsError:
        return RowsError(
            f'{self._place}: column "{self._name}" is stored as {stored}, wanted {self._wanted}. '
            "Store it as text or numbers, or correct the declared schema."
        )


def _is_text(stored: pa.DataType) -> bool:
    return bool(pa.types.is_string(stored) or pa.types.is_large_string(stored) or pa.types.is_string_view(stored))


def _numpy(cells: pa.ChunkedArray) -> NDArray[Any]:
    array: NDArray[Any] = cells.to_numpy()
    return array


def _without_missing(cells: pa.ChunkedArray, refuse: _Refusal) -> pa.ChunkedArray:
    """Decode dictionaries, trim texts, refuse missing and blank cells."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    if cells.null_count:
        refuse.where(_numpy(pc.is_null(cells)), "a missing cell")
    if _is_text(cells.type):
        cells = pc.utf8_trim_whitespace(cells.cast(pa.large_string()))
        refuse.where(_numpy(pc.equal(cells, "")), "a missing cell")
    return cells


def _parse(texts: pa.ChunkedArray, target: pa.DataType, refuse: _Refusal, found: str) -> pa.ChunkedArray:
    """Cast texts; Arrow's own error quotes the cell, so the row is found by halving instead."""

    def parses(start: int, length: int) -> bool:
        try:
            texts.slice(start, length).cast(target)
        except pa.ArrowInvalid:
            return False
        return True

    if parses(0, len(texts)):
        return texts.cast(target)
    start, length = 0, len(texts)
    while length > 1:
        half = length // 2
        if parses(start, half):
            start, length = start + half, length - half
        else:
            length = half
    raise refuse.row(start, found)


def _reals(cells: pa.ChunkedArray, refuse: _Refusal) -> NDArray[Any]:
    stored = cells.type
    if _is_text(stored):
        return _numpy(_parse(cells, pa.float64(), refuse, "text that is not a number"))
    if pa.types.is_float16(stored) or pa.types.is_float32(stored):
        return _numpy(cells).astype(np.float32, copy=False)
    if pa.types.is_integer(stored) or pa.types.is_float64(stored):
        return _numpy(cells).astype(np.float64, copy=False)
    if pa.types.is_decimal(stored):
        return _numpy(cells.cast(pa.float64()))
    raise refuse.type(stored)


def _whole(reals: NDArray[Any], refuse: _Refusal) -> NDArray[np.int64]:
    reals = reals.astype(np.float64, copy=False)
    refuse.where(~np.isfinite(reals), "NaN or infinity")
    refuse.where(np.floor(reals) != reals, "a number with a fraction")
    refuse.where(np.abs(reals) > _LARGEST_EXACT, "a number too large to be exact (2^53)")
    return reals.astype(np.int64)


def _integers(cells: pa.ChunkedArray, refuse: _Refusal) -> NDArray[np.int64]:
    stored = cells.type
    if pa.types.is_integer(stored):
        if pa.types.is_uint64(stored):
            refuse.where(_numpy(cells) > np.uint64(2**63 - 1), "a number too large for 64 bits with a sign")
        return _numpy(cells).astype(np.int64, copy=False)
    if _is_text(stored):
        try:
            return _numpy(cells.cast(pa.int64()))
        except pa.ArrowInvalid:
            pass  # perhaps written "3.0"
    return _whole(_reals(cells, refuse), refuse)


def _booleans(cells: pa.ChunkedArray, refuse: _Refusal) -> NDArray[np.bool_]:
    stored = cells.type
    if pa.types.is_boolean(stored):
        return _numpy(cells).astype(np.bool_, copy=False)
    if _is_text(stored):
        codes = pc.index_in(pc.utf8_lower(cells), value_set=pa.array(_BOOLEAN_TEXTS, type=cells.type))
        refuse.where(_numpy(pc.is_null(codes)), "something else")
        return np.asarray(_numpy(codes) >= 2)
    reals = _reals(cells, refuse)
    refuse.where((reals != 0) & (reals != 1), "something else")
    return np.asarray(reals == 1)


def _texts(cells: pa.ChunkedArray, refuse: _Refusal) -> pa.ChunkedArray:
    stored = cells.type
    if _is_text(stored):
        return cells
    if pa.types.is_integer(stored) or pa.types.is_boolean(stored):
        return cells.cast(pa.large_string())
    if pa.types.is_floating(stored):
        whole = _whole(_numpy(cells), refuse)
        return pa.chunked_array([pa.array(whole).cast(pa.large_string())])
    raise refuse.type(stored)
