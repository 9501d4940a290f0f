"""What a plan will cost on each link, from the sizes of the very messages it will send.

Counts what the meter counts (kernel/wire/meter.py): serialised messages and gRPC frames on the links parties dial.
Orders and reports to the coordinator are a few hundred bytes an epoch and left out.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from coordinator.message_sizes import (
    COORDINATOR,
    RUN_NAME,
    SERVER,
    LinkForecast,
    float_shape,
    framed,
    ring_shape,
    step_header,
)
from kernel.batch_order import batch_sizes, micro_batches
from kernel.defender_plan import defender_ring, defender_spec
from kernel.plan_message import label_holder, protection_spec, ring_of, share_ring
from kernel.wire.channel import OPENING_CHUNK_BYTES
from kernel.wire.meter import GRPC_FRAME_BYTES
from kernel.wire.tensor_frame import FRAME_LENGTH_BYTES
from protos.v1 import common_pb2, dealing_pb2, plan_pb2, relay_pb2, split_training_pb2

_SEAL_BYTES = 16


@dataclass(frozen=True)
class Forecast(LinkForecast):
    """Of a split network.

    Attributes:
      epoch_bytes: of an epoch in which the first layer moves; frozen_epoch_bytes: of one in which it stays, empty without.
      epochs: of the run; frozen_epochs: so many of them with the first layer as it is.
    """

    relayed_epoch_bytes: dict[str, int]
    frozen_epoch_bytes: dict[str, int]
    epochs: int
    frozen_epochs: int

    def run_bytes(self, link: str) -> int:
        """All epochs and the set-up."""
        moving = (self.epochs - self.frozen_epochs) * self.epoch_bytes.get(link, 0)
        return moving + self.frozen_epochs * self.frozen_epoch_bytes.get(link, 0) + self.set_up_bytes.get(link, 0)

    def as_event(self) -> dict[str, Any]:
        return {
            "bytes": self.epoch_bytes,
            "relayed_bytes": self.relayed_epoch_bytes,
            "set_up_bytes": self.set_up_bytes,
            "rounds": self.rounds,
            **({"frozen_bytes": self.frozen_epoch_bytes} if self.frozen_epochs else {}),
        }


def forecast(plan: plan_pb2.RunPlan, train_rows: int, encoded_columns: Sequence[int]) -> Forecast:
    """The forecast of one epoch over ``train_rows`` rows.

    Args:
      encoded_columns: width after one-hot per party, in the order of the plan.
    """
    names = [party.name for party in plan.parties]
    beaver = plan.protocol == plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER
    epoch: Counter[str] = Counter()
    saved: Counter[str] = Counter()
    relayed: Counter[str] = Counter()
    set_up: Counter[str] = Counter()
    sizes = batch_sizes(train_rows, plan.batch_rows)
    for rows, steps in Counter(sizes).items():
        for piece in micro_batches(rows, plan.micro_batches):
            for link, count in _micro_batch_bytes(plan, piece.stop - piece.start).items():
                epoch[link] += steps * count
            for link, count in _saved_when_frozen(plan, piece.stop - piece.start).items():
                saved[link] += steps * count
        if beaver:
            epoch[f"{COORDINATOR}>{max(names)}"] += steps * _correction_bytes(plan, rows)
    if beaver:
        columns = sum(encoded_columns)
        opening = _envelope_bytes(columns, plan.network.widths[0], "opening-f", plan)
        for sender in names:
            for receiver in names:
                if sender != receiver:
                    _add_relayed(epoch, relayed, sender, receiver, opening, len(sizes))
                    for chunk, chunks in _chunks(plan, train_rows, columns):
                        _add_relayed(
                            set_up,
                            Counter(),
                            sender,
                            receiver,
                            _envelope_bytes(chunk, columns, "opening-e", plan),
                            chunks,
                        )
    kinds = 3 if plan.HasField("defender") else 2  # h_L, dL/dz1, and h1
    answers = sum(kinds * len(micro_batches(rows, plan.micro_batches)) for rows in sizes)
    rounds = answers + (len(sizes) * (len(names) - 1) if beaver else 0)
    trains = protection_spec(plan).trains_first_layer
    frozen = sum(not trains(number) for number in range(1, plan.epochs + 1))
    return Forecast(
        epoch_bytes=dict(sorted(epoch.items())),
        relayed_epoch_bytes=dict(sorted(relayed.items())),
        set_up_bytes=dict(sorted(set_up.items())),
        rounds=rounds,
        frozen_epoch_bytes={link: count - saved[link] for link, count in sorted(epoch.items())} if frozen else {},
        epochs=plan.epochs,
        frozen_epochs=frozen,
    )


def _micro_batch_bytes(plan: plan_pb2.RunPlan, rows: int) -> Counter[str]:
    network, holder = plan.network, label_holder(plan)
    width, last = network.widths[0], network.widths[-1]
    cut_bytes = 2 if plan.cut_dtype == common_pb2.D_TYPE_BFLOAT16 else 4
    ring = share_ring(plan)
    words = rows * width * ring.ring_bits // 8
    share = split_training_pb2.PartyFrame(header=step_header(holder), share=ring_shape(ring, rows, width))
    head = split_training_pb2.PartyFrame(header=step_header(holder), head_gradient=float_shape(rows, last))
    activation = split_training_pb2.ServerFrame(header=step_header(SERVER), cut_activation=float_shape(rows, last))
    gradient = split_training_pb2.ServerFrame(header=step_header(SERVER), cut_gradient=float_shape(rows, width))
    found: Counter[str] = Counter()
    for party in plan.parties:
        found[f"{party.name}>{SERVER}"] += framed(share, words)
        found[f"{SERVER}>{party.name}"] += framed(gradient, rows * width * cut_bytes)
    defender = defender_spec(plan)
    if defender is not None:
        h1 = split_training_pb2.ServerFrame(header=step_header(SERVER), first_activation=float_shape(rows, width))
        ring = defender_ring(defender.objective, len(plan.parties))
        for party in plan.parties:
            pull = split_training_pb2.PartyFrame(
                header=step_header(party.name), defender_share=ring_shape(ring, rows, width)
            )
            found[f"{SERVER}>{party.name}"] += framed(h1, rows * width * cut_bytes)
            found[f"{party.name}>{SERVER}"] += framed(pull, rows * width * ring.ring_bits // 8)
    found[f"{holder}>{SERVER}"] += framed(head, rows * last * cut_bytes)
    found[f"{SERVER}>{holder}"] += framed(activation, rows * last * cut_bytes)
    return found


def _saved_when_frozen(plan: plan_pb2.RunPlan, rows: int) -> Counter[str]:
    """To every party: dL/dz1, less the word that the step is done."""
    width, cut_bytes = plan.network.widths[0], 2 if plan.cut_dtype == common_pb2.D_TYPE_BFLOAT16 else 4
    gradient = split_training_pb2.ServerFrame(header=step_header(SERVER), cut_gradient=float_shape(rows, width))
    done = split_training_pb2.ServerFrame(header=step_header(SERVER), step_done=split_training_pb2.StepDone())
    count = framed(gradient, rows * width * cut_bytes) - framed(done, 0)
    return Counter({f"{SERVER}>{party.name}": count for party in plan.parties})


def _correction_bytes(plan: plan_pb2.RunPlan, rows: int) -> int:
    ring, width = share_ring(plan), plan.network.widths[0]
    correction = dealing_pb2.Correction(header=step_header(COORDINATOR), words=ring_shape(ring, rows, width))
    return framed(correction, rows * width * ring.ring_bits // 8)


def _chunks(plan: plan_pb2.RunPlan, train_rows: int, columns: int) -> list[tuple[int, int]]:
    """(rows of a chunk, how many) of the opening of E over all rows, test rows included."""
    rows = round(train_rows / (1 - plan.test_fraction))
    return list(Counter(batch_sizes(rows, max(1, OPENING_CHUNK_BYTES // (plan.ring.ring_bits // 8 * columns)))).items())


def _add_relayed(
    links: Counter[str], relayed: Counter[str], sender: str, receiver: str, sizes: tuple[int, int], times: int
) -> None:
    envelope, framed = sizes
    links[f"{sender}>{SERVER}"] += times * framed
    links[f"{SERVER}>{receiver}"] += times * framed
    relayed[f"{sender}>{receiver}"] += times * envelope


def _envelope_bytes(rows: int, columns: int, topic: str, plan: plan_pb2.RunPlan) -> tuple[int, int]:
    """(bytes between the parties, bytes on a party's link) of one opening."""
    ring = ring_of(plan.ring)
    opening = relay_pb2.Opening(words=ring_shape(ring, rows, columns), first_row=0).ByteSize()
    sealed = FRAME_LENGTH_BYTES + opening + rows * columns * ring.ring_bits // 8 + _SEAL_BYTES
    header = relay_pb2.EnvelopeHeader(
        step=step_header("party-a"), receiver="party-a", mailbox=RUN_NAME, topic=topic, sequence=1000
    )
    envelope = relay_pb2.Envelope(header=header)
    return envelope.ByteSize() + sealed + GRPC_FRAME_BYTES, framed(relay_pb2.RelayFrame(envelope=envelope), sealed)
