"""The files of a local run that an evaluator may read, because one person owns every role: rows, weights, labels."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.batch_order import Split, split_rows
from kernel.durable import BarrierStore
from kernel.errors import BadInputError, SettingsError
from kernel.network import NetworkSpec
from kernel.plan_message import label_holder, network_spec, plan_hash, safe_run_name
from kernel.process import load_settings
from party.first_layer.assembly import norm_bounds
from party.membership import Membership
from party.policy import part_of
from party.rows.builtin import default_data_directory
from party.rows.encoding import RowEncoder
from party.rows.labels import LabelEncoder
from party.rows.schema import Column
from party.run_rows import load_aligned
from party.settings import PartySettings
from protos.v1 import plan_pb2


@dataclass(frozen=True, eq=False)
class PartyFiles:
    """What one party has.

    Attributes:
      rows: float32[all rows, own columns], encoded as the party encodes them, in aligned order.
      bounded: the same as the party trains with them, where the plan bounds rows; else None. What an attacker is after is
        the rows as they are.
      schema: declarations of its input columns, in order.
      weights: float32[own columns, width of the first layer], at the newest barrier; None where they are shares, which tell nothing.
    """

    name: str
    rows: NDArray[np.float32]
    schema: dict[str, Column]
    weights: NDArray[np.float32] | None
    bounded: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class RunFiles:
    """All parties' files of one run, in the order of its plan.

    Attributes:
      labels: [all rows], encoded as the loss reads them.
      head: the label head's kernel and bias at the newest barrier; None without a neutral server, where they are shares.
      newest: number of the newest barrier, which is that of the epoch it was held after.
      stack: the neutral server's barriers.
    """

    plan: plan_pb2.RunPlan
    run: str
    parties: tuple[PartyFiles, ...]
    labels: NDArray[Any]
    head: tuple[NDArray[np.float32], NDArray[np.float32]] | None
    newest: int
    stack: BarrierStore

    @property
    def spec(self) -> NetworkSpec:
        return network_spec(self.plan.network)

    @property
    def label_holder(self) -> str:
        return label_holder(self.plan)

    @cached_property
    def split(self) -> Split:
        return split_rows(len(self.labels), self.plan.test_fraction, self.plan.network.seed)

    def targets(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32[rows, columns of all parties], what an attacker of rows is after."""
        return np.concatenate([party.rows[rows] for party in self.parties], axis=1)


def read_run_files(
    plan_file: Path, run: str, party_configs: Sequence[Path], server_state: Path, server_plan: bytes
) -> RunFiles:
    """Read a run's rows and newest weights.

    Args:
      plan_file: the plan's message, serialised.
      party_configs: config of every party, in the order of the plan.
      server_state: the neutral server's state directory; server_plan: under what it holds its barriers.

    Raises:
      SettingsError: no config is the label holder's. BadInputError: a role holds no barrier of this run.
      RowsError: a table cannot be read.
    """
    plan = plan_pb2.RunPlan.FromString(plan_file.read_bytes())
    parties, labels, head, newest = [], None, None, 0
    for config in party_configs:
        settings = load_settings(PartySettings, config)
        part = part_of(plan, settings.name)
        data_directory = settings.data_directory or default_data_directory(os.environ)
        rows = load_aligned(part.table, settings.tables[part.table], list(part.columns), part.label, data_directory)
        newest, parts = _newest(settings.state_directory / safe_run_name(run), plan_hash(plan), settings.name)
        encoded = rows.encode(RowEncoder.from_state(parts["row_encoder"]))
        schema = {name: rows.table.schema[name] for name in rows.columns}
        bounds = norm_bounds(Membership(settings.name, run, 0, plan), encoded.shape[1])
        bounded = None if bounds is None else bounds.clip(encoded.copy())
        weights = parts["first_layer"]["weights"] if "first_layer" in parts else None
        parties.append(PartyFiles(settings.name, encoded, schema, weights, bounded))
        if settings.name == label_holder(plan):
            labels = rows.encode_labels(LabelEncoder.from_state(parts["label_encoder"]))
            head = (parts["label_head"]["kernel"], parts["label_head"]["bias"]) if "label_head" in parts else None
    if labels is None:
        raise SettingsError("no --party-config belongs to the label holder; name one for each party of the plan")
    stack = BarrierStore(server_state / safe_run_name(run) / "barriers", server_plan)
    return RunFiles(plan, run, tuple(parties), labels, head, newest, stack)


def _newest(directory: Path, held_under: bytes, name: str) -> tuple[int, dict[str, dict[str, NDArray[Any]]]]:
    store = BarrierStore(directory / "barriers", held_under)
    if not (held := store.held()):
        raise BadInputError(f"{name!r} holds no barrier of this run in {directory}; train the run first")
    return held[-1], store.load(held[-1])
