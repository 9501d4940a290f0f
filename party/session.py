"""One generation of one run at a party: obeys the coordinator's orders, within the party's own policy."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from kernel.batch_order import RowIndices, Split, epoch_order
from kernel.durable import BarrierStore, write_durably
from kernel.errors import StepError, TertiumError, WireError
from kernel.initialisation import glorot_rows
from kernel.masks import ZeroMask
from kernel.plan_message import (
    check_plan_message,
    label_holder,
    network_spec,
    plan_hash,
    safe_run_name,
    scale_bits,
    share_ring,
)
from kernel.randomness import Keystream, SecretKey, SecureRandomness, derive_key
from kernel.run_state import RunState, advance
from kernel.wire.identity import Identity
from kernel.wire.meter import LinkMeter
from kernel.wire.stream import DuplexStream
from party.dealer_client import DealerClient
from party.first_layer.beaver import Beaver
from party.first_layer.masked_sum import MaskedSum
from party.first_layer.protocol import FirstLayer, FirstLayerBlock
from party.label_head import LabelHead
from party.peer_links import PeerLinks
from party.policy import check_columns, check_plan, part_of
from party.predictions import write_predictions
from party.release import evaluate_outputs
from party.rows.encoding import RowEncoder
from party.rows.labels import LabelEncoder
from party.rows.loaders import declared_columns
from party.run_rows import RunRows, all_rows, compare_order, load_aligned
from party.settings import PartySettings
from party.training import LabelSide, Trainer, TrainStream
from protos.v1 import common_pb2, coordination_pb2, plan_pb2, split_training_pb2

_log = structlog.get_logger()
_FIRST_LAYER, _LABEL_HEAD, _ROWS, _LABELS = "first_layer", "label_head", "row_encoder", "label_encoder"

Report = coordination_pb2.PartyReport


class PartySession:
    """States as in kernel/run_state.py. Orders come from one thread; `interrupt` may come from another.

    Args:
      stubs: split_training, relay and dealing stubs on metered channels; meter: of those channels;
      send_progress: called with Progress messages while an epoch runs.
    """

    def __init__(
        self,
        settings: PartySettings,
        identity: Identity,
        *,
        run: str,
        generation: int,
        stubs: dict[str, Any],
        meter: LinkMeter,
        send_progress: Callable[[coordination_pb2.Progress], None],
    ) -> None:
        self.run, self.generation = safe_run_name(run), generation
        self._settings, self._identity, self._stubs, self._meter = settings, identity, stubs, meter
        self._send_progress = send_progress
        self._directory = settings.state_directory / self.run
        self._totals: dict[str, Counter[str]] = {
            "links": Counter(),
            "messages": Counter(),
            "relayed": Counter(),
            "relayed_messages": Counter(),
        }
        self.state = RunState.JOINED
        self._links: PeerLinks | None = None
        self._stream: TrainStream | None = None
        self._dealer: DealerClient | None = None

    # --- orders, in the order of a run -------------------------------------------------------------------------

    def prepare(self, order: coordination_pb2.Prepare) -> coordination_pb2.Prepared:
        """Policy first, then peers, then rows."""
        self._plan = order.plan
        self._predict_table = order.predict_table
        self._request = order.request
        check_plan_message(self._plan)
        tables = {name: list(declared_columns(table)) for name, table in self._settings.tables.items()}
        check_plan(self._settings.policy, self._plan, self._settings.name, tables)
        self._part = part_of(self._plan, self._settings.name)
        self._names = [party.name for party in self._plan.parties]
        self._holds_label = label_holder(self._plan) == self._settings.name
        self._network = network_spec(self._plan.network)
        self._check_generation()
        self._store = BarrierStore(self._directory / "barriers", plan_hash(self._plan))
        self._links = self._meet_peers()
        if self._predict_table:
            check_columns(
                self._settings.policy,
                self._settings.name,
                self._predict_table,
                list(self._part.columns),
                tables,
            )
            return self._prepare_prediction()
        self._rows = self._load(self._part.table, self._part.label)
        self._split: Split = self._rows.split(self._plan.test_fraction, self._plan.network.seed)
        clip = self._settings.tables[self._part.table].clip_deviations
        self._encoder = RowEncoder.fit(self._rows.table, self._rows.columns, self._split.train, clip)
        if self._holds_label:
            self._label_encoder = LabelEncoder.fit(
                self._rows.table,
                self._part.label,
                self._network.loss,
                self._network.outputs,
                self._split.train,
            )
        return self._prepared(len(self._split.train), len(self._split.test))

    def begin(self, order: coordination_pb2.Begin) -> coordination_pb2.Begun:
        """Weights of a barrier, or new ones; then the protocol's set-up and the stream to the neutral server."""
        if list(order.encoded_columns)[self._names.index(self._settings.name)] != self._encoder.width:
            raise WireError(
                f"the coordinator counts {list(order.encoded_columns)} encoded columns; here there are {self._encoder.width}"
            )
        self._block = FirstLayerBlock(
            self._encoder.encode(self._rows.table),
            self._initial_weights(sum(order.encoded_columns)),
            self._network.optimizer,
        )
        head = LabelHead(self._network) if self._holds_label else None
        if order.barrier in self._store.held():
            parts = self._store.load(order.barrier)
            self._block.load(parts[_FIRST_LAYER])
            if head is not None:
                head.load(parts[_LABEL_HEAD])
        elif order.barrier != 0:
            raise StepError(
                f"barrier {order.barrier} is not held by {self._settings.name!r}; held: {self._store.held()}"
            )
        self._head = head
        first_layer = self._make_first_layer(list(order.encoded_columns))
        first_layer.begin()
        labels: NDArray[Any] = np.empty(0)
        if head is not None and not self._predict_table:
            labels = self._label_encoder.encode(self._rows.table)
        self._stream = self._join()
        self._trainer = Trainer(
            me=self._settings.name,
            run=self.run,
            generation=self.generation,
            network=self._network,
            block=self._block,
            first_layer=first_layer,
            scale_bits=scale_bits(self._plan),
            label_side=LabelSide(head, labels) if head is not None else None,
            stream=self._stream,
            wait_seconds=self._settings.wait_seconds,
        )
        self.state = advance(self.state, RunState.READY)
        return coordination_pb2.Begun()

    def train_epoch(self, order: coordination_pb2.TrainEpoch) -> coordination_pb2.EpochDone:
        self.state = advance(self.state, RunState.TRAINING)
        self._take_usage()  # set-up and earlier epochs are not this epoch's bytes
        rounds = self._rounds()
        started = time.perf_counter()
        row_order: RowIndices = epoch_order(self._split.train, order.batch_seed)
        loss = self._trainer.train(row_order, self._plan.batch_rows, order.epoch, self._progress(order.epoch))
        seconds = time.perf_counter() - started
        self.state = advance(self.state, RunState.READY)
        links, relayed = self._take_usage()
        _log.info("epoch", run=self.run, epoch=order.epoch, seconds=round(seconds, 4), rows=len(row_order))
        return coordination_pb2.EpochDone(
            epoch=order.epoch,
            loss=loss if self._holds_label else 0.0,
            has_loss=self._holds_label,
            seconds=seconds,
            rows=len(row_order),
            rounds=self._rounds() - rounds,
            links=links,
            relayed=relayed,
        )

    def evaluate(self, order: coordination_pb2.Evaluate) -> coordination_pb2.Evaluated:
        """Forward pass on the test rows; the label holder scores it. The scores are a release."""
        outputs = self._trainer.forward(
            self._split.test, self._plan.batch_rows, order.epoch, common_pb2.PURPOSE_EVALUATE
        )
        if outputs is None:
            return coordination_pb2.Evaluated()
        labels = self._label_encoder.encode(self._rows.table)[self._split.test]
        return evaluate_outputs(self._network.loss, labels, outputs, self._label_encoder.decode(outputs))

    def hold_barrier(self, order: coordination_pb2.HoldBarrier) -> coordination_pb2.BarrierHeld:
        parts: dict[str, dict[str, NDArray[Any]]] = {
            _FIRST_LAYER: self._block.state(),
            _ROWS: self._encoder.state(),
        }
        if self._head is not None:
            parts[_LABEL_HEAD] = self._head.state()
            parts[_LABELS] = self._label_encoder.state()
        return coordination_pb2.BarrierHeld(barrier=order.barrier, manifest_hash=self._store.hold(order.barrier, parts))

    def predict(self) -> coordination_pb2.Predicted:
        """Forward pass on new rows; the predictions stay at the label holder."""
        rows = self._rows.table.rows
        outputs = self._trainer.forward(all_rows(rows), self._plan.batch_rows, 0, common_pb2.PURPOSE_PREDICT)
        if outputs is None:
            return coordination_pb2.Predicted(rows=rows)
        file = self._settings.state_directory / "predictions" / f"{self.run}-{safe_run_name(self._request)}.csv"
        write_predictions(file, self._rows.table.ids, self._network.loss, self._label_encoder.decode(outputs))
        _log.info("predicted", run=self.run, rows=rows, file=str(file))
        return coordination_pb2.Predicted(rows=rows, file=str(file.relative_to(self._settings.state_directory)))

    def finish(self) -> coordination_pb2.Finished:
        self._take_usage()
        self.state = advance(self.state, RunState.DONE)
        self.close()
        return coordination_pb2.Finished(
            links=_usage(self._totals["links"], self._totals["messages"]),
            relayed=_usage(self._totals["relayed"], self._totals["relayed_messages"]),
        )

    # --- life --------------------------------------------------------------------------------------------------

    def interrupt(self, error: TertiumError) -> None:
        """Wake whatever waits; the order in progress fails with ``error``."""
        for link in (self._links, self._stream):
            if link is not None:
                link.interrupt(error)

    def close(self) -> None:
        if self.state is not RunState.DONE:
            self.state = RunState.PAUSED
        if self._dealer is not None:
            self._dealer.close()
        if self._stream is not None:
            self._stream.close(flush_seconds=1.0 if self.state is RunState.DONE else 0.0)
        if self._links is not None:
            self._links.close()

    # --- steps of the above ------------------------------------------------------------------------------------

    def _check_generation(self) -> None:
        """A generation is used once: masks, triples and keys derive from it. Noted on disk before anything is."""
        path = self._directory / "generation"
        last = int(path.read_text()) if path.exists() else 0
        if self.generation <= last:
            raise StepError(
                f"generation {self.generation} of run {self.run!r} is not new here; the last one was {last}"
            )
        write_durably(path, str(self.generation).encode())

    def _meet_peers(self) -> PeerLinks:
        pins = {name: self._settings.policy.peers[name] for name in self._names if name != self._settings.name}
        links = PeerLinks(
            self._stubs["relay"].Exchange,
            self._identity,
            pins,
            mailbox=self.run,
            generation=self.generation,
            wait_seconds=self._settings.wait_seconds,
        )
        self._links = links
        links.meet()
        return links

    def _load(self, table: str, label: str) -> RunRows:
        rows = load_aligned(
            table,
            self._settings.tables[table],
            list(self._part.columns),
            label,
            self._settings.data_directory,
        )
        header = common_pb2.StepHeader(
            run=self.run,
            generation=self.generation,
            purpose=common_pb2.PURPOSE_SET_UP,
            sender=self._settings.name,
        )
        compare_order(rows, self._require_links(), self._names, plan_hash(self._plan), header)
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
        return self._prepared(0, self._rows.table.rows)

    def _prepared(self, train_rows: int, test_rows: int) -> coordination_pb2.Prepared:
        return coordination_pb2.Prepared(
            rows=self._rows.table.rows,
            train_rows=train_rows,
            test_rows=test_rows,
            encoded_columns=self._encoder.width,
            plan_hash=plan_hash(self._plan),
            barriers=self._store.held(),
        )

    def _initial_weights(self, fan_in: int) -> NDArray[np.float32]:
        """From this party's own key, so that neither server nor coordinator knows where training started."""
        path = self._settings.state_directory / "initialisation.key"
        if not path.exists():
            write_durably(path, SecureRandomness().key())
            path.chmod(0o600)
        return glorot_rows(path.read_bytes(), self._network.seed, self._encoder.names, fan_in, self._network.widths[0])

    def _make_first_layer(self, widths: list[int]) -> FirstLayer:
        links = self._require_links()
        mask = ZeroMask(
            self._settings.name,
            {name: self._mask_stream(link.pairwise) for name, link in links.links.items()},
        )
        ring = share_ring(self._plan)
        if self._plan.protocol != plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER:
            return MaskedSum(self._block, ring, mask)
        self._dealer = DealerClient(
            self._stubs["dealing"],
            me=self._settings.name,
            run=self.run,
            generation=self.generation,
            fractional_bits=ring.fractional_bits,
            wait_seconds=self._settings.wait_seconds,
        )
        return Beaver(
            self._block,
            me=self._settings.name,
            names=self._names,
            widths=widths,
            run=self.run,
            generation=self.generation,
            ring=ring,
            links=links,
            dealer=self._dealer,
            mask=mask,
        )

    def _mask_stream(self, pairwise: SecretKey) -> Keystream:
        return Keystream(derive_key(pairwise, self.run, self.generation, "zero-mask"))

    def _join(self) -> TrainStream:
        stream: TrainStream = DuplexStream(self._stubs["split_training"].Train, "the neutral server")
        header = common_pb2.StepHeader(
            run=self.run,
            generation=self.generation,
            purpose=common_pb2.PURPOSE_SET_UP,
            sender=self._settings.name,
        )
        stream.send(split_training_pb2.PartyFrame(header=header, join=split_training_pb2.JoinTraining()))
        answer = stream.receive(self._settings.wait_seconds)
        if answer.WhichOneof("kind") != "joined":
            raise StepError("the neutral server did not confirm the stream; run one version everywhere")
        return stream

    def _progress(self, epoch: int) -> Callable[[int, int, float, int], None]:
        def report(step: int, steps: int, loss: float, rows: int) -> None:
            if self._holds_label:
                self._send_progress(
                    coordination_pb2.Progress(epoch=epoch, step=step, steps=steps, loss=loss, rows=rows)
                )

        return report

    def _rounds(self) -> int:
        return (self._stream.rounds if self._stream else 0) + (self._links.rounds if self._links else 0)

    def _take_usage(self) -> tuple[list[common_pb2.LinkUsage], list[common_pb2.LinkUsage]]:
        links = self._meter.take()
        relayed = self._links.meter.take() if self._links is not None else []
        for bytes_of, messages_of, usages in (
            ("links", "messages", links),
            ("relayed", "relayed_messages", relayed),
        ):
            for usage in usages:
                self._totals[bytes_of][usage.link] += usage.bytes
                self._totals[messages_of][usage.link] += usage.messages
        return links, relayed

    def _require_links(self) -> PeerLinks:
        if self._links is None:
            raise StepError("peers were not met yet")
        return self._links


def _usage(byte_counts: Counter[str], messages: Counter[str]) -> Iterable[common_pb2.LinkUsage]:
    return [
        common_pb2.LinkUsage(link=link, bytes=count, messages=messages[link])
        for link, count in sorted(byte_counts.items())
    ]
