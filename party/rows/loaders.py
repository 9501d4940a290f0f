"""One table, from a builtin or a file, with every cell checked against its schema."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from kernel.errors import RowsError
from party.rows.builtin import builtin_columns, load_builtin
from party.rows.cells import check_cells, check_ids
from party.rows.files import read_columns
from party.rows.schema import Column, TableSettings, select_columns
from party.rows.table import Table


def declared_columns(settings: TableSettings) -> Mapping[str, Column]:
    """The table's schema in table order, known before any row is read; ranges such as "V1..V14" follow this
    order.

    Raises:
      RowsError: no builtin of that name, or a file without declared columns.
    """
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
      The table in file order; ``alignment`` orders it.

    Raises:
      RowsError: a file that is missing, of another kind, empty or without a column; a cell that its
        declaration does not allow (file, data row counted from 1 and column are named, the value is not).
    """
    declared = declared_columns(settings)
    chosen = tuple(declared) if columns is None else select_columns(tuple(declared), columns)
    if not chosen and settings.id is None:
        raise RowsError(f"Table {name}: no column was asked for and it has no id; name at least one column.")
    if settings.builtin is not None:
        return load_builtin(name, settings.builtin, data_directory=data_directory, columns=chosen)
    path = Path(settings.source).expanduser()
    file = f"Table {name} ({path})"
    wanted = chosen if settings.id is None or settings.id in chosen else (settings.id, *chosen)
    cells = read_columns(path, wanted)
    ids = None if settings.id is None else check_ids(cells[settings.id], file=file, name=settings.id)
    return Table(
        name=name,
        ids=ids,
        rows=len(cells[wanted[0]]),
        values={column: check_cells(cells[column], declared[column], file=file, name=column) for column in chosen},
        schema={column: declared[column] for column in chosen},
    )
