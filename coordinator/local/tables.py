"""Tables on this machine, asked of the party package through its entry points (group `tertium.tables`)."""

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

from kernel.errors import TertiumError


def table_size(name: str, section: Mapping[str, Any], patterns: Sequence[str]) -> tuple[int, int]:
    """(rows, encoded columns); raises RowsError when the table cannot be read here."""
    rows, width = _entry("size")(name, section, patterns)
    return int(rows), int(width)


def table_columns(section: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The declared schema of a table section."""
    columns: dict[str, dict[str, Any]] = _entry("columns")(section)
    return columns


def _entry(name: str) -> Any:
    for entry in entry_points(group="tertium.tables", name=name):
        return entry.load()
    raise TertiumError(f"the party package offers no {name!r} of tables; install tertium again")
