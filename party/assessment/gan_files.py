"""The files of a local run of GANs that an evaluator may read, because one person owns every role: rows and trained nets."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from kernel.durable import BarrierStore
from kernel.errors import BadInputError
from kernel.gan.schedule import Group, plan_groups
from kernel.gan.spec import GanSpec, ImageShape, gan_spec
from kernel.plan_message import plan_hash, safe_run_name
from kernel.process import load_settings
from party.assessment.stored_discriminator import StoredDiscriminator
from party.gan.rows import GanRows, load_gan_rows
from party.policy import part_of
from party.rows.builtin import default_data_directory
from party.settings import PartySettings
from protos.v1 import plan_pb2

_CLASS, _SHARED = "class-", "shared_discriminator"
State = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class PartyGans:
    """What one party has: its rows and, for each class it has GANs of, their state (`LocalGan.state`)."""

    name: str
    rows: GanRows
    states: Mapping[int, State]


@dataclass(frozen=True, eq=False)
class GanFiles:
    """All parties' files of one run, in the order of its plan.

    Attributes:
      barrier: of everything here: the newest that all roles hold.
      shared: the neutral server's part of it; None in a run without a shared discriminator.
    """

    spec: GanSpec
    barrier: int
    parties: tuple[PartyGans, ...]
    shared: State | None

    @property
    def image(self) -> ImageShape | None:
        return self.parties[0].rows.image

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """As the coordinator made them."""
        counts = {one.name: {label: len(rows) for label, rows in one.rows.train.items()} for one in self.parties}
        return plan_groups(self.spec, [one.name for one in self.parties], counts)

    def discriminators(self, label: int) -> dict[str, StoredDiscriminator]:
        """Of every party that has one of this class, by its name."""
        return {
            one.name: StoredDiscriminator(self.spec.discriminator, self.image, one.states[label], "discriminator.")
            for one in self.parties
            if label in one.states
        }

    def shared_discriminator(self, label: int) -> StoredDiscriminator | None:
        """None where there is none, or it has learned nothing of this class: too early, or only one party made fakes of it."""
        shared = self.spec.shared
        number, group = next((number, one) for number, one in enumerate(self.groups) if label in one.classes)
        if self.shared is None or shared is None or not shared.learns(self.barrier) or not group.exchanged():
            return None
        return StoredDiscriminator(shared.net, self.image, self.shared, f"group-{number}.", group.classes.index(label))


def read_gan_files(
    plan_file: Path, run: str, party_configs: Sequence[Path], server_state: Path, server_plan: bytes
) -> GanFiles:
    """Read a run's rows and nets.

    Args:
      plan_file: the plan's message, serialised.
      party_configs: config of every party, in the order of the plan.
      server_state: the neutral server's state directory; server_plan: under what it holds its barriers.

    Raises:
      BadInputError: there is no barrier that all roles hold, or a config is missing. WireError: the plan has no GANs.
      RowsError: a table cannot be read.
    """
    plan = plan_pb2.RunPlan.FromString(plan_file.read_bytes())
    spec = gan_spec(plan)
    settings = [load_settings(PartySettings, config) for config in party_configs]
    if [one.name for one in settings] != [party.name for party in plan.parties]:
        raise BadInputError(
            f"the configs are of {[one.name for one in settings]} and the plan's parties are "
            f"{[party.name for party in plan.parties]}; give --party-config for each, in this order"
        )
    stores = [BarrierStore(one.state_directory / safe_run_name(run) / "barriers", plan_hash(plan)) for one in settings]
    server = BarrierStore(server_state / safe_run_name(run) / "barriers", server_plan)
    held = [set(store.held()) for store in ([*stores, server] if spec.shared else stores)]
    common = set.intersection(*held) - {0}
    if not common:
        raise BadInputError(
            f"there is no barrier of run {run!r} after its start that all roles hold; train the run first"
        )
    barrier = max(common)
    parties = []
    for one, store in zip(settings, stores, strict=True):
        data_directory = one.data_directory or default_data_directory(os.environ)
        part = part_of(plan, one.name)
        rows = load_gan_rows(part, one.tables, data_directory, spec.classes, plan.test_fraction, spec.seed)
        parts = store.load(barrier)
        states = {int(name.removeprefix(_CLASS)): state for name, state in parts.items() if name.startswith(_CLASS)}
        parties.append(PartyGans(one.name, rows, states))
    return GanFiles(spec, barrier, tuple(parties), server.load(barrier)[_SHARED] if spec.shared else None)
