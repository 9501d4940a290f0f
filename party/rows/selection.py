"""Which rows of a source a table uses: a window, a share of it, a share of each class; kept in the source's order.

    window:  skip_rows, then first_rows of what follows
    select:  of the window's rows in an order shuffled with a seed, those between two fractions
    keep:    of the selected rows of each class, in an order shuffled with a seed, the first share

Bounds of ``select`` are rounded alike, so ranges that touch miss no row and share none: two parties with the same seed,
window and disjoint ranges hold disjoint rows. ``keep`` with a larger share holds what it holds with a smaller one.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import RowsError
from party.rows.schema import Column, KeptShares, SelectedShare, TableSettings

RowNumbers = NDArray[np.int64]

_SELECT, _KEEP = 0x5E1EC7, 0x5E1EC8


def window_rows(name: str, settings: TableSettings, available: int) -> range:
    """The source's rows that ``skip_rows`` and ``first_rows`` leave, of ``available``.

    Raises:
      RowsError: they ask for more than there are.
    """
    skipped, first = settings.skip_rows, settings.first_rows
    if skipped >= available:
        raise RowsError(
            f"Table {name}: skip_rows is {skipped}, and {settings.source} has {available} rows; none would be left, lower it."
        )
    if first is None:
        return range(skipped, available)
    if skipped + first > available:
        after = f" after skip_rows = {skipped}" if skipped else ""
        raise RowsError(
            f"Table {name}: first_rows is {first}{after}, and {settings.source} has {available} rows; lower it."
        )
    return range(skipped, skipped + first)


def share_rows(rows: int, share: SelectedShare) -> int:
    """How many rows ``selected_rows`` selects of ``rows``."""
    return _place(share.last, rows) - _place(share.first, rows)


def selected_rows(rows: int, share: SelectedShare | None) -> RowNumbers:
    """Numbers of the rows between the share's fractions, of ``rows``: ascending, maybe none."""
    if share is None:
        return np.arange(rows, dtype=np.int64)
    order = np.random.default_rng([_SELECT, share.seed]).permutation(rows)
    return np.sort(order[_place(share.first, rows) : _place(share.last, rows)]).astype(np.int64)


def kept_rows(name: str, settings: TableSettings, keep: KeptShares, cells: NDArray[Any], column: Column) -> RowNumbers:
    """Numbers of the rows whose class keeps them: ascending.

    Args:
      cells: [rows], a column's checked values (``cells.check_cells``); column: its declaration.

    Raises:
      RowsError: a real column, which has no classes; a share for a class that the column cannot hold.
    """
    if column.type == "real":
        raise RowsError(
            f'Table {name}: keep.column "{keep.column}" is real and has no classes; name an integer, boolean or category column.'
        )
    classes = _class_texts(cells, column)
    if column.type != "integer":
        possible = column.categories or ("false", "true")
        unknown = [label for label in keep.shares if label not in possible]
        if unknown:
            raise RowsError(
                f'Table {name}: keep.shares names {len(unknown)} classes that column "{keep.column}" of {settings.source} cannot hold.'
            )
    found = []
    for label in np.unique(cells).tolist():
        rows = np.flatnonzero(cells == label)
        share = keep.shares.get(classes[label], keep.otherwise)
        order = np.random.default_rng([_KEEP, keep.seed, int(label) & (2**64 - 1)]).permutation(len(rows))
        found.append(rows[order[: _place(share, len(rows))]])
    return np.sort(np.concatenate(found)).astype(np.int64) if found else np.empty(0, np.int64)


def check_some(name: str, settings: TableSettings, rows: int, window: int) -> None:
    """RowsError where nothing is left of the ``window`` rows to select from."""
    if rows == 0:
        raise RowsError(
            f"Table {name}: select and keep leave none of {window} rows of {settings.source}; widen select or raise a share."
        )


def _class_texts(cells: NDArray[Any], column: Column) -> dict[Any, str]:
    """How each value that occurs is written in ``keep.shares``."""
    if column.type == "category":
        return dict(enumerate(column.categories))
    return {label: str(label).lower() for label in np.unique(cells).tolist()}


def _place(fraction: float, rows: int) -> int:
    return int(np.floor(fraction * rows + 0.5))
