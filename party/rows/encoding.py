"""Rows as the network reads them: a float32 matrix, fitted on the owner's own training rows only.

Real and integer columns are standardised, or mapped from their declared bounds to [0, 1] (``scale = "unit"``), booleans
become 0 and 1, categories a one-hot of the *declared* categories, so that the width is public and the same for every
split.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kernel.errors import RowsError
from party.rows.moments import Moments
from party.rows.schema import Column, suggestion
from party.rows.table import Table, check_row_numbers

_ROWS_AT_ONCE = 512  # bounds the float64 copy to 3 MB at 784 columns; 32 rows took 2.6 times as long


def mean_and_deviation(values: NDArray[Any], column: str) -> tuple[float, float]:
    """Mean and population standard deviation of ``values`` [n], float64; a constant column has deviation 1.

    Raises:
      RowsError: values so large that their spread is not a float64.
    """
    moments = Moments([column])
    moments.add([values])
    mean, deviation = moments.mean_and_deviation()
    return float(mean[0]), float(deviation[0])


@dataclass(frozen=True, eq=False)
class RowEncoder:
    """Turns rows of a table into float32[rows, width].

    Attributes:
      columns: the table's columns, in the order of the encoded ones.
      schema: their declarations.
      mean, deviation: float64[numeric columns], in the order of ``columns``, of real and integer columns; with
        ``scale = "unit"`` low and high - low.
      clip_deviations: standardised values are clipped to plus or minus this many deviations; None leaves
        them.
    """

    columns: tuple[str, ...]
    schema: dict[str, Column]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    clip_deviations: float | None

    @classmethod
    def fit(
        cls,
        table: Table,
        columns: Sequence[str],
        training_rows: NDArray[np.int64],
        clip_deviations: float | None = None,
    ) -> Self:
        """Learn means and deviations.

        Args:
          table: the owner's table.
          columns: exact names, at least one.
          training_rows: int64[n] row numbers; no other row is looked at.
          clip_deviations: above 0, or None.

        Raises:
          RowsError: no column, a column the table lacks, row numbers outside it, a clip that is not above 0.
        """
        rows = check_row_numbers(table, training_rows, "training")
        return cls.fit_batches([(table, rows)], table.name, table.schema, columns, clip_deviations)

    @classmethod
    def fit_batches(
        cls,
        batches: Iterable[tuple[Table, NDArray[np.int64]]],
        name: str,
        declared: Mapping[str, Column],
        columns: Sequence[str],
        clip_deviations: float | None = None,
    ) -> Self:
        """Learn means and deviations from a table that comes in batches: the bits ``fit`` gives for the whole.

        Args:
          batches: parts of the owner's table, each with the numbers of its training rows; read once.
          name: of the whole table, for error messages.
          declared: its schema.
          columns, clip_deviations: as for ``fit``.

        Raises:
          RowsError: as ``fit``.
        """
        if not columns:
            raise RowsError(f"No column of {name} was chosen to encode; name at least one.")
        if clip_deviations is not None and not 0 < clip_deviations < np.inf:
            raise RowsError(f"clip_deviations is {clip_deviations:g}; wanted a finite number above 0, or none.")
        for column in columns:
            if column not in declared:
                raise RowsError(f'Table {name} has no column "{column}"; {suggestion(column, tuple(declared))}')
        schema = {column: declared[column] for column in columns}
        numeric = _numeric(tuple(columns), schema)
        standard = [column for column in numeric if schema[column].scale == "standard"]
        moments = Moments(standard)
        for table, rows in batches:
            moments.add([table.values[column] for column in standard], rows)
        origin, spread = moments.mean_and_deviation() if standard else (np.empty(0), np.empty(0))
        found = dict(zip(standard, zip(origin, spread, strict=True), strict=True))
        pairs = [found[column] if column in found else _bounds(schema[column]) for column in numeric]
        mean, deviation = np.array(pairs, np.float64).reshape(-1, 2).T.copy()
        return cls(tuple(columns), schema, mean, deviation, clip_deviations)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Encoded column names: the column's own, or "x80=3" per category."""
        names: list[str] = []
        for name in self.columns:
            categories = self.schema[name].categories
            names.extend([f"{name}={text}" for text in categories] if categories else [name])
        return tuple(names)

    @property
    def width(self) -> int:
        return len(self.names)

    def encode(self, table: Table) -> NDArray[np.float32]:
        """float32[rows, width], C-contiguous; any table with the same columns, such as new rows to predict.

        Raises:
          RowsError: a column is absent or declared differently, or a value does not fit float32 once
            standardised.
        """
        for name in self.columns:
            _, declared = table.column(name)
            if (declared.type, declared.categories) != (self.schema[name].type, self.schema[name].categories):
                raise RowsError(
                    f'Column "{name}" of {table.name} is declared as {_described(declared)}; the encoder was '
                    f"fitted to {_described(self.schema[name])}. Declare it alike."
                )
        encoded = np.zeros((table.rows, self.width), dtype=np.float32)
        flat = encoded.reshape(-1)
        row_starts = np.arange(table.rows, dtype=np.int64) * self.width
        numeric_places: list[int] = []
        place = 0
        for name in self.columns:
            declared = self.schema[name]
            if declared.type == "category":
                flat[row_starts + place + table.values[name]] = 1.0
                place += len(declared.categories)
                continue
            if declared.type == "boolean":
                encoded[:, place] = table.values[name]
            else:
                numeric_places.append(place)
            place += 1
        if numeric_places:
            self._standardise(table, np.array(numeric_places, dtype=np.int64), encoded)
        return encoded

    def _standardise(self, table: Table, places: NDArray[np.int64], encoded: NDArray[np.float32]) -> None:
        """Fill the numeric columns block by block of rows, in float64 until the last step."""
        numeric = _numeric(self.columns, self.schema)
        sources = [table.values[name] for name in numeric]
        first, last = int(places[0]), int(places[-1])
        target = slice(first, last + 1) if last - first + 1 == len(places) else places
        for start in range(0, table.rows, _ROWS_AT_ONCE):
            stop = min(start + _ROWS_AT_ONCE, table.rows)
            block = np.empty((len(sources), stop - start), dtype=np.float64)
            for index, source in enumerate(sources):
                block[index] = source[start:stop]
            block -= self.mean[:, None]
            block /= self.deviation[:, None]
            if self.clip_deviations is not None:
                np.clip(block, -self.clip_deviations, self.clip_deviations, out=block)
            with np.errstate(over="ignore"):
                narrow = block.astype(np.float32)
            if not np.isfinite(narrow).all():
                column = numeric[int(np.flatnonzero(~np.isfinite(narrow).all(axis=1))[0])]
                raise RowsError(
                    f'Column "{column}" of {table.name} has a row too many deviations from the training mean '
                    "for float32; set clip_deviations."
                )
            encoded[start:stop, target] = narrow.T

    def state(self) -> dict[str, NDArray[Any]]:
        """Plain numeric and unicode arrays for ``np.savez``; ``from_state`` reads them back. Holds training
        statistics of the owner's rows, so it stays with the owner."""
        declared = [self.schema[name] for name in self.columns]
        texts = [text for column in declared for text in column.categories]
        return {
            "columns": np.array(self.columns, dtype=np.str_),
            "types": np.array([column.type for column in declared], dtype=np.str_),
            "category_counts": np.array([len(column.categories) for column in declared], dtype=np.int64),
            "categories": np.array(texts, dtype=np.str_),
            "mean": self.mean,
            "deviation": self.deviation,
            "clip_deviations": np.array(np.inf if self.clip_deviations is None else self.clip_deviations),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """The encoder whose ``state`` this is. RowsError where it is not one."""
        try:
            columns = tuple(str(name) for name in state["columns"])
            types = [str(kind) for kind in state["types"]]
            ends = np.cumsum(state["category_counts"])
            texts = [str(text) for text in state["categories"]]
            schema: dict[str, Column] = {}
            for name, kind, count, end in zip(columns, types, state["category_counts"], ends, strict=True):
                categories = tuple(texts[int(end) - int(count) : int(end)])
                schema[name] = Column.model_validate({"type": kind, "categories": categories})
            mean = np.asarray(state["mean"], dtype=np.float64)
            deviation = np.asarray(state["deviation"], dtype=np.float64)
            clip = float(state["clip_deviations"])
        except (KeyError, ValueError, TypeError) as error:
            raise RowsError(
                f"This is not the state of a row encoder ({type(error).__name__}); fit the encoder again."
            ) from None
        numeric = len(_numeric(columns, schema))
        if mean.shape != (numeric,) or deviation.shape != (numeric,) or not (deviation > 0).all():
            raise RowsError(
                f"The row encoder's state has means {mean.shape} and deviations {deviation.shape}, wanted "
                f"({numeric},) of each and deviations above 0; fit the encoder again."
            )
        return cls(columns, schema, mean, deviation, None if np.isinf(clip) else clip)


def _numeric(columns: Sequence[str], schema: Mapping[str, Column]) -> list[str]:
    return [name for name in columns if schema[name].type in ("real", "integer")]


def _bounds(column: Column) -> tuple[float, float]:
    """(low, high - low) of a column that declares both."""
    low, high = column.low or 0.0, column.high or 0.0
    return low, high - low


def _described(column: Column) -> str:
    return f"{column.type} of {len(column.categories)} categories" if column.categories else column.type
