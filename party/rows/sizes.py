"""What a coordinator or a benchmark may ask about tables on this machine: counts, schemas, a made-up file. No cell."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kernel.errors import RowsError
from party.rows.builtin import default_data_directory
from party.rows.generated import generated_columns, write_generated
from party.rows.loaders import declared_columns, load_table
from party.rows.ordered_copy import BUCKET_BYTES
from party.rows.schema import TableSettings, select_columns
from party.rows.selection import share_rows, window_rows
from party.rows.streamed_table import BATCH_BYTES, StreamedTable

_SPLIT_BYTES = 8
"""A row: its number, among the training or the test rows."""
_ORDER_BYTES, _PLACE_BYTES = 8, 4
"""A training row: its number in the epoch's order; a row: its place while that order is laid out (8 from 2^31 rows on)."""
_LABEL_BYTES, _SCORE_BYTES = 1 + 4, 100
"""At the label holder, a row: the boolean label and its encoding; a test row: its label and output again (12), and the
sorting of an AUC with its interval (82)."""
_LIBRARY_BYTES = 48 << 20
"""What Arrow, gRPC and cryptography take when they are first used."""
_BATCHES, _COLUMN_BYTES = 5, 4 << 20
"""Of rows while the file is read, from Arrow's cells to encoded ones; pages and dictionary of a column that is read."""
_BUCKETS = 4
"""Of rows while an order is laid out, or taken from."""


def table_size(name: str, section: Mapping[str, Any], patterns: Sequence[str]) -> tuple[int, int]:
    """(rows, width of the columns after one-hot) of a party config's table section.

    Raises:
      RowsError: the table cannot be read.
    """
    settings = table_settings(section)
    declared = declared_columns(settings)
    columns = select_columns(list(declared), patterns)
    width = sum(len(declared[column].categories) or 1 for column in columns)
    if settings.storage == "disk":
        return StreamedTable(name, settings.model_copy(update={"id": None})).rows, width
    if settings.generate is not None and settings.keep is None:
        window = window_rows(name, settings, settings.generate.rows)
        return (len(window) if settings.select is None else share_rows(len(window), settings.select)), width
    table = load_table(name, settings, data_directory=default_data_directory(os.environ), columns=columns[:1])
    return table.rows, width


def table_columns(section: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The declared schema of a table section as a `columns` section."""
    return {
        name: column.model_dump(exclude_defaults=True, mode="json")
        for name, column in declared_columns(table_settings(section)).items()
    }


def write_table(section: Mapping[str, Any], patterns: Sequence[str], path: Path) -> dict[str, Any]:
    """Write columns of a generated table as Parquet, block by block.

    Args:
      section: a table section with source builtin:generated; patterns: names or ranges, V1..V14.

    Returns:
      a table section for the file: its source and its columns.

    Raises:
      RowsError: another source, rows chosen by skip_rows, select or keep, an unknown column, a file that cannot be written.
    """
    settings = table_settings(section)
    if settings.generate is None:
        raise RowsError(
            f"only builtin:generated can be written, and the source is {settings.source}; use that file itself"
        )
    if settings.skip_rows or settings.select or settings.keep:
        raise RowsError("a generated table is written from its first row on; remove skip_rows, select and keep")
    declared = generated_columns(settings.generate)
    columns = select_columns(tuple(declared), patterns)
    rows = settings.first_rows or settings.generate.rows
    write_generated(settings.generate.model_copy(update={"rows": rows}), columns, path)
    schema = {column: declared[column].model_dump(exclude_defaults=True, mode="json") for column in columns}
    return {"source": str(path), "columns": schema}


def disk_memory(width: int, batch_rows: int, test_fraction: float, *, holds_label: bool) -> dict[str, float]:
    """What a party with ``storage = "disk"``, no ids and a boolean label holds in memory above an idle daemon, at most.

    For Parquet with pages of the usual 1 MB, in row groups of any size, and first-layer widths of some dozens.

    Args:
      width: encoded columns; batch_rows, test_fraction: the plan's.

    Returns:
      ``bytes_per_row``: whatever the number of columns; ``fixed_bytes``: whatever the number of rows.
    """
    training = _SPLIT_BYTES + _PLACE_BYTES + _ORDER_BYTES * (1 - test_fraction)
    scoring = _SPLIT_BYTES + _SCORE_BYTES * test_fraction
    reading = _BATCHES * BATCH_BYTES + width * _COLUMN_BYTES
    stepping = _BUCKETS * BUCKET_BYTES + 8 * batch_rows * (width + 64)  # mini-batches, shares, masks, messages
    return {
        "bytes_per_row": _LABEL_BYTES + max(training, scoring) if holds_label else training,
        "fixed_bytes": _LIBRARY_BYTES + max(reading, stepping),
    }


def table_settings(section: Mapping[str, Any]) -> TableSettings:
    """A table section as settings; RowsError where it is none."""
    try:
        return TableSettings.model_validate(section)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the table section"
        raise RowsError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from error
