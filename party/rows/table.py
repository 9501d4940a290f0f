"""A table in memory: raw rows, checked against their declared schema. It exists under party/ only."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import RowsError
from party.rows.schema import Column, suggestion


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of equal length. Its ``repr`` shows neither ids nor values.

    Attributes:
      name: the party's own name for the table.
      ids: one text per row, or None where the row number is the identity.
      rows: how many rows.
      values: per column an array of shape [rows]: real float32 or float64 (as stored), integer int64, boolean
        bool, category int32 positions in ``schema[column].categories``.
      schema: the declared columns, same keys and order as ``values``.

    Raises:
      RowsError: keys of ``values`` and ``schema`` differ, or a length is not ``rows``.
    """

    name: str
    ids: tuple[str, ...] | None = field(repr=False)
    rows: int
    values: dict[str, NDArray[Any]] = field(repr=False)
    schema: dict[str, Column] = field(repr=False)

    def __post_init__(self) -> None:
        if list(self.values) != list(self.schema):
            raise RowsError(
                f"Table {self.name} has {len(self.values)} columns of values and {len(self.schema)} declared "
                "ones; both must name the same columns in the same order."
            )
        if self.ids is not None and len(self.ids) != self.rows:
            raise RowsError(f"Table {self.name} has {len(self.ids)} ids for {self.rows} rows; one per row is needed.")
        for column, values in self.values.items():
            if values.shape != (self.rows,):
                raise RowsError(
                    f'Table {self.name}, column "{column}" has shape {values.shape}; ({self.rows},) is needed.'
                )

    def column(self, name: str) -> tuple[NDArray[Any], Column]:
        """Values and declaration of one column; RowsError where the table has none of that name."""
        if name not in self.values:
            raise RowsError(f'Table {self.name} has no column "{name}"; {suggestion(name, tuple(self.values))}')
        return self.values[name], self.schema[name]


def check_row_numbers(table: Table, row_numbers: NDArray[np.int64], purpose: str) -> NDArray[np.int64]:
    """``row_numbers`` as they came, if they are int64[n], n >= 1, each in [0, rows).

    Raises:
      RowsError: another dtype or shape, none at all, or numbers outside the table.
    """
    if row_numbers.dtype != np.int64 or row_numbers.ndim != 1:
        raise RowsError(
            f"The {purpose} rows of {table.name} are {row_numbers.dtype}{list(row_numbers.shape)}; int64[n] is needed."
        )
    if row_numbers.size == 0:
        raise RowsError(f"Table {table.name} has no {purpose} rows; give it at least one of its {table.rows}.")
    if int(row_numbers.min()) < 0 or int(row_numbers.max()) >= table.rows:
        raise RowsError(f"Some {purpose} rows of {table.name} lie outside its {table.rows} rows (counted from 0).")
    return row_numbers
