"""The rows of one run at one party: loaded, aligned with the peers, split and encoded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernel.batch_order import Split, split_rows
from kernel.errors import WireError
from kernel.randomness import SecureRandomness
from party.membership import Membership
from party.peer_links import PeerLinks
from party.rows.alignment import Summary, align, check_alignment, order_hash, reorder
from party.rows.loaders import declared_columns, load_table
from party.rows.schema import TableSettings, select_columns
from party.rows.table import Table
from protos.v1 import relay_pb2


@dataclass(frozen=True)
class RunRows:
    """Encoded rows in aligned order: float32[rows, width]."""

    table: Table
    columns: tuple[str, ...]

    def split(self, test_fraction: float, seed: int) -> Split:
        return split_rows(self.table.rows, test_fraction, seed)


def load_aligned(
    name: str, settings: TableSettings, patterns: Sequence[str], label: str, data_directory: Path | None
) -> RunRows:
    """Read the wanted columns and put rows into the agreed order.

    Raises:
      RowsError: a bad cell, a duplicate id, a missing file.
    """
    columns = select_columns(list(declared_columns(settings)), patterns)
    wanted = [*columns, *([label] if label and label not in columns else [])]
    table = load_table(name, settings, data_directory=data_directory, columns=wanted)
    return RunRows(reorder(table, align(table, settings.align)), columns)


def compare_order(rows: RunRows, links: PeerLinks, membership: Membership) -> None:
    """Hold this party's plan and row order to everyone's before step one.

    The first party of the plan draws the key, so that neither the neutral server nor the coordinator can try ids
    against the hash.

    Raises:
      RowsError: counts or orders differ; says the counts. WireError: a peer was given another plan.
    """
    header, parties, plan_hash = membership.header(), membership.names, membership.plan_hash
    peers = sorted(links.links)
    if parties[0] == membership.me:
        key = bytes(SecureRandomness().key())
        for peer in peers:
            links.send(peer, "alignment_key", relay_pb2.AlignmentKey(key=key).SerializeToString(), header)
    else:
        key = relay_pb2.AlignmentKey.FromString(links.receive(parties[0], "alignment_key", header)).key
    mine = summary(rows.table, key)
    message = relay_pb2.AlignmentSummary(
        rows=mine.rows, order_hash=mine.order_hash, plan_hash=plan_hash
    ).SerializeToString()
    for peer in peers:
        links.send(peer, "order_hash", message, header)
    theirs = {}
    for peer in peers:
        answer = relay_pb2.AlignmentSummary.FromString(links.receive(peer, "order_hash", header))
        if answer.plan_hash != plan_hash:
            raise WireError(
                f"{peer!r} was given another plan than {header.sender!r}; the coordinator or the versions differ"
            )
        theirs[peer] = Summary(rows=answer.rows, order_hash=answer.order_hash)
    check_alignment(mine, theirs)


def summary(table: Table, key: bytes) -> Summary:
    return Summary(rows=table.rows, order_hash=order_hash(table.ids, table.rows, key))


def all_rows(rows: int) -> NDArray[np.int64]:
    return np.arange(rows, dtype=np.int64)
