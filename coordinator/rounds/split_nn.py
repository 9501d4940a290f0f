"""Job kind `split_nn`: the rounds of a P2N2 run, and of a prediction with its model.

[1] a new generation; the neutral server prepares, then the parties (policy, peers, rows);
[2] the newest barrier that all hold is the start; first layer set up, triples dealt;
[3] per epoch: the pass is announced to the server, the parties train it among themselves and the server, then a
    barrier is held by every role and committed here;
[4] a forward pass on the test rows; the label holder scores.
"""

from collections import Counter
from collections.abc import Callable

import numpy as np

from coordinator.clients import StackClient
from coordinator.dealer import Dealer
from coordinator.forecast import forecast
from coordinator.roster import Roster
from coordinator.rounds.base import Rounds, bytes_by_link, seconds_by_phase
from coordinator.run_store import RunRecord
from coordinator.secret_section import check_step_sizes
from coordinator.settings import CoordinatorSettings
from coordinator.stack_secrets import StackSecrets
from kernel.batch_order import RowIndices, batch_seed, batch_sizes, epoch_order, split_rows
from kernel.defender_plan import defender_ring, defender_spec
from kernel.errors import BadInputError, RangeError, StepError
from kernel.plan_message import label_holder, plan_hash, protection_spec, ring_of, share_ring
from kernel.run_state import RunState
from kernel.secret.plan import first_width, gradient_shift, is_secret, secret_spec
from protos.v1 import common_pb2, coordination_pb2, plan_pb2, stack_control_pb2


class SplitNnRounds(Rounds):
    """One generation of one run."""

    def __init__(
        self,
        record: RunRecord,
        roster: Roster,
        stack: StackClient | None,
        dealer: Dealer,
        settings: CoordinatorSettings,
        secrets: StackSecrets | None,
    ) -> None:
        super().__init__(record, roster, stack, settings)
        self._dealer, self._secrets = dealer, secrets

    def predict(self, table: str, request: str) -> None:
        """Predictions on new rows of ``table``, left at the label holder."""
        self._guarded(lambda: self._predict(table, request))

    def _release(self) -> None:
        self._dealer.close()

    def _train(self) -> None:
        record, plan = self._record, self._plan
        held_by_server = self._prepare("", "")
        start = max(self._common_barriers(held_by_server), default=0)
        train_rows = next(iter(self._prepared.values())).train_rows
        test_rows = next(iter(self._prepared.values())).test_rows
        self._begin(start, batch_sizes(train_rows, plan.batch_rows))
        self._note_generation(start)
        record.note(
            "forecast",
            **forecast(plan, train_rows, [self._prepared[name].encoded_columns for name in self._names]).as_event(),
        )
        self._train_epochs(start, lambda epoch: self._train_epoch(epoch, train_rows))
        try:
            self._evaluate(plan.epochs, test_rows)
        except RangeError as error:
            self._end_unscored(error)
        else:
            self._end()

    def _predict(self, table: str, request: str) -> None:
        held_by_server = self._prepare(table, request)
        common = self._common_barriers(held_by_server)
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

    def _prepare(self, table: str, request: str) -> list[int] | None:
        plan = self._plan
        self._wait_for_parties()
        held = self._prepare_server()
        prepare = coordination_pb2.Prepare(plan=plan, predict_table=table, request=request)
        self._prepare_parties(prepare)
        if not table:
            for name in self._prepared:
                self._note_prepared(name)
        counts = {name: (one.rows, one.train_rows, one.test_rows) for name, one in self._prepared.items()}
        if len(set(counts.values())) != 1:
            raise BadInputError(
                f"row counts differ: {', '.join(f'{name} {one[0]}' for name, one in counts.items())}; align the tables first"
            )
        return held

    def _begin(self, barrier: int, training_sizes: list[int]) -> None:
        widths = [self._prepared[name].encoded_columns for name in self._names]
        layers = secret_spec(self._plan, sum(widths)) if is_secret(self._plan) else None
        if layers is not None:
            check_step_sizes(layers, self._plan.batch_rows)
        if self._plan.protocol == plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER:
            self._dealer.open(
                self._record.run,
                self._generation,
                self._names,
                rows=self._prepared[self._names[0]].rows,
                columns=sum(widths),
                width=first_width(self._plan),
                batch_rows=self._plan.batch_rows,
                ring=ring_of(self._plan.ring),
                row_order=self._row_order(self._prepared[self._names[0]].rows),
                layers=layers,
            )
        self._begin_server(barrier, sorted(set(training_sizes)))  # forward-only passes need no compilation ahead
        begin = coordination_pb2.Begin(barrier=barrier, encoded_columns=widths)
        self._ask(lambda: coordination_pb2.PartyOrder(begin=begin), self._settings.epoch_seconds)
        if self._record.state is not RunState.DONE:
            self._record.move(RunState.READY)

    def _prepare_server(self) -> list[int] | None:
        """The neutral server's part of the plan; the barriers it holds. None where it takes no part."""
        record, plan, secrets = self._record, self._plan, self._secrets
        if secrets is None:
            raise StepError("what the neutral server must not know has no key")
        network = plan_pb2.NetworkPlan()
        network.CopyFrom(plan.network)
        network.seed = secrets.stack_seed(plan.network.seed)
        ring = share_ring(plan)
        return self._require_server().prepare(
            stack_control_pb2.PrepareStackRequest(
                run=record.run,
                generation=self._generation,
                plan_hash=secrets.barrier_plan(plan_hash(plan)),
                network=network,
                ring=plan_pb2.RingPlan(ring_bits=ring.ring_bits, fractional_bits=ring.fractional_bits),
                scale_bits=ring.fractional_bits,
                parties=self._names,
                label_holder=label_holder(plan),
                cut_dtype=plan.cut_dtype,
                micro_batches=plan.micro_batches,
                gradient_sharing=_gradient_sharing(plan),
                defender=_stack_defender(plan),
            )
        )

    def _begin_server(self, barrier: int, batch_sizes: list[int]) -> None:
        self._require_server().begin(
            stack_control_pb2.BeginStackRequest(
                run=self._record.run,
                generation=self._generation,
                barrier=barrier,
                batch_sizes=batch_sizes,
            )
        )

    def _server_phases(self) -> dict[str, dict[str, float]]:
        """Where its time went, under its name."""
        server = self._require_server()
        described = server.describe_pass(self._record.run, self._generation)
        return {server.name: seconds_by_phase(described.phases)}

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
        self._record.note(
            "epoch",
            epoch=epoch,
            **({"loss": holder.loss} if holder.has_loss else {}),
            seconds=max(one.seconds for one in done.values()),
            rows=rows,
            bytes=dict(sorted(bytes_by_link(one.links for one in done.values()).items())),
            relayed_bytes=dict(sorted(bytes_by_link(one.relayed for one in done.values()).items())),
            rounds=holder.rounds,
            phases={
                **{name: seconds_by_phase(one.phases) for name, one in done.items()},
                **self._server_phases(),
            },
        )

    def _note_progress(self, party: str, progress: coordination_pb2.Progress) -> None:
        if party == label_holder(self._plan):  # only it knows a loss
            self._note_step(progress, with_loss=self._server is not None)

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

    def _end_unscored(self, error: RangeError) -> None:
        """A test row beyond an interval costs the scores, not the network: all epochs are trained and held by then.

        The parties have given the generation up, so that only what its epochs sent is counted.
        """
        self._record.note("unscored", sentence=str(error))
        self._close_server(str(error))
        epochs = [one for one in self._record.events if one["event"] == "epoch"]
        links, relayed = (
            dict(sorted(sum((Counter(one[kind]) for one in epochs), Counter[str]()).items()))
            for kind in ("bytes", "relayed_bytes")
        )
        self._record.note(
            "traffic", generation=self._generation, bytes=links, relayed_bytes=relayed, versions=self._roster.versions()
        )
        self._record.move(RunState.DONE)

    def _open_pass(self, epoch: int, purpose: common_pb2.Purpose, rows: int, *, frozen: bool = False) -> None:
        self._require_server().open_pass(
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


def _gradient_sharing(plan: plan_pb2.RunPlan) -> stack_control_pb2.GradientSharing | None:
    if plan.gradient != plan_pb2.GRADIENT_FORM_SHARED:
        return None
    return stack_control_pb2.GradientSharing(ring=plan.ring, shift=gradient_shift(plan.batch_rows))


def _stack_defender(plan: plan_pb2.RunPlan) -> stack_control_pb2.StackDefender | None:
    spec = defender_spec(plan)
    if spec is None:
        return None
    ring = defender_ring(spec.objective, len(plan.parties))
    return stack_control_pb2.StackDefender(
        weight=spec.weight,
        ring=plan_pb2.RingPlan(ring_bits=ring.ring_bits, fractional_bits=ring.fractional_bits),
    )
