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
from party.rows.selection import check_some, kept_rows, selected_rows, window_rows
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
      The table in file order, the rows that the settings select (selection.py); ``alignment`` orders it.
      Whatever its ``storage``, it is in memory: streamed_table.py reads in batches.

    Raises:
      RowsError: a file that is missing, of another kind, empty or without a column; a cell that its
        declaration does not allow (file, data row counted from 1 and column are named, the value is not); a selection
        that leaves no row.
    """
    declared = declared_columns(settings)
    chosen = tuple(declared) if columns is None else select_columns(tuple(declared), columns)
    if not chosen and settings.id is None:
        raise RowsError(f"Table {name}: no column was asked for and it has no id; name at least one column.")
    keep = settings.keep
    read = (
        chosen if keep is None or keep.column in chosen else (*chosen, *select_columns(tuple(declared), [keep.column]))
    )
    if settings.generate is not None:
        window = window_rows(name, settings, settings.generate.rows)
        table = load_generated(name, settings.generate, read, rows=window.stop)
    elif settings.builtin is not None:
        table = load_builtin(name, settings.builtin, data_directory=data_directory, columns=read)
        window = window_rows(name, settings, table.rows)
    else:
        table = _load_file(name, settings, read, declared)
        window = range(table.rows)
    return _selected(table, settings, window, chosen)


def _load_file(name: str, settings: TableSettings, chosen: Sequence[str], declared: Mapping[str, Column]) -> Table:
    """The window's rows of a file; cells before and after are not looked at."""
    path = Path(settings.source).expanduser()
    file = f"Table {name} ({path})"
    wanted = chosen if settings.id is None or settings.id in chosen else (settings.id, *chosen)
    cells: dict[str, pa.ChunkedArray] = read_columns(path, wanted)
    window = window_rows(name, settings, len(cells[wanted[0]]))
    cells = {column: values.slice(window.start, len(window)) for column, values in cells.items()}
    first = window.start or None  # a window from the beginning counts its rows as the file does
    key = settings.id
    return Table(
        name=name,
        ids=None if key is None else check_ids(cells[key], file=file, name=key, first_row=first),
        rows=len(window),
        values={
            column: check_cells(cells[column], declared[column], file=file, name=column, first_row=first)
            for column in chosen
        },
        schema={column: declared[column] for column in chosen},
    )


def _selected(table: Table, settings: TableSettings, window: range, columns: Sequence[str]) -> Table:
    """The rows of the table's ``window`` that the settings select, with ``columns`` only."""
    rows = window.start + selected_rows(len(window), settings.select)
    keep = settings.keep
    if keep is not None:
        cells, column = table.column(keep.column)
        rows = rows[kept_rows(table.name, settings, keep, cells[rows], column)]
    check_some(table.name, settings, len(rows), len(window))
    if len(rows) == table.rows and len(columns) == len(table.values):
        return table
    ids = table.ids
    return Table(
        name=table.name,
        ids=None if ids is None else tuple(ids[row] for row in rows),
        rows=len(rows),
        values={column: table.values[column][rows] for column in columns},
        schema={column: table.schema[column] for column in columns},
    )
