"""Tables on this machine, asked of the party package through its entry points (group `tertium.tables`)."""

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import TertiumError
from protos.v1 import plan_pb2


def table_size(name: str, section: Mapping[str, Any], patterns: Sequence[str]) -> tuple[int, int]:
    """(rows, encoded columns); raises RowsError when the table cannot be read here."""
    rows, width = _entry("size")(name, section, patterns)
    return int(rows), int(width)


def table_columns(section: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The declared schema of a table section."""
    columns: dict[str, dict[str, Any]] = _entry("columns")(section)
    return columns


def write_table(section: Mapping[str, Any], patterns: Sequence[str], path: Path) -> dict[str, Any]:
    """Write columns of a generated table (``builtin:generated``) as Parquet; returns a table section for the file."""
    written: dict[str, Any] = _entry("write")(section, patterns, path)
    return written


def synthetic_parquet(
    columns: Sequence[str], values: NDArray[np.float32], label: str, labels: NDArray[np.int64]
) -> bytes:
    """A Parquet file of synthetic rows, with their classes in a last column called ``label``."""
    encoded: bytes = _entry("synthetic_parquet")(columns, values, label, labels)
    return encoded


def gan_counts(
    part: plan_pb2.PartyPlan,
    sections: Mapping[str, Mapping[str, Any]],
    classes: Sequence[int],
    test_fraction: float,
    seed: int,
) -> dict[str, Any]:
    """``classes``: label -> training rows, ``columns`` and ``image`` of what a party's GANs would learn from."""
    counts: dict[str, Any] = _entry("gan_counts")(part, sections, classes, test_fraction, seed)
    return counts


def disk_memory(width: int, batch_rows: int, test_fraction: float, *, holds_label: bool) -> dict[str, float]:
    """``bytes_per_row`` and ``fixed_bytes`` a party with rows on disk holds in memory at most, above an idle daemon."""
    bound: dict[str, float] = _entry("disk_memory")(width, batch_rows, test_fraction, holds_label=holds_label)
    return bound


def _entry(name: str) -> Any:
    for entry in entry_points(group="tertium.tables", name=name):
        return entry.load()
    raise TertiumError(f"the party package offers no {name!r} of tables; install tertium again")
