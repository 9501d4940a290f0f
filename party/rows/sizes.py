"""What a forecast or a local prediction needs to know of a table on this machine: rows, widths, schema. Counts only."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from party.rows.builtin import default_data_directory
from party.rows.loaders import declared_columns, load_table
from party.rows.schema import TableSettings, select_columns


def table_size(name: str, section: Mapping[str, Any], patterns: Sequence[str]) -> tuple[int, int]:
    """(rows, width of the columns after one-hot) of a party config's table section.

    Raises:
      RowsError: the table cannot be read.
    """
    settings = TableSettings.model_validate(section)
    declared = declared_columns(settings)
    columns = select_columns(list(declared), patterns)
    width = sum(len(declared[column].categories) or 1 for column in columns)
    table = load_table(name, settings, data_directory=default_data_directory(os.environ), columns=columns[:1])
    return table.rows, width


def table_columns(section: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The declared schema of a table section as a `columns` section."""
    settings = TableSettings.model_validate(section)
    return {
        name: column.model_dump(exclude_defaults=True, mode="json")
        for name, column in declared_columns(settings).items()
    }
