"""Job kind `split_nn`: the rounds of a P2N2 run, and of a prediction with its model.

[1] a new generation; the neutral server prepares, then the parties (policy, peers, rows);
[2] the newest barrier that all hold is the start; first layer set up, triples dealt;
[3] per epoch: the pass is announced to the server, the parties train it among themselves and the server, then a
    barrier is held by every role and committed here;
[4] a forward pass on the test rows; the label holder scores.
"""

import threading
from collections import Counter
from collections.abc import Callable

import numpy as np
import structlog

from coordinator.clients import StackClient
from coordinator.dealer import Dealer
from coordinator.forecast import forecast
from coordinator.metrics_file import write_metrics
from coordinator.roster import Reports, Roster
from coordinator.run_store import RunRecord
from coordinator.settings import CoordinatorSettings
from coordinator.stack_secrets import StackSecrets
from kernel.batch_order import RowIndices, batch_seed, batch_sizes, epoch_order, split_rows
from kernel.defender_plan import defender_ring, defender_spec
from kernel.errors import BadInputError, PeerError, StepError, TertiumError
from kernel.plan_message import label_holder, plan_hash, protection_spec, ring_of, share_ring
from kernel.run_state import RunState
from protos.v1 import common_pb2, coordination_pb2, plan_pb2, stack_control_pb2

_log = structlog.get_logger()


class SplitNnRounds:
    """One generation of one run."""

    def __init__(
        self,
        record: RunRecord,
        roster: Roster,
        stack: StackClient,
        dealer: Dealer,
        settings: CoordinatorSettings,
        secrets: StackSecrets,
    ) -> None:
        self._record, self._roster, self._stack, self._dealer, self._settings = (
            record,
            roster,
            stack,
            dealer,
            settings,
        )
        self._secrets = secrets
        self._cancelled = threading.Event()
        self._plan = record.plan.message()
        self._names = [party.name for party in self._plan.parties]
        self._generation = record.next_generation()
        self._prepared: dict[str, coordination_pb2.Prepared] = {}

    def train(self) -> None:
        """The whole run, from the newest common barrier to the report's numbers.

        Raises:
          TertiumError: a role failed; the run is paused and its barriers stand.
        """
        self._guarded(self._train)

    def predict(self, table: str, request: str) -> None:
        """Predictions on new rows of ``table``, left at the label holder."""
        self._guarded(lambda: self._predict(table, request))

    def cancel(self) -> None:
        self._cancelled.set()
        self._roster.abort(self._names, "the operator cancelled the run")

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            sentence = str(error) if isinstance(error, TertiumError) else "the coordinator failed; its log says more"
            self._roster.abort(self._names, f"the run is paused: {sentence}")
            self._close_stack(sentence)
            raise
        finally:
            self._dealer.close()

    def _train(self) -> None:
        record, plan = self._record, self._plan
        held_by_server = self._prepare("", "")
        common = set(held_by_server).intersection(*(one.barriers for one in self._prepared.values()))
        start = max(common, default=0)
        train_rows = next(iter(self._prepared.values())).train_rows
        test_rows = next(iter(self._prepared.values())).test_rows
        self._begin(start, batch_sizes(train_rows, plan.batch_rows))
        record.note("generation" if self._generation == 1 else "resumed", generation=self._generation, barrier=start)
        record.note(
            "forecast",
            **forecast(plan, train_rows, [self._prepared[name].encoded_columns for name in self._names]).as_event(),
        )
        if start == 0:
            self._hold_barrier(0)
        record.move(RunState.TRAINING)
        for epoch in range(start + 1, plan.epochs + 1):
            self._train_epoch(epoch, train_rows)
            if epoch % plan.barrier_every_epochs == 0 or epoch == plan.epochs:
                self._hold_barrier(epoch)
        self._evaluate(plan.epochs, test_rows)
        self._finish()
        record.move(RunState.DONE)
        write_metrics(record)

    def _predict(self, table: str, request: str) -> None:
        held_by_server = self._prepare(table, request)
        common = set(held_by_server).intersection(*(one.barriers for one in self._prepared.values()))
        if not common or max(common) < self._plan.epochs:
            raise BadInputError(f"run {self._record.run!r} is not trained to its end; resume it before predicting")
        rows = next(iter(self._prepared.values())).rows
        self._begin(max(common), [])
        self._open_pass(0, common_pb2.PURPOSE_PREDICT, rows)
        reports = self._ask(
            lambda: coordination_pb2.PartyOrder(predict=coordination_pb2.Predict()),
            self._settings.epoch_seconds,
        )
        holder = label_holder(self._plan)
        self._finish()
        self._record.note("predicted", rows=rows, party=holder, table=table, file=reports[holder].predicted.file)

    def _prepare(self, table: str, request: str) -> list[int]:
        record, plan = self._record, self._plan
        self._roster.wait_for(self._names, self._settings.wait_seconds)
        for name in self._names:
            record.note("joined", party=name)
        network = plan_pb2.NetworkPlan()
        network.CopyFrom(plan.network)
        network.seed = self._secrets.stack_seed(plan.network.seed)
        ring = share_ring(plan)
        held = self._stack.prepare(
            stack_control_pb2.PrepareStackRequest(
                run=record.run,
                generation=self._generation,
                plan_hash=self._secrets.barrier_plan(plan_hash(plan)),
                network=network,
                ring=plan_pb2.RingPlan(ring_bits=ring.ring_bits, fractional_bits=ring.fractional_bits),
                scale_bits=ring.fractional_bits,
                parties=self._names,
                label_holder=label_holder(plan),
                cut_dtype=plan.cut_dtype,
                micro_batches=plan.micro_batches,
                defender=_stack_defender(plan),
            )
        )
        prepare = coordination_pb2.Prepare(plan=plan, predict_table=table, request=request)
        reports = self._ask(lambda: coordination_pb2.PartyOrder(prepare=prepare), 4 * self._settings.wait_seconds)
        self._prepared = {name: report.prepared for name, report in reports.items()}
        for name, one in self._prepared.items():
            if one.plan_hash != plan_hash(plan):
                raise PeerError(f"{name!r} computes another plan hash; run one version everywhere")
            if not table:
                record.note(
                    "prepared",
                    party=name,
                    rows=one.rows,
                    train_rows=one.train_rows,
                    test_rows=one.test_rows,
                    columns=one.encoded_columns,
                )
        counts = {name: (one.rows, one.train_rows, one.test_rows) for name, one in self._prepared.items()}
        if len(set(counts.values())) != 1:
            raise BadInputError(
                f"row counts differ: {', '.join(f'{name} {one[0]}' for name, one in counts.items())}; align the tables first"
            )
        return held

    def _begin(self, barrier: int, training_sizes: list[int]) -> None:
        widths = [self._prepared[name].encoded_columns for name in self._names]
        if self._plan.protocol == plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER:
            self._dealer.open(
                self._record.run,
                self._generation,
                self._names,
                rows=self._prepared[self._names[0]].rows,
                columns=sum(widths),
                width=self._plan.network.widths[0],
                batch_rows=self._plan.batch_rows,
                ring=ring_of(self._plan.ring),
                row_order=self._row_order(self._prepared[self._names[0]].rows),
            )
        self._stack.begin(
            stack_control_pb2.BeginStackRequest(
                run=self._record.run,
                generation=self._generation,
                barrier=barrier,
                batch_sizes=sorted(set(training_sizes)),  # forward-only passes need no compilation ahead
            )
        )
        begin = coordination_pb2.Begin(barrier=barrier, encoded_columns=widths)
        self._ask(lambda: coordination_pb2.PartyOrder(begin=begin), self._settings.epoch_seconds)
        if self._record.state is not RunState.DONE:
            self._record.move(RunState.READY)

    def _row_order(self, rows: int) -> Callable[[common_pb2.Purpose, int], RowIndices]:
        def order(purpose: common_pb2.Purpose, epoch: int) -> RowIndices:
            if purpose == common_pb2.PURPOSE_PREDICT:
                return np.arange(rows, dtype=np.int64)
            split = split_rows(rows, self._plan.test_fraction, self._plan.network.seed)
            if purpose == common_pb2.PURPOSE_TRAIN:
                return epoch_order(split.train, batch_seed(self._plan.network.seed, epoch))
            if purpose == common_pb2.PURPOSE_EVALUATE:
                return split.test
            raise StepError(f"no pass has purpose {purpose}")

        return order

    def _train_epoch(self, epoch: int, rows: int) -> None:
        self._open_pass(
            epoch, common_pb2.PURPOSE_TRAIN, rows, frozen=not protection_spec(self._plan).trains_first_layer(epoch)
        )
        order = coordination_pb2.TrainEpoch(epoch=epoch, batch_seed=batch_seed(self._plan.network.seed, epoch))
        reports = self._ask(
            lambda: coordination_pb2.PartyOrder(train_epoch=order),
            self._settings.epoch_seconds,
            self._note_progress,
        )
        done = {name: report.epoch_done for name, report in reports.items()}
        holder = done[label_holder(self._plan)]
        links: Counter[str] = Counter()
        relayed: Counter[str] = Counter()
        for one in done.values():
            links.update({usage.link: usage.bytes for usage in one.links})
            relayed.update({usage.link: usage.bytes for usage in one.relayed})
        self._record.note(
            "epoch",
            epoch=epoch,
            loss=holder.loss,
            seconds=max(one.seconds for one in done.values()),
            rows=rows,
            bytes=dict(sorted(links.items())),
            relayed_bytes=dict(sorted(relayed.items())),
            rounds=holder.rounds,
            phases={
                **{name: {phase.phase: phase.seconds for phase in one.phases} for name, one in done.items()},
                self._stack.name: self._stack.describe_pass(self._record.run, self._generation),
            },
        )

    def _note_progress(self, party: str, progress: coordination_pb2.Progress) -> None:
        if party != label_holder(self._plan) or not 0 < progress.step <= progress.steps:
            return  # only the label holder knows a loss
        self._record.note(
            "progress",
            epoch=progress.epoch,
            step=progress.step,
            steps=progress.steps,
            loss=progress.loss,
            rows=progress.rows,
        )

    def _evaluate(self, epoch: int, rows: int) -> None:
        self._open_pass(epoch, common_pb2.PURPOSE_EVALUATE, rows)
        evaluate = coordination_pb2.Evaluate(epoch=epoch)
        reports = self._ask(lambda: coordination_pb2.PartyOrder(evaluate=evaluate), self._settings.epoch_seconds)
        found = reports[label_holder(self._plan)].evaluated
        scores = {
            one.name: {"value": one.value, "low": one.low, "high": one.high, "n": one.rows} for one in found.scores
        }
        curve = {
            "false_positive_rate": list(found.false_positive_rate),
            "true_positive_rate": list(found.true_positive_rate),
        }
        self._record.note(
            "evaluated", epoch=epoch, scores=scores, **({"roc": curve} if found.false_positive_rate else {})
        )

    def _hold_barrier(self, barrier: int) -> None:
        """Every role persists; the barrier counts when it is committed here."""
        hold = coordination_pb2.HoldBarrier(barrier=barrier)
        self._ask(lambda: coordination_pb2.PartyOrder(hold_barrier=hold), self._settings.wait_seconds)
        self._stack.hold(
            stack_control_pb2.HoldStackBarrierRequest(
                run=self._record.run, generation=self._generation, barrier=barrier
            )
        )
        self._record.note("barrier", barrier=barrier)

    def _finish(self) -> None:
        reports = self._ask(
            lambda: coordination_pb2.PartyOrder(finish=coordination_pb2.Finish()), self._settings.wait_seconds
        )
        self._close_stack("")
        links: Counter[str] = Counter({usage.link: usage.bytes for usage in self._stack.meter.take()})
        relayed: Counter[str] = Counter()
        for report in reports.values():
            links.update({usage.link: usage.bytes for usage in report.finished.links})
            relayed.update({usage.link: usage.bytes for usage in report.finished.relayed})
        self._record.note(
            "traffic",
            generation=self._generation,
            bytes=dict(sorted(links.items())),
            relayed_bytes=dict(sorted(relayed.items())),
            versions=self._roster.versions(),
        )

    def _close_stack(self, sentence: str) -> None:
        try:
            self._stack.close_run(self._record.run, self._generation, sentence)
        except TertiumError as error:
            _log.warning("the neutral server did not close the run", sentence=str(error))

    def _open_pass(self, epoch: int, purpose: common_pb2.Purpose, rows: int, *, frozen: bool = False) -> None:
        self._stack.open_pass(
            stack_control_pb2.OpenPassRequest(
                run=self._record.run,
                generation=self._generation,
                epoch=epoch,
                purpose=purpose,
                rows=rows,
                batch_rows=self._plan.batch_rows,
                frozen=frozen,
            )
        )

    def _ask(
        self,
        order: Callable[[], coordination_pb2.PartyOrder],
        timeout_seconds: float,
        progress: Callable[[str, coordination_pb2.Progress], None] | None = None,
    ) -> Reports:
        if self._cancelled.is_set():
            raise PeerError("the operator cancelled the run")
        orders = {}
        for name in self._names:
            orders[name] = order()
            orders[name].run, orders[name].generation = self._record.run, self._generation
        return self._roster.ask(orders, timeout_seconds, progress)


def _stack_defender(plan: plan_pb2.RunPlan) -> stack_control_pb2.StackDefender | None:
    spec = defender_spec(plan)
    if spec is None:
        return None
    ring = defender_ring(spec.objective, len(plan.parties))
    return stack_control_pb2.StackDefender(
        weight=spec.weight,
        ring=plan_pb2.RingPlan(ring_bits=ring.ring_bits, fractional_bits=ring.fractional_bits),
    )
