"""The rows of one run at one party: loaded, aligned with the peers, encoded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kernel.batch_order import RowIndices
from kernel.errors import WireError
from kernel.network import LossName
from kernel.randomness import SecureRandomness
from party.first_layer.norm_bounds import NormBounds
from party.membership import Membership
from party.peer_links import PeerLinks
from party.rows.alignment import Summary, align, check_alignment, ids_in_order, order_hash, reorder
from party.rows.disk_rows import Rows
from party.rows.encoding import RowEncoder
from party.rows.labels import LabelEncoder
from party.rows.loaders import declared_columns, load_table
from party.rows.schema import TableSettings, select_columns
from party.rows.table import Table
from party.streamed_rows import StreamedRows
from protos.v1 import relay_pb2


class RunRows(Protocol):
    """A run's rows in aligned order, wherever they are kept."""

    @property
    def rows(self) -> int:
        """How many."""

    def order_hash(self, key: bytes) -> bytes:
        """32 bytes: ``alignment.order_hash`` of the ids in aligned order."""

    def ids(self) -> Iterator[Sequence[str]] | None:
        """Ids in aligned order, some thousands at a time; None where the row number is the identity."""

    def check(self) -> None:
        """Hold every cell to its declaration. RowsError: the first that does not fit."""

    def fit(self, training_rows: RowIndices, clip_deviations: float | None) -> RowEncoder:
        """As ``RowEncoder.fit``, to the same bits for the same rows."""

    def fit_labels(self, loss: LossName, outputs: int, training_rows: RowIndices) -> LabelEncoder:
        """As ``LabelEncoder.fit`` of the label column; after ``fit``."""

    def encode(self, encoder: RowEncoder, bounds: NormBounds | None = None) -> Rows:
        """float32[rows, width]; with ``bounds``, no row longer than they say."""

    def encode_labels(self, encoder: LabelEncoder) -> NDArray[Any]:
        """As ``LabelEncoder.encode``, [rows]; after ``fit``."""

    def announce(self, order: RowIndices) -> None:
        """The encoded rows will be asked for in this order, each at most once."""

    def close(self) -> None:
        """Give back what is held outside memory."""


@dataclass(frozen=True)
class TableRows:
    """Rows in memory. ``columns`` are inputs; ``label`` is the label column, "" where there is none."""

    table: Table
    columns: tuple[str, ...]
    label: str = ""

    @property
    def rows(self) -> int:
        return self.table.rows

    def order_hash(self, key: bytes) -> bytes:
        return order_hash(self.table.ids, self.table.rows, key)

    def ids(self) -> Iterator[Sequence[str]] | None:
        return None if self.table.ids is None else ids_in_order(self.table.ids, None)

    def check(self) -> None:
        """They were checked when they were loaded."""

    def fit(self, training_rows: RowIndices, clip_deviations: float | None) -> RowEncoder:
        return RowEncoder.fit(self.table, self.columns, training_rows, clip_deviations)

    def fit_labels(self, loss: LossName, outputs: int, training_rows: RowIndices) -> LabelEncoder:
        return LabelEncoder.fit(self.table, self.label, loss, outputs, training_rows)

    def encode(self, encoder: RowEncoder, bounds: NormBounds | None = None) -> NDArray[np.float32]:
        rows = encoder.encode(self.table)
        return rows if bounds is None else bounds.clip(rows)

    def encode_labels(self, encoder: LabelEncoder) -> NDArray[Any]:
        return encoder.encode(self.table)

    def announce(self, order: RowIndices) -> None:
        """Memory is as fast in any order."""

    def close(self) -> None:
        """Nothing is held elsewhere."""


def open_rows(
    name: str,
    settings: TableSettings,
    patterns: Sequence[str],
    label: str,
    data_directory: Path | None,
    scratch_directory: Path,
) -> RunRows:
    """A run's rows, kept where the table's settings say; ``scratch_directory`` is for those on disk.

    Raises:
      RowsError: a bad cell (on disk: once ``check``, ``fit`` or ``encode`` meet it), a duplicate id, a missing file.
    """
    if settings.storage == "disk":
        columns = select_columns(list(declared_columns(settings)), patterns)
        return StreamedRows(name, settings, columns, label, scratch_directory)
    return load_aligned(name, settings, patterns, label, data_directory)


def load_aligned(
    name: str, settings: TableSettings, patterns: Sequence[str], label: str, data_directory: Path | None
) -> TableRows:
    """Read the wanted columns into memory and put rows into the agreed order.

    Raises:
      RowsError: a bad cell, a duplicate id, a missing file.
    """
    columns = select_columns(list(declared_columns(settings)), patterns)
    wanted = [*columns, *([label] if label and label not in columns else [])]
    table = load_table(name, settings, data_directory=data_directory, columns=wanted)
    return TableRows(reorder(table, align(table, settings.align)), columns, label)


def compare_order(rows: RunRows, links: PeerLinks, membership: Membership) -> None:
    """Hold this party's plan and row order to everyone's before step one.

    The first party of the plan draws the key, so that neither the neutral server nor the coordinator can try ids
    against the hash.

    Raises:
      RowsError: counts or orders differ; says the counts. WireError: a peer was given another plan.
    """
    header, parties = membership.header(), membership.names
    peers = sorted(links.links)
    if parties[0] == membership.me:
        key = bytes(SecureRandomness().key())
        for peer in peers:
            links.send(peer, "alignment_key", relay_pb2.AlignmentKey(key=key).SerializeToString(), header)
    else:
        key = relay_pb2.AlignmentKey.FromString(links.receive(parties[0], "alignment_key", header)).key
    mine = summary(rows, key)
    message = relay_pb2.AlignmentSummary(
        rows=mine.rows, order_hash=mine.order_hash, plan_hash=membership.plan_hash
    ).SerializeToString()
    for peer in peers:
        links.send(peer, "order_hash", message, header)
    theirs = {}
    for peer in peers:
        answer = relay_pb2.AlignmentSummary.FromString(links.receive(peer, "order_hash", header))
        _check_plan_hash(answer.plan_hash, peer, membership)
        theirs[peer] = Summary(rows=answer.rows, order_hash=answer.order_hash)
    check_alignment(mine, theirs)


def compare_plans(links: PeerLinks, membership: Membership) -> None:
    """Hold this party's plan to everyone's where rows need no common order: no coordinator can give two parties two plans.

    Raises:
      WireError: a peer was given another plan.
    """
    for peer, found in _exchanged("plan_hash", membership.plan_hash, links, membership).items():
        _check_plan_hash(found, peer, membership)


def compare_groups(groups: bytes, links: PeerLinks, membership: Membership) -> None:
    """Hold the coordinator's groups to everyone's: steps given to two parties differently would single out one's update.

    Raises:
      WireError: a peer was given other groups.
    """
    for peer, found in _exchanged("groups", groups, links, membership).items():
        if found != groups:
            raise WireError(
                f"{peer!r} was given other groups of classes and steps than {membership.me!r}; the coordinator or the versions "
                "differ: run one version everywhere, and ask the coordinator's operator"
            )


def _exchanged(topic: str, mine: bytes, links: PeerLinks, membership: Membership) -> dict[str, bytes]:
    """By peer what it has sent under the topic, to which ``mine`` goes."""
    header, peers = membership.header(), sorted(links.links)
    for peer in peers:
        links.send(peer, topic, mine, header)
    return {peer: links.receive(peer, topic, header) for peer in peers}


def _check_plan_hash(found: bytes, peer: str, membership: Membership) -> None:
    if found != membership.plan_hash:
        raise WireError(
            f"{peer!r} was given another plan than {membership.me!r}; the coordinator or the versions differ"
        )


def summary(rows: RunRows, key: bytes) -> Summary:
    return Summary(rows=rows.rows, order_hash=rows.order_hash(key))


def all_rows(rows: int) -> NDArray[np.int64]:
    return np.arange(rows, dtype=np.int64)
