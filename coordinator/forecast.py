"""What a plan will cost on each link, from the sizes of the very messages it will send.

Counts what the meter counts (kernel/wire/meter.py): serialised messages and gRPC frames on the links parties dial.
Orders and reports to the coordinator are a few hundred bytes an epoch and left out.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from coordinator.message_sizes import (
    COORDINATOR,
    SERVER,
    LinkForecast,
    add_relayed,
    envelope_bytes,
    float_shape,
    framed,
    relay_of,
    ring_shape,
    step_header,
)
from coordinator.secret_forecast import secret_step
from kernel.batch_order import batch_sizes, micro_batches
from kernel.defender_plan import defender_ring, defender_spec
from kernel.plan_message import label_holder, protection_spec, ring_of, share_ring
from kernel.secret.plan import is_secret, without_server
from kernel.wire.channel import OPENING_CHUNK_BYTES
from protos.v1 import common_pb2, dealing_pb2, plan_pb2, split_training_pb2

_DONE = split_training_pb2.ServerFrame(header=step_header(SERVER), step_done=split_training_pb2.StepDone())


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
    beaver, secret = plan.protocol == plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER, is_secret(plan)
    waits = 0  # for envelopes of peers
    epoch: Counter[str] = Counter()
    saved: Counter[str] = Counter()
    relayed: Counter[str] = Counter()
    set_up: Counter[str] = Counter()
    sizes = batch_sizes(train_rows, plan.batch_rows)
    for rows, steps in Counter(sizes).items():
        for piece in () if without_server(plan) else micro_batches(rows, plan.micro_batches):
            for link, count in _micro_batch_bytes(plan, piece.stop - piece.start).items():
                epoch[link] += steps * count
            for link, count in _saved_when_frozen(plan, piece.stop - piece.start).items():
                saved[link] += steps * count
        if beaver:
            links, envelopes, waited = (secret_step if secret else _beaver_step)(plan, rows, encoded_columns)
            waits += steps * waited
            for link, count in links.items():
                epoch[link] += steps * count
            for link, count in envelopes.items():
                relayed[link] += steps * count
    if beaver:
        columns = sum(encoded_columns)
        for chunk, chunks in _chunks(plan, train_rows, columns):
            opening = envelope_bytes(ring_of(plan.ring), (chunk, columns), "opening-e")
            for sender, receiver in permutations(names, 2):
                add_relayed(set_up, Counter(), sender, receiver, opening, chunks, relay=relay_of(plan))
    kinds = 3 if plan.HasField("defender") else 2  # h_L, dL/dz1, and h1
    answers = 0 if without_server(plan) else sum(kinds * len(micro_batches(rows, plan.micro_batches)) for rows in sizes)
    trains = protection_spec(plan).trains_first_layer
    frozen = sum(not trains(number) for number in range(1, plan.epochs + 1))
    return Forecast(
        epoch_bytes=dict(sorted(epoch.items())),
        relayed_epoch_bytes=dict(sorted(relayed.items())),
        set_up_bytes=dict(sorted(set_up.items())),
        rounds=answers + waits,
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
    found: Counter[str] = Counter()
    for party in plan.parties:
        found[f"{party.name}>{SERVER}"] += framed(share, words)
        found[f"{SERVER}>{party.name}"] += _gradient_bytes(plan, party.name, rows)
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
    return Counter(
        {f"{SERVER}>{party.name}": _gradient_bytes(plan, party.name, rows) - framed(_DONE, 0) for party in plan.parties}
    )


def _gradient_bytes(plan: plan_pb2.RunPlan, party: str, rows: int) -> int:
    """The end of a step: dL/dz at the cut, or its share to the first party and word that the step is done to the others."""
    width = plan.network.widths[0]
    if plan.gradient == plan_pb2.GRADIENT_FORM_SHARED:
        if party != plan.parties[0].name:
            return framed(_DONE, 0)
        ring = ring_of(plan.ring)
        share = split_training_pb2.ServerFrame(header=step_header(SERVER), gradient_share=ring_shape(ring, rows, width))
        return framed(share, rows * width * ring.ring_bits // 8)
    cut_bytes = 2 if plan.cut_dtype == common_pb2.D_TYPE_BFLOAT16 else 4
    gradient = split_training_pb2.ServerFrame(header=step_header(SERVER), cut_gradient=float_shape(rows, width))
    return framed(gradient, rows * width * cut_bytes)


def _beaver_step(
    plan: plan_pb2.RunPlan, rows: int, encoded_columns: Sequence[int]
) -> tuple[Counter[str], Counter[str], int]:
    """The opening of F and the dealer's correction: bytes per link and between parties, and envelopes a party waits for."""
    links: Counter[str] = Counter()
    relayed: Counter[str] = Counter()
    names, width, ring = [party.name for party in plan.parties], plan.network.widths[0], share_ring(plan)
    opening = envelope_bytes(ring_of(plan.ring), (sum(encoded_columns), width), "opening-f")
    for sender, receiver in permutations(names, 2):
        add_relayed(links, relayed, sender, receiver, opening)
    correction = dealing_pb2.Correction(header=step_header(COORDINATOR), words=ring_shape(ring, rows, width))
    links[f"{COORDINATOR}>{max(names)}"] += framed(correction, rows * width * ring.ring_bits // 8)
    return links, relayed, len(names) - 1


def _chunks(plan: plan_pb2.RunPlan, train_rows: int, columns: int) -> list[tuple[int, int]]:
    """(rows of a chunk, how many) of the opening of E over all rows, test rows included."""
    rows = round(train_rows / (1 - plan.test_fraction))
    return list(Counter(batch_sizes(rows, max(1, OPENING_CHUNK_BYTES // (plan.ring.ring_bits // 8 * columns)))).items())
