"""One generation of one split-training run at a party: obeys the coordinator's orders, within the party's own policy."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from kernel.batch_order import RowIndices, Split, batch_sizes, epoch_order, micro_batches, split_rows
from kernel.defender_plan import DefenderSpec, defender_spec
from kernel.errors import SettingsError, StepError, WireError
from kernel.gaussian_noise import GaussianNoise
from kernel.initialisation import glorot_rows
from kernel.plan_message import safe_run_name
from kernel.randomness import SecureRandomness
from kernel.run_state import RunState, advance
from kernel.secret.plan import first_width, is_secret, without_server
from party.defender import Defender, check_tensorflow, import_tensorflow, initial_defender
from party.defender_share import DefenderShares
from party.first_layer.assembly import make_first_layer, norm_bounds
from party.first_layer.protocol import FirstLayer, FirstLayerBlock
from party.first_layer.row_noise import RowNoise
from party.label_head import LabelHead
from party.label_protection import Protection, label_protection
from party.policy import check_columns
from party.predictions import write_predictions
from party.release import evaluate_outputs
from party.rows.encoding import RowEncoder
from party.rows.labels import LabelEncoder
from party.run_rows import RunRows, all_rows, compare_order, open_rows
from party.run_session import RunSession
from party.secret_stack.network import SecretNetwork
from party.secret_stack.stack import SecretStack
from party.secret_stack.start import check_batches
from party.training import LabelSide, Trainer, join_training
from protos.v1 import common_pb2, coordination_pb2, plan_pb2

_log = structlog.get_logger()
_FIRST_LAYER, _LABEL_HEAD, _ROWS, _LABELS = "first_layer", "label_head", "row_encoder", "label_encoder"
_DEFENDER, _NOISE, _SECRET = "defender", "z1_noise", "secret_stack"


class PartySession(RunSession):
    """A run of job split_nn; what it shares with other jobs' sessions is in run_session.py."""

    _first_layer: FirstLayer | None = None
    _defender: Defender | None = None
    _noise: RowNoise | None = None
    _opened: RunRows | None = None
    _trainer: Trainer | SecretNetwork

    # --- orders, in the order of a run -------------------------------------------------------------------------

    def prepare(self, order: coordination_pb2.Prepare) -> coordination_pb2.Prepared:
        """Policy first, then peers, then rows."""
        tables = self._accept(order.plan)
        self._predict_table, self._request = order.predict_table, order.request
        self._network, self._holds_label = self._membership.network, self._membership.holds_label
        self._defender_spec = None if self._predict_table else defender_spec(self._plan)
        if self._defender_spec is not None:
            check_tensorflow(self._settings.name, "a defender", "defender")
        self._open_generation()
        self._meet_peers()
        if self._predict_table:
            offers = self._settings.policy.columns
            check_columns(self._settings.name, self._predict_table, list(self._part.columns), offers, tables)
            return self._prepare_prediction()
        self._rows = self._load(self._part.table, self._part.label)
        self._split: Split = split_rows(self._rows.rows, self._plan.test_fraction, self._plan.network.seed)
        self._encoder = self._rows.fit(self._split.train, self._settings.tables[self._part.table].clip_deviations)
        if self._holds_label:
            self._label_encoder = self._rows.fit_labels(self._network.loss, self._network.outputs, self._split.train)
        return self._prepared(len(self._split.train), len(self._split.test))

    def begin(self, order: coordination_pb2.Begin) -> coordination_pb2.Begun:
        """Weights of a barrier, or new ones; then the protocol's set-up and the stream to the neutral server."""
        if list(order.encoded_columns)[self._membership.place] != self._encoder.width:
            raise WireError(
                f"the coordinator counts {list(order.encoded_columns)} encoded columns; here there are {self._encoder.width}"
            )
        bounds = norm_bounds(self._membership, self._encoder.width)
        self._block = FirstLayerBlock(
            self._rows.encode(self._encoder, bounds),
            self._initial_weights(sum(order.encoded_columns)),
            self._network.optimizer,
            bounds,
        )
        headless = without_server(self._plan)
        if is_secret(self._plan) and self._plan.weights != plan_pb2.WEIGHTS_FORM_SHARED and not self._predict_table:
            check_batches(batch_sizes(len(self._split.train), self._plan.batch_rows), list(order.encoded_columns))
        head = LabelHead(self._network) if self._holds_label and not headless else None
        self._defender = self._make_defender(self._defender_spec) if self._defender_spec is not None else None
        self._noise = self._row_noise()
        parts = self._load_barrier(order.barrier)
        if parts is not None:
            if _FIRST_LAYER in parts:
                self._block.load(parts[_FIRST_LAYER])
            if self._noise is not None and not self._predict_table:
                self._noise.load(parts.get(_NOISE, {}))
            if head is not None:
                head.load(parts[_LABEL_HEAD])
            if self._defender is not None:
                self._defender.load(parts[_DEFENDER])
        self._head = head
        wait = self._settings.wait_seconds
        self._first_layer = make_first_layer(
            self._membership,
            self._block,
            list(order.encoded_columns),
            self._noise,
            secret=self._initialisation_key(),
            links=self._require_links(),
            dealing=self._stubs["dealing"],
            wait_seconds=wait,
        )
        if isinstance(self._first_layer, SecretStack) and parts is not None:
            self._first_layer.load(parts[_SECRET])
        self._first_layer.begin()
        self._labels: NDArray[Any] = np.empty(0)
        if self._holds_label and not self._predict_table:
            self._labels = self._rows.encode_labels(self._label_encoder)
        if headless and isinstance(self._first_layer, SecretStack):
            self._trainer = SecretNetwork(
                self._membership,
                self._first_layer,
                self._block.rows_in_memory(),
                self._labels if self._holds_label else None,
            )
        else:
            self._trainer = self._split_trainer(self._first_layer, head)
        self.state = advance(self.state, RunState.READY)
        self._end_account()
        return coordination_pb2.Begun()

    def _split_trainer(self, first_layer: FirstLayer, head: LabelHead | None) -> Trainer:
        """On a stream to the neutral server."""
        wait = self._settings.wait_seconds
        stream, joined = join_training(self._stubs["split_training"], self._membership, wait)
        self._stream = stream
        self._check_interrupted()
        first_layer.joined(joined)
        return Trainer(
            self._membership,
            block=self._block,
            first_layer=first_layer,
            label_side=None if head is None else LabelSide(head, self._labels, self._label_protection()),
            stream=stream,
            wait_seconds=wait,
            defender=self._defender_shares(self._defender) if self._defender is not None else None,
        )

    def train_epoch(self, order: coordination_pb2.TrainEpoch) -> coordination_pb2.EpochDone:
        self.state = advance(self.state, RunState.TRAINING)
        rounds = self._rounds()
        started = time.perf_counter()
        row_order: RowIndices = epoch_order(self._split.train, order.batch_seed)
        self._trainer.phases.start()
        self._rows.announce(row_order)
        self._trainer.phases.mark("rows")
        loss = self._trainer.train(row_order, self._plan.batch_rows, order.epoch, self._progress(order.epoch))
        seconds = time.perf_counter() - started
        self.state = advance(self.state, RunState.READY)
        links, relayed = self._take_usage()
        _log.info("epoch", run=self.run, epoch=order.epoch, seconds=round(seconds, 4), rows=len(row_order))
        return coordination_pb2.EpochDone(
            epoch=order.epoch,
            loss=loss if self._head is not None else 0.0,
            has_loss=self._head is not None,
            seconds=seconds,
            rows=len(row_order),
            rounds=self._rounds() - rounds,
            links=links,
            relayed=relayed,
            phases=[
                common_pb2.PhaseSeconds(phase=phase, seconds=spent)
                for phase, spent in self._trainer.phases.take().items()
            ],
        )

    def evaluate(self, order: coordination_pb2.Evaluate) -> coordination_pb2.Evaluated:
        """Forward pass on the test rows; the label holder scores it. The scores are a release."""
        self._rows.announce(self._split.test)
        outputs = self._trainer.forward(
            self._split.test, self._plan.batch_rows, order.epoch, common_pb2.PURPOSE_EVALUATE
        )
        if outputs is None:
            return coordination_pb2.Evaluated()
        return evaluate_outputs(self._network.loss, self._labels[self._split.test], outputs, self._label_encoder.decode)

    def hold_barrier(self, order: coordination_pb2.HoldBarrier) -> coordination_pb2.BarrierHeld:
        parts: dict[str, dict[str, NDArray[Any]]] = {_ROWS: self._encoder.state()}
        secret = self._first_layer if isinstance(self._first_layer, SecretStack) else None
        if secret is not None:
            parts[_SECRET] = secret.state()
        if secret is None or secret.owns_first_weights:
            parts[_FIRST_LAYER] = self._block.state()
        if self._head is not None:
            parts[_LABEL_HEAD] = self._head.state()
        if self._holds_label:
            parts[_LABELS] = self._label_encoder.state()
        if self._defender is not None:
            parts[_DEFENDER] = self._defender.state()
        if self._noise is not None and (kept := self._noise.state()):
            parts[_NOISE] = kept
        held = self._store.hold(order.barrier, parts)
        self._end_account()
        return coordination_pb2.BarrierHeld(barrier=order.barrier, manifest_hash=held)

    def predict(self) -> coordination_pb2.Predicted:
        """Forward pass on new rows; the predictions stay at the label holder."""
        rows, order = self._rows.rows, all_rows(self._rows.rows)
        self._rows.announce(order)
        outputs = self._trainer.forward(order, self._plan.batch_rows, 0, common_pb2.PURPOSE_PREDICT)
        if outputs is None:
            return coordination_pb2.Predicted(rows=rows)
        file = self._settings.state_directory / "predictions" / f"{self.run}-{safe_run_name(self._request)}.csv"
        write_predictions(file, self._rows.ids(), self._network.loss, outputs, self._label_encoder.decode)
        _log.info("predicted", run=self.run, rows=rows, file=str(file))
        return coordination_pb2.Predicted(rows=rows, file=str(file.relative_to(self._settings.state_directory)))

    def answers(
        self, order: coordination_pb2.PartyOrder, report: coordination_pb2.PartyReport
    ) -> dict[str, Callable[[], None]]:
        return {
            "begin": lambda: report.begun.CopyFrom(self.begin(order.begin)),
            "train_epoch": lambda: report.epoch_done.CopyFrom(self.train_epoch(order.train_epoch)),
            "evaluate": lambda: report.evaluated.CopyFrom(self.evaluate(order.evaluate)),
            "hold_barrier": lambda: report.barrier_held.CopyFrom(self.hold_barrier(order.hold_barrier)),
            "predict": lambda: report.predicted.CopyFrom(self.predict()),
            "finish": lambda: report.finished.CopyFrom(self.finish()),
        }

    def close(self) -> None:
        if self._first_layer is not None:
            self._first_layer.close()
        super().close()
        if self._opened is not None:
            self._opened.close()

    # --- steps of the above ------------------------------------------------------------------------------------

    def _check_storage(self, table: str) -> None:
        """Before any row is read: this protocol cannot do without all rows in memory."""
        on_disk = self._settings.tables[table].storage == "disk"
        if on_disk and self._plan.protocol == plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER:
            raise SettingsError(
                f'beaver holds E and U of all rows in memory, and table {table!r} of {self._settings.name!r} says storage = "disk"; '
                'use protocol = "masked_sum", or storage = "memory"'
            )

    def _load(self, table: str, label: str) -> RunRows:
        self._check_storage(table)
        rows = self._opened = open_rows(
            table,
            self._settings.tables[table],
            list(self._part.columns),
            label,
            self._settings.data_directory,
            self._directory,
        )
        compare_order(rows, self._require_links(), self._membership)
        return rows

    def _prepare_prediction(self) -> coordination_pb2.Prepared:
        held = self._store.held()
        if not held:
            raise StepError(
                f"{self._settings.name!r} holds no model of run {self.run!r} under this plan; train it first"
            )
        parts = self._store.load(held[-1])
        self._encoder = RowEncoder.from_state(parts[_ROWS])
        if self._holds_label:
            self._label_encoder = LabelEncoder.from_state(parts[_LABELS])
        self._rows = self._load(self._predict_table, "")
        return self._prepared(0, self._rows.rows)

    def _prepared(self, train_rows: int, test_rows: int) -> coordination_pb2.Prepared:
        return coordination_pb2.Prepared(
            rows=self._rows.rows,
            train_rows=train_rows,
            test_rows=test_rows,
            encoded_columns=self._encoder.width,
            plan_hash=self._membership.plan_hash,
            barriers=self._store.held(),
        )

    def _initial_weights(self, fan_in: int) -> NDArray[np.float32]:
        """From this party's own key, so that neither server nor coordinator knows where training started."""
        key = self._initialisation_key()
        return glorot_rows(key, self._network.seed, self._encoder.names, fan_in, first_width(self._plan))

    def _make_defender(self, spec: DefenderSpec) -> Defender:
        import_tensorflow(self._settings.tensorflow_threads)
        network = self._network
        return Defender(
            spec,
            initial_defender(
                spec,
                self._initialisation_key(),
                network.seed,
                self._settings.name,
                network.widths[0],
                self._encoder.width,
            ),
        )

    def _defender_shares(self, defender: Defender) -> DefenderShares:
        """Masks from this generation's keys; compiled ahead for every size of a micro-batch."""
        sizes = {
            piece.stop - piece.start
            for rows in set(batch_sizes(len(self._split.train), self._plan.batch_rows))
            for piece in micro_batches(rows, self._plan.micro_batches)
        }
        defender.warm_up(sorted(sizes))
        return DefenderShares(defender, self._membership, self._require_links())

    def _label_protection(self) -> Protection | None:
        """With noise from a key of its own, which nobody else knows."""
        asked = self._membership.protection
        return label_protection(asked.label_gradient, asked.marvell_power, GaussianNoise(SecureRandomness()))

    def _row_noise(self) -> RowNoise | None:
        """With a key of its own, too."""
        asked = self._membership.protection
        if not asked.z1_noise:
            return None
        source = GaussianNoise(SecureRandomness(), asked.z1_noise)
        return RowNoise(source, asked, len(self._block.rows), self._network.widths[0])

    def _progress(self, epoch: int) -> Callable[[int, int, float, int], None]:
        def report(step: int, steps: int, loss: float, rows: int) -> None:
            if self._holds_label:
                self._send_progress(
                    coordination_pb2.Progress(epoch=epoch, step=step, steps=steps, loss=loss, rows=rows)
                )

        return report
