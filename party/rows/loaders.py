"""One table, from a builtin or a file, with every cell checked against its schema."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from kernel.errors import RowsError
from party.rows.builtin import builtin_columns, load_builtin
from party.rows.cells import check_cells, check_ids
from party.rows.files import read_columns
from party.rows.generated import generated_columns, load_generated
from party.rows.schema import Column, TableSettings, select_columns
from party.rows.table import Table


def declared_columns(settings: TableSettings) -> Mapping[str, Column]:
    """The table's schema in table order, known before any row is read; ranges such as "V1..V14" follow this
    order.

    Raises:
      RowsError: no builtin of that name, or a file without declared columns.
    """
    if settings.generate is not None:
        return generated_columns(settings.generate)
    if settings.builtin is not None:
        return builtin_columns(settings.builtin)
    if not settings.columns:
        raise RowsError(f"{settings.source} has no declared columns; list each with its type in the table's settings.")
    return settings.columns


def load_table(
    name: str, settings: TableSettings, *, data_directory: Path | None, columns: Sequence[str] | None = None
) -> Table:
    """Read and check one table.

    Args:
      name: the party's own name for it.
      settings: where it is and what it holds.
      data_directory: where builtins find their files (``builtin.default_data_directory``).
      columns: names or ranges (``schema.select_columns``); only these and the id are read. None reads all
        declared columns. May be empty where the table has an id.

    Returns:
      The table in file order, its first ``first_rows`` rows where the settings say so; ``alignment`` orders it.
      Whatever its ``storage``, it is in memory: streamed_table.py reads in batches.

    Raises:
      RowsError: a file that is missing, of another kind, empty or without a column; a cell that its
        declaration does not allow (file, data row counted from 1 and column are named, the value is not).
    """
    declared = declared_columns(settings)
    chosen = tuple(declared) if columns is None else select_columns(tuple(declared), columns)
    if not chosen and settings.id is None:
        raise RowsError(f"Table {name}: no column was asked for and it has no id; name at least one column.")
    if settings.generate is not None:
        return load_generated(name, settings.generate, chosen, rows=settings.first_rows or settings.generate.rows)
    if settings.builtin is not None:
        table = load_builtin(name, settings.builtin, data_directory=data_directory, columns=chosen)
        return _first_rows(table, wanted_rows(name, settings, table.rows))
    path = Path(settings.source).expanduser()
    file = f"Table {name} ({path})"
    wanted = chosen if settings.id is None or settings.id in chosen else (settings.id, *chosen)
    cells: dict[str, pa.ChunkedArray] = read_columns(path, wanted)
    rows = wanted_rows(name, settings, len(cells[wanted[0]]))
    cells = {column: values.slice(0, rows) for column, values in cells.items()}
    ids = None if settings.id is None else check_ids(cells[settings.id], file=file, name=settings.id)
    return Table(
        name=name,
        ids=ids,
        rows=rows,
        values={column: check_cells(cells[column], declared[column], file=file, name=column) for column in chosen},
        schema={column: declared[column] for column in chosen},
    )


def wanted_rows(name: str, settings: TableSettings, available: int) -> int:
    """How many of a source's ``available`` rows are used.

    Raises:
      RowsError: ``first_rows`` asks for more than there are.
    """
    if settings.first_rows is None:
        return available
    if settings.first_rows > available:
        raise RowsError(
            f"Table {name}: first_rows is {settings.first_rows}, and {settings.source} has {available} rows; lower it."
        )
    return settings.first_rows


def _first_rows(table: Table, rows: int) -> Table:
    if rows == table.rows:
        return table
    values = {column: cells[:rows].copy() for column, cells in table.values.items()}
    return Table(table.name, None if table.ids is None else table.ids[:rows], rows, values, table.schema)
