"""Row n must be the same person at every party: one order for all, and proof of it without showing an id.

Each party orders its own table, then sends its row count and a keyed hash of the ids in that order. The key
is known to the parties only, so neither the server that relays the hash nor the coordinator can try ids
against it.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kernel.errors import RowsError, TertiumError
from party.rows.schema import Align
from party.rows.table import Table

_WITH_IDS = b"tertium order v1: ids"
_WITHOUT_IDS = b"tertium order v1: row numbers"
_SHORTEST_KEY_BYTES = 16
_IDS_AT_ONCE = 1 << 16

Ids: TypeAlias = Sequence[str] | pa.Array
"""One text per row: Python's, or Arrow's large_string where the table is on disk."""


@dataclass(frozen=True)
class Summary:
    """What one party tells the others about its rows: their count, and the 32 bytes of ``order_hash``."""

    rows: int
    order_hash: bytes


def align(table: Table, order: Align) -> NDArray[np.int64]:
    """The row order a table is to be put in, int64[rows], for ``reorder``.

    "sort" sorts the ids by their UTF-8 bytes, so parties with the same ids agree whatever order their files
    have; "file_order", or a table without ids, keeps the file's own.

    Raises:
      RowsError: ids that occur more than once (how many, never which).
    """
    if table.ids is None:
        return np.arange(table.rows, dtype=np.int64)
    found = order_of_ids(table.name, table.ids, order)
    return np.arange(table.rows, dtype=np.int64) if found is None else found


def order_of_ids(name: str, ids: Ids, order: Align) -> NDArray[np.int64] | None:
    """As ``align``, of a table's ids alone: int64[rows], or None where they stand in that order already.

    Raises:
      RowsError: ids that occur more than once (how many, never which).
    """
    texts = ids if isinstance(ids, pa.Array) else pa.array(ids, pa.large_string())
    # Arrow compares text by its UTF-8 bytes
    places: NDArray[np.int64] = pc.array_sort_indices(texts).to_numpy().view(np.int64)
    repeated = _repeated(texts, places)
    if repeated:
        raise RowsError(
            f"Table {name} has {repeated} duplicate ids among {len(texts)} rows; wanted each id once. "
            "Remove the duplicate rows or choose another id column."
        )
    if order == "file_order":
        return None
    return None if bool((places[1:] > places[:-1]).all()) else places


def _repeated(texts: pa.Array, places: NDArray[np.int64]) -> int:
    """How many texts equal the one before them in sorted order; a set of all would take as much memory as they do."""
    found = 0
    for start in range(0, len(texts), _IDS_AT_ONCE):
        ascending = texts.take(pa.array(places[start : start + _IDS_AT_ONCE + 1]))
        found += pc.sum(pc.equal(ascending[1:], ascending[:-1])).as_py() or 0
    return found


def reorder(table: Table, order: NDArray[np.int64]) -> Table:
    """The table with row ``order[n]`` of the old one as its row n.

    Raises:
      RowsError: ``order`` is not each row number once.
    """
    if order.shape != (table.rows,) or not np.array_equal(np.sort(order), np.arange(table.rows)):
        raise RowsError(f"The order of {table.name} does not name each of its {table.rows} rows once.")
    if np.array_equal(order, np.arange(table.rows)):
        return table
    ids = table.ids
    return Table(
        name=table.name,
        ids=None if ids is None else tuple(ids[row] for row in order.tolist()),
        rows=table.rows,
        values={column: values[order] for column, values in table.values.items()},
        schema=table.schema,
    )


def order_hash(ids: Ids | None, rows: int, key: bytes, order: NDArray[np.int64] | None = None) -> bytes:
    """HMAC-SHA256 (32 bytes) of the row count and of every id, in order, each after its length.

    Without ids only a marker and the count are hashed: that proves equal counts, nothing more.

    Args:
      ids: one per row, or None.
      rows: how many rows.
      key: at least 16 secret bytes shared by the parties of the run.
      order: int64[rows] that puts the ids into the aligned order; None where they are in it.

    Raises:
      RowsError: another number of ids than rows.
      TertiumError: a shorter key.
    """
    if len(key) < _SHORTEST_KEY_BYTES:
        raise TertiumError(f"The order key has {len(key)} bytes; at least {_SHORTEST_KEY_BYTES} are needed.")
    if ids is not None and len(ids) != rows:
        raise RowsError(f"There are {len(ids)} ids for {rows} rows; one per row is needed.")
    digest = hmac.new(key, _WITHOUT_IDS if ids is None else _WITH_IDS, hashlib.sha256)
    digest.update(rows.to_bytes(8, "big"))
    for texts in () if ids is None else ids_in_order(ids, order):
        encoded = [text.encode("utf-8") for text in texts]
        digest.update(b"".join(part for text in encoded for part in (len(text).to_bytes(8, "big"), text)))
    return digest.digest()


def ids_in_order(ids: Ids, order: NDArray[np.int64] | None) -> Iterator[Sequence[str]]:
    """The ids in the aligned order, some thousands at a time: Python's texts take 60 bytes and more each."""
    for start in range(0, len(ids), _IDS_AT_ONCE):
        stop = min(start + _IDS_AT_ONCE, len(ids))
        if isinstance(ids, pa.Array):
            yield (ids[start:stop] if order is None else ids.take(pa.array(order[start:stop]))).to_pylist()
        else:
            yield ids[start:stop] if order is None else [ids[row] for row in order[start:stop].tolist()]


def check_alignment(mine: Summary, peers: Mapping[str, Summary]) -> None:
    """Stop before the first step unless all parties hold the same rows in the same order.

    Args:
      mine: this party's summary.
      peers: the others', by party name.

    Raises:
      RowsError: counts differ (each party's is listed), or ids or their order differ at equal counts.
    """
    counts = ", ".join(
        [f"this party {mine.rows}", *(f"{name} {summary.rows}" for name, summary in sorted(peers.items()))]
    )
    if any(summary.rows != mine.rows for summary in peers.values()):
        raise RowsError(
            f"The parties hold different numbers of rows: {counts}. Give every party the rows that all of "
            "them have, one per id."
        )
    other = [
        name for name, summary in sorted(peers.items()) if not hmac.compare_digest(summary.order_hash, mine.order_hash)
    ]
    if other:
        raise RowsError(
            f"Same count, different ids or order: {counts}; {', '.join(other)} differ from this party. Set "
            'id to the same identifier at every party and align = "sort"; if it is set, compare how the ids '
            "are written (leading zeros, letter case) and whether all parties hold the same ids."
        )
