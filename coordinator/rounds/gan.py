"""Job kinds `privgan` and `gan`: the rounds of a run of GANs, and of synthetic rows asked of one later.

[1] a new generation; the neutral server prepares (privgan only), then the parties (policy, peers, rows); their rows must be
    of one width and image shape; their counts of each class and the plan's policy make the schedule;
[2] the newest barrier that all hold is the start;
[3] per epoch: where the shared discriminator learns it is announced to the server, the parties train it among themselves
    and the server; then previews and barriers as often as the plan says;
[4] the evaluation (coordinator/evaluation/gan.py).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from coordinator.clients import StackClient
from coordinator.evaluation.gan import GanEvaluation
from coordinator.gan_forecast import forecast_gans
from coordinator.gan_plan import check_message_size, most_rows_of_a_message
from coordinator.job_plan import gan_plan
from coordinator.roster import Roster
from coordinator.rounds.base import Rounds, bytes_by_link, seconds_by_phase
from coordinator.run_store import RunRecord
from coordinator.sampling import Sampling
from coordinator.settings import CoordinatorSettings
from coordinator.stack_secrets import StackSecrets
from coordinator.synthetic_rows import SyntheticRows, write_synthetic_rows
from kernel.batch_order import batch_seed
from kernel.errors import BadInputError, WireError
from kernel.gan.nets import discriminator_shapes, generator_shapes
from kernel.gan.schedule import Group, plan_groups
from kernel.gan.spec import FEWEST_SCORED, NET_KINDS, ImageShape, gan_spec
from kernel.gan.synthetic_message import decode_synthetic
from kernel.plan_message import plan_hash
from kernel.run_state import RunState
from protos.v1 import common_pb2, coordination_pb2, stack_control_pb2

SAMPLES = "samples"
_NOISE = 0x6A4E
PREVIEW_ROWS = 8
"""Of a class, in a preview."""


class GanRounds(Rounds):
    """One generation of one run."""

    def __init__(
        self,
        record: RunRecord,
        roster: Roster,
        stack: StackClient,
        settings: CoordinatorSettings,
        secrets: StackSecrets,
    ) -> None:
        self._asked = gan_plan(record.plan, "this")
        super().__init__(record, roster, stack if self._asked.shared is not None else None, settings)
        self._secrets = secrets
        self._spec = gan_spec(self._plan)
        self._groups: tuple[Group, ...] = ()

    def sample(self, sampling: Sampling, request: str) -> None:
        """Rows of one party's generators, into the run directory; no other role takes part."""
        self._only(sampling.party)
        self._guarded(lambda: self._sample(sampling, request))

    def _train(self) -> None:
        record, plan = self._record, self._plan
        start = max(self._common_barriers(self._prepare()), default=0)
        self._agree()
        self._schedule()
        self._begin(start)
        self._note_generation(start)
        expected = forecast_gans(plan, self._groups, self._columns, self._image, run=record.run)
        record.note("forecast", **expected.as_event())
        self._train_epochs(start, self._train_epoch)
        self._preview(plan.epochs)
        self._evaluate()
        self._end()

    def _sample(self, sampling: Sampling, request: str) -> None:
        self._prepare(request)
        start = max(self._common_barriers(None), default=0)
        if start < self._plan.epochs:
            raise BadInputError(
                f"run {self._record.run!r} is not trained to its end at {sampling.party!r}; resume it before sampling"
            )
        self._groups = self._noted_groups()
        self._begin_parties(start)
        wanted = {sampling.party: sampling.rows_per_class}
        (rows,) = self._synthesise(wanted, sampling.seed, sampling.classes).values()
        self._finish()
        file = self._keep(rows, f"{request}.npz", sampling.party)
        self._record.note("sampled", party=sampling.party, file=file, rows=len(rows.labels))

    # --- the schedule ------------------------------------------------------------------------------------------

    def _prepare(self, request: str = "") -> list[int] | None:
        """The barriers that the server holds; None where it takes no part. ``request`` names rows that are asked for."""
        self._wait_for_parties()
        held = self._prepare_shared() if self._server is not None else None
        self._prepare_parties(coordination_pb2.Prepare(plan=self._plan, request=request))
        if not request:
            for name, one in self._prepared.items():
                self._note_prepared(name, classes={str(count.label): count.train_rows for count in one.classes})
        return held

    def _prepare_shared(self) -> list[int]:
        gan, server = self._plan.gan, self._require_server()
        return server.prepare_shared(
            stack_control_pb2.PrepareSharedRequest(
                run=self._record.run,
                generation=self._generation,
                plan_hash=self._secrets.barrier_plan(plan_hash(self._plan)),
                parties=self._names,
                kind=NET_KINDS[self._spec.generator.kind],
                shared=gan.shared,
                learning_rate=gan.nets.learning_rate,
                beta_1=gan.nets.beta_1,
                batch_rows=self._plan.batch_rows,
                seed=self._secrets.stack_seed(gan.seed),
            )
        )

    @property
    def _columns(self) -> int:
        return next(iter(self._prepared.values())).encoded_columns

    @property
    def _image(self) -> ImageShape | None:
        one = next(iter(self._prepared.values()))
        return ImageShape(one.image_height, one.image_width) if one.image_height else None

    def _agree(self) -> None:
        """Raises BadInputError: rows of several shapes, none these nets are for, or too long ones."""
        shapes = {name: _shape(one) for name, one in self._prepared.items()}
        if len(set(shapes.values())) != 1:
            described = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise BadInputError(f"rows differ between parties: {described}; one model's rows are of one shape")
        generator_shapes(self._spec.generator, self._spec.latent, self._columns, self._image)
        discriminator_shapes(self._spec.discriminator, self._columns, self._image, 1)
        if objection := check_message_size(self._asked, self._columns, self._image):
            raise BadInputError(objection)

    def _schedule(self) -> None:
        counts = {
            name: {count.label: count.train_rows for count in one.classes if count.train_rows}
            for name, one in self._prepared.items()
        }
        self._groups = plan_groups(self._spec, self._names, counts)
        for name in self._names:
            missing = [label for group in self._groups for label in group.classes if label not in counts[name]]
            if missing:
                self._record.note("classes_missing", party=name, classes=sorted(missing))
        groups = [
            {"classes": list(group.classes), "steps": dict(zip(self._names, group.steps, strict=True))}
            for group in self._groups
        ]
        self._record.note("schedule", policy=self._spec.steps, groups=groups)

    def _noted_groups(self) -> tuple[Group, ...]:
        """The schedule the run was trained by."""
        noted = [event for event in self._record.events if event["event"] == "schedule"][-1]
        everybody = [party.name for party in self._plan.parties]
        return tuple(
            Group(tuple(group["classes"]), tuple(group["steps"][name] for name in everybody))
            for group in noted["groups"]
        )

    def _classes_of(self, party: str) -> list[int]:
        """Those the party has a generator of."""
        place = [one.name for one in self._plan.parties].index(party)
        return sorted(label for group in self._groups if group.steps[place] for label in group.classes)

    def _begin(self, barrier: int) -> None:
        if self._server is not None:
            image = self._image or ImageShape(0, 0)
            self._server.begin_shared(
                stack_control_pb2.BeginSharedRequest(
                    run=self._record.run,
                    generation=self._generation,
                    barrier=barrier,
                    columns=self._columns,
                    image_height=image.height,
                    image_width=image.width,
                    groups=[
                        stack_control_pb2.SharedGroup(models=len(group.classes), steps=group.steps)
                        for group in self._groups
                    ],
                )
            )
        self._begin_parties(barrier)
        self._record.move(RunState.READY)

    def _begin_parties(self, barrier: int) -> None:
        begin = coordination_pb2.Begin(
            barrier=barrier,
            encoded_columns=[self._columns] * len(self._plan.parties),
            groups=[coordination_pb2.GanGroup(classes=group.classes, steps=group.steps) for group in self._groups],
        )
        self._ask(lambda: coordination_pb2.PartyOrder(begin=begin), self._settings.epoch_seconds)

    # --- epochs ------------------------------------------------------------------------------------------------

    def _train_epoch(self, epoch: int) -> None:
        learns = self._spec.shared is not None and self._spec.shared.learns(epoch)
        if learns:
            self._require_server().open_shared_epoch(
                stack_control_pb2.OpenSharedEpochRequest(run=self._record.run, generation=self._generation, epoch=epoch)
            )
        order = coordination_pb2.TrainEpoch(epoch=epoch, batch_seed=batch_seed(self._spec.seed, epoch))
        reports = self._ask(
            lambda: coordination_pb2.PartyOrder(train_epoch=order), self._settings.epoch_seconds, self._note_progress
        )
        done = {name: report.epoch_done for name, report in reports.items()}
        losses = {name: self._losses(one.losses) for name, one in done.items()}
        phases = {name: seconds_by_phase(one.phases) for name, one in done.items()}
        if learns:
            server = self._require_server()
            described = server.describe_pass(self._record.run, self._generation)
            losses[server.name] = self._losses(described.losses)
            phases[server.name] = seconds_by_phase(described.phases)
        self._record.note(
            "epoch",
            epoch=epoch,
            loss=fmean(losses[self._leader]["generator"].values()),
            seconds=max(one.seconds for one in done.values()),
            rows=sum(one.rows for one in done.values()),
            bytes=dict(sorted(bytes_by_link(one.links for one in done.values()).items())),
            relayed_bytes=dict(sorted(bytes_by_link(one.relayed for one in done.values()).items())),
            rounds=max(one.rounds for one in done.values()),
            phases=phases,
            losses=losses,
        )
        every = self._spec.preview_every_epochs
        if every and epoch % every == 0 and epoch < self._plan.epochs:
            self._preview(epoch)

    @property
    def _leader(self) -> str:
        """Whose loss stands for the run's: the first party of the plan that trains anything."""
        return next(name for name in self._names if self._classes_of(name))

    def _losses(self, losses: Sequence[common_pb2.NetLoss]) -> dict[str, dict[str, float]]:
        """Net -> class -> mean loss."""
        found: dict[str, dict[str, float]] = {}
        for one in losses:
            if one.group >= len(self._groups) or one.model >= len(self._groups[one.group].classes):
                raise WireError(
                    f"a loss came of model {one.model} in group {one.group}, which the schedule does not have"
                )
            label = self._groups[one.group].classes[one.model]
            found.setdefault(one.net, {})[str(label)] = one.loss
        return found

    def _note_progress(self, party: str, progress: coordination_pb2.Progress) -> None:
        if party == self._leader:
            self._note_step(progress)

    # --- synthetic rows ----------------------------------------------------------------------------------------

    def _preview(self, epoch: int) -> None:
        wanted = {name: PREVIEW_ROWS for name in self._names if self._classes_of(name)}
        for name, rows in self._synthesise(wanted, self._spec.seed).items():
            file = self._keep(rows, f"epoch-{epoch:04d}-{name}.npz", name)
            classes = [int(label) for label in np.unique(rows.labels)]
            self._record.note("preview", epoch=epoch, party=name, file=file, rows=len(rows.labels), classes=classes)

    def _evaluate(self) -> None:
        learnt = {label for group in self._groups for label in group.classes}
        held = {
            name: [one.test_rows for one in prepared.classes if one.test_rows and one.label in learnt]
            for name, prepared in self._prepared.items()
        }
        judges = [name for name, counts in held.items() if len(counts) > 1 and sum(counts) >= FEWEST_SCORED]
        GanEvaluation(
            spec=self._spec.evaluation,
            seed=self._spec.evaluation_seed,
            classes={name: own for name in self._names if (own := self._classes_of(name))},
            judges=judges,
            synthesise=self._synthesise_to_judge,
            ask=lambda orders: self._ask_each(orders, self._settings.epoch_seconds),
            note=self._record.note,
        ).run()

    def _synthesise_to_judge(self, rows_per_class: Mapping[str, int]) -> dict[str, SyntheticRows]:
        """As `_synthesise`, of noise of each party's own: from the same, rows of all parties together would be pairs."""
        made: dict[str, SyntheticRows] = {}
        for name, count in rows_per_class.items():
            made |= self._synthesise({name: count}, party_noise_seed(self._spec.seed, self._names.index(name)))
        return made

    def _synthesise(
        self, rows_per_class: Mapping[str, int], seed: int, classes: Sequence[int] = ()
    ) -> dict[str, SyntheticRows]:
        """By party, rows of each of ``classes`` (none: of all it has), in as many messages as they need.

        Raises:
          BadInputError: more rows of a class than one message takes.
        """
        made = {}
        most = most_rows_of_a_message(self._columns)
        for name, count in rows_per_class.items():
            if count > most:
                raise BadInputError(f"{count} rows of a class are too many for one message; ask for {most} at most")
            wanted = list(classes) or self._classes_of(name)
            at_once = max(1, most // count)
            parts = [
                self._made(name, count, wanted[start : start + at_once], seed)
                for start in range(0, len(wanted), at_once)
            ]
            values, labels, columns = zip(*parts, strict=True)
            image = self._image or ImageShape(0, 0)
            made[name] = SyntheticRows(
                np.concatenate(values), np.concatenate(labels), (image.height, image.width), columns[0]
            )
        return made

    def _made(
        self, name: str, rows_per_class: int, classes: Sequence[int], seed: int
    ) -> tuple[Any, Any, tuple[str, ...]]:
        order = coordination_pb2.Synthesise(rows_per_class=rows_per_class, classes=classes, seed=seed)
        orders = {name: coordination_pb2.PartyOrder(synthesise=order)}
        rows = self._ask_each(orders, self._settings.epoch_seconds)[name].synthesised.rows
        return *decode_synthetic(rows), tuple(rows.column_names)

    def _keep(self, rows: SyntheticRows, file: str, party: str) -> str:
        """In the run directory; returns the file's name there."""
        label = next(one.label for one in self._plan.parties if one.name == party)
        path = Path(SAMPLES) / file
        write_synthetic_rows(rows, label, self._record.directory / path)
        return str(path)


def party_noise_seed(seed: int, place: int) -> int:
    """Of the latent noise whose rows of the plan's ``place``-th party are judged; below 2^63."""
    return int(np.random.default_rng([_NOISE, seed, place]).integers(0, 1 << 63))


def _shape(prepared: coordination_pb2.Prepared) -> str:
    image = f"images of {prepared.image_height} x {prepared.image_width}" if prepared.image_height else "no images"
    return f"{prepared.encoded_columns} columns, {image}"
