"""One generation of one run of job privgan or gan at a party: obeys the coordinator's orders, within the party's own policy."""

import hashlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from kernel.errors import StepError, WireError
from kernel.gan.nets import discriminator_shapes, parameters
from kernel.gan.schedule import Group
from kernel.gan.spec import GanSpec, ImageShape, gan_spec
from kernel.phases import PhaseClock
from kernel.run_state import RunState, advance
from party.defender import check_tensorflow, import_tensorflow
from party.gan.evaluation_limits import EvaluationLimits
from party.gan.exchange import Exchange, FakesExchange, SharedStream, UpdatesExchange, join_gan
from party.gan.local_gan import LocalGan, initial_gan
from party.gan.rows import GanRows, load_gan_rows
from party.gan.shared_copy import SharedCopy
from party.gan.synthetic_rows import make_rows
from party.gan.trainer import GanTrainer
from party.run_rows import compare_groups, compare_plans
from party.run_session import RunSession
from protos.v1 import common_pb2, coordination_pb2

_log = structlog.get_logger()
_ROWS = "rows"


class GanSession(RunSession):
    """What it shares with other jobs' sessions is in party/run_session.py."""

    _spec: GanSpec
    _rows: GanRows
    _trainer: GanTrainer | None = None
    _last_epoch = 0
    _only_samples = False
    """This generation makes synthetic rows with the nets of a barrier: no row is read, and no other role takes part."""

    # --- orders, in the order of a run -------------------------------------------------------------------------

    def prepare(self, order: coordination_pb2.Prepare) -> coordination_pb2.Prepared:
        """Policy first, then peers, then rows; with a ``request`` policy only, and the nets that are held."""
        self._accept(order.plan)
        if order.predict_table:
            raise WireError("a run of GANs predicts nothing; sample it (tertium sample)")
        self._spec = gan_spec(self._plan)
        check_tensorflow(self._settings.name, "a GAN for every class", "gan")
        self._open_generation()
        if order.request:
            return self._prepare_sampling()
        if self._spec.shared is not None:
            compare_plans(self._meet_peers(), self._membership)
        self._rows = load_gan_rows(
            self._part,
            self._settings.tables,
            self._settings.data_directory,
            self._spec.classes,
            self._plan.test_fraction,
            self._spec.seed,
        )
        self._own_classes = {label for label, train in self._rows.train.items() if len(train)}
        counts = [
            coordination_pb2.ClassCount(label=label, train_rows=len(train), test_rows=len(self._rows.holdout[label]))
            for label, train in self._rows.train.items()
        ]
        train_rows, test_rows = sum(one.train_rows for one in counts), sum(one.test_rows for one in counts)
        image = self._rows.image
        return coordination_pb2.Prepared(
            rows=train_rows + test_rows,
            train_rows=train_rows,
            test_rows=test_rows,
            encoded_columns=len(self._rows.columns),
            plan_hash=self._membership.plan_hash,
            barriers=self._store.held(),
            classes=counts,
            image_height=0 if image is None else image.height,
            image_width=0 if image is None else image.width,
        )

    def begin(self, order: coordination_pb2.Begin) -> coordination_pb2.Begun:
        """Nets of a barrier, or new ones; then the stream to the neutral server."""
        if self._trainer is not None:
            raise StepError(
                f"generation {self.generation} of run {self.run!r} has begun; a new one begins with prepare"
            )
        self._groups = self._check_groups(order)
        if self._spec.shared is not None and not self._only_samples:
            compare_groups(groups_hash(order), self._require_links(), self._membership)
        self._limits = EvaluationLimits(self._spec, len(self._membership.names), self._settings.name)
        import_tensorflow(self._settings.tensorflow_threads)
        parts = self._load_barrier(order.barrier)
        own = {number: group for number, group in enumerate(self._groups) if group.steps[self._membership.place]}
        self._nets = {number: self._make_nets(group, parts) for number, group in own.items()}
        phases = PhaseClock()
        alone = self._spec.shared is None or self._only_samples
        exchange = None if alone else self._join(own, phases)
        self._trainer = GanTrainer(
            self._settings.name,
            self._membership.place,
            self._spec,
            self._groups,
            self._nets,
            self._rows.train,
            exchange,
            phases,
        )
        self.state = advance(self.state, RunState.READY)
        self._end_account()
        return coordination_pb2.Begun()

    def train_epoch(self, order: coordination_pb2.TrainEpoch) -> coordination_pb2.EpochDone:
        """Epochs come once each and in order: masks of updates derive from their numbers."""
        trainer = self._require_trainer()
        self._require_rows("trains nothing")
        if order.epoch <= self._last_epoch:
            raise StepError(f"epoch {order.epoch} was ordered after epoch {self._last_epoch}; epochs go upwards")
        self._last_epoch = order.epoch
        self.state = advance(self.state, RunState.TRAINING)
        rounds, started = self._rounds(), time.perf_counter()
        rows = trainer.train(order.epoch, order.batch_seed, self._progress(order.epoch))
        seconds = time.perf_counter() - started
        self.state = advance(self.state, RunState.READY)
        links, relayed = self._take_usage()
        _log.info("epoch", run=self.run, epoch=order.epoch, seconds=round(seconds, 4), rows=rows)
        return coordination_pb2.EpochDone(
            epoch=order.epoch,
            loss=trainer.losses.mean("generator"),
            has_loss=rows > 0,
            seconds=seconds,
            rows=rows,
            rounds=self._rounds() - rounds,
            links=links,
            relayed=relayed,
            phases=[
                common_pb2.PhaseSeconds(phase=phase, seconds=spent) for phase, spent in trainer.phases.take().items()
            ],
            losses=trainer.losses.messages(),
        )

    def hold_barrier(self, order: coordination_pb2.HoldBarrier) -> coordination_pb2.BarrierHeld:
        """A part for each class, whatever group it is trained in, and what its rows are."""
        self._require_trainer()
        image = self._rows.image
        parts: dict[str, dict[str, NDArray[Any]]] = {
            _ROWS: {
                "columns": np.array(self._rows.columns, np.str_),
                "image": np.array((0, 0) if image is None else (image.height, image.width), np.int64),
                "classes": np.array(sorted(label for number in self._nets for label in self._groups[number].classes)),
            }
        }
        for number, nets in self._nets.items():
            state = nets.state()
            for model, label in enumerate(self._groups[number].classes):
                parts[_class_part(label)] = {name: array[model : model + 1] for name, array in state.items()}
        held = self._store.hold(order.barrier, parts)
        self._end_account()
        return coordination_pb2.BarrierHeld(barrier=order.barrier, manifest_hash=held)

    def synthesise(self, order: coordination_pb2.Synthesise) -> coordination_pb2.Synthesised:
        """What this party's policy allows with ``synthetic_rows``."""
        self._require_trainer()
        rows = make_rows(order, self._spec, self._groups, self._nets, self._rows.columns, self._settings.name)
        _log.info("synthesised", run=self.run, rows=rows.rows)
        return coordination_pb2.Synthesised(rows=rows)

    def try_classifier(self, order: coordination_pb2.TryClassifier) -> coordination_pb2.ClassifierTried:
        """Within the plan's evaluation, else PolicyError."""
        from party.gan.evaluation import try_classifier

        self._require_trainer()
        self._require_rows("scores nothing")
        classes = sorted(label for group in self._groups for label in group.classes)
        self._limits.admit_classifier(order, sum(len(self._rows.holdout.get(label, ())) for label in classes))
        return coordination_pb2.ClassifierTried(
            accuracy=try_classifier(order, self._rows, classes, self._settings.tensorflow_threads)
        )

    def attack_discriminators(
        self, order: coordination_pb2.AttackDiscriminators
    ) -> coordination_pb2.DiscriminatorsAttacked:
        """Within the plan's evaluation, else PolicyError."""
        from party.gan.evaluation import attack_discriminators

        self._require_trainer()
        self._require_rows("attacks nothing")
        self._limits.admit_attack(order)
        return attack_discriminators(order, self._rows, self._groups, self._nets)

    def answers(
        self, order: coordination_pb2.PartyOrder, report: coordination_pb2.PartyReport
    ) -> dict[str, Callable[[], None]]:
        return {
            "begin": lambda: report.begun.CopyFrom(self.begin(order.begin)),
            "train_epoch": lambda: report.epoch_done.CopyFrom(self.train_epoch(order.train_epoch)),
            "hold_barrier": lambda: report.barrier_held.CopyFrom(self.hold_barrier(order.hold_barrier)),
            "synthesise": lambda: report.synthesised.CopyFrom(self.synthesise(order.synthesise)),
            "try_classifier": lambda: report.classifier_tried.CopyFrom(self.try_classifier(order.try_classifier)),
            "attack_discriminators": lambda: report.discriminators_attacked.CopyFrom(
                self.attack_discriminators(order.attack_discriminators)
            ),
            "finish": lambda: report.finished.CopyFrom(self.finish()),
        }

    # --- steps of the above ------------------------------------------------------------------------------------

    def _prepare_sampling(self) -> coordination_pb2.Prepared:
        held = self._store.held()
        if not held:
            raise StepError(
                f"{self._settings.name!r} holds no generators of run {self.run!r} under this plan; train it first"
            )
        rows = self._store.load(held[-1])[_ROWS]
        self._only_samples, self._own_classes = True, set(rows["classes"].tolist())
        columns, (height, width) = tuple(rows["columns"].tolist()), rows["image"].tolist()
        self._rows = GanRows(columns, ImageShape(height, width) if height else None, {}, {})
        return coordination_pb2.Prepared(
            encoded_columns=len(columns),
            plan_hash=self._membership.plan_hash,
            barriers=held,
            image_height=height,
            image_width=width,
        )

    def _check_groups(self, order: coordination_pb2.Begin) -> list[Group]:
        """The coordinator's groups, held to the plan and to this party's rows.

        Raises:
          WireError: a class twice or unknown, another number of parties, or steps for classes this party has no rows of.
        """
        columns, own, parties = len(self._rows.columns), self._membership.place, len(self._membership.names)
        if len(order.encoded_columns) != parties or order.encoded_columns[own] != columns:
            raise WireError(f"the coordinator counts {list(order.encoded_columns)} columns; here there are {columns}")
        if self._spec.shared is not None and set(order.encoded_columns) != {columns}:
            raise WireError(
                f"rows of parties have {list(order.encoded_columns)} columns; one shared discriminator takes one width"
            )
        groups = [Group(tuple(one.classes), tuple(one.steps)) for one in order.groups]
        classes = [label for group in groups for label in group.classes]
        if len(set(classes)) != len(classes) or (self._spec.classes and set(classes) != set(self._spec.classes)):
            raise WireError(
                f"the coordinator's groups hold classes {classes}; the plan says {list(self._spec.classes)}, each once"
            )
        for group in groups:
            held = [label for label in group.classes if label in self._own_classes]
            fits = len(group.steps) == parties and len(held) == (len(group.classes) if group.steps[own] else 0)
            if not fits or not group.classes:
                raise WireError(
                    f"the coordinator says {list(group.steps)} steps for classes {list(group.classes)} and {parties} parties; this one "
                    f"has rows of classes {held} of them, and takes steps with just those"
                )
        return groups

    def _make_nets(self, group: Group, parts: dict[str, dict[str, NDArray[Any]]] | None) -> LocalGan:
        columns, image = len(self._rows.columns), self._rows.image
        start = initial_gan(self._spec, columns, image, group.classes, self._initialisation_key(), self._settings.name)
        nets = LocalGan(self._spec, columns, image, start)
        if parts is not None:
            held = [parts[_class_part(label)] for label in group.classes]
            nets.load({name: np.concatenate([one[name] for one in held]) for name in held[0]})
        return nets

    def _join(self, own: dict[int, Group], phases: PhaseClock) -> Exchange:
        shared = self._spec.shared
        if shared is None:
            raise StepError("the plan shares nothing; there is no stream to join")
        membership, wait = self._membership, self._settings.wait_seconds
        joined = self._stream = join_gan(self._stubs["gan_training"], membership, wait)
        self._check_interrupted()
        stream = SharedStream(joined, membership, wait, phases)
        if shared.mode == "fakes":
            return FakesExchange(stream)
        columns, image, parties = len(self._rows.columns), self._rows.image, len(membership.names)
        updates = UpdatesExchange(
            membership,
            shared,
            self._groups,
            {
                number: SharedCopy(self._spec, columns, image, len(group.classes), parties)
                for number, group in own.items()
            },
            parameters(discriminator_shapes(shared.net, columns, image, parties)),
            stream,
            {peer: link.pairwise for peer, link in self._require_links().links.items()},
            lambda group, step, losses: self._require_trainer().losses.add("origin", group, step, losses),
        )
        updates.begin()
        return updates

    def _progress(self, epoch: int) -> Callable[[int, int, float, int], None]:
        def report(step: int, steps: int, loss: float, rows: int) -> None:
            self._send_progress(coordination_pb2.Progress(epoch=epoch, step=step, steps=steps, loss=loss, rows=rows))

        return report

    def _require_trainer(self) -> GanTrainer:
        if self._trainer is None:
            raise StepError(f"run {self.run!r} has not begun at {self._settings.name!r}; order begin first")
        return self._trainer

    def _require_rows(self, without: str) -> None:
        if self._only_samples:
            raise StepError(
                f"generation {self.generation} of run {self.run!r} makes synthetic rows and {without}: no real row was read; "
                "that takes a generation that trains"
            )


def groups_hash(order: coordination_pb2.Begin) -> bytes:
    """SHA-256 of the groups, in their order, and of nothing else in the order."""
    groups = coordination_pb2.Begin(groups=order.groups)
    return hashlib.sha256(groups.SerializeToString(deterministic=True)).digest()


def _class_part(label: int) -> str:
    return f"class-{label}"
