"""Sizes of messages as the meter counts them (kernel/wire/meter.py), from the very messages: what forecasts are made of."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from kernel.fixed_point import FixedPoint
from kernel.secret.plan import without_server
from kernel.wire.meter import GRPC_FRAME_BYTES
from kernel.wire.tensor_frame import FRAME_LENGTH_BYTES
from protos.v1 import common_pb2, plan_pb2, relay_pb2

SERVER, COORDINATOR = "neutral-server", "coordinator"
_SEAL_BYTES = 16
RUN_NAME = "x" * 30
"""Stands for a run id of usual length in every header."""


@dataclass(frozen=True)
class LinkForecast:
    """Bytes per link: of one epoch, and of the set-up that a run pays once.

    Attributes:
      rounds: messages of other processes that the party with the most waits for in an epoch.
    """

    epoch_bytes: dict[str, int]
    set_up_bytes: dict[str, int]
    rounds: int

    def busiest(self) -> tuple[str, int]:
        """The link direction with the most bytes in an epoch."""
        return max(self.epoch_bytes.items(), key=lambda item: item[1])

    def seconds(self, megabits_per_second: float) -> float:
        """Wire limit of an epoch when every link direction runs at this rate."""
        return self.busiest()[1] * 8 / (megabits_per_second * 1e6)


def ring_shape(ring: FixedPoint, *shape: int) -> common_pb2.RingTensor:
    return common_pb2.RingTensor(ring_bits=ring.ring_bits, fractional_bits=ring.fractional_bits, shape=shape)


def float_shape(*shape: int) -> common_pb2.Tensor:
    return common_pb2.Tensor(dtype=common_pb2.D_TYPE_FLOAT32, shape=shape)


def step_header(
    sender: str, run: str = RUN_NAME, *, step: int = 10, purpose: common_pb2.Purpose = common_pb2.PURPOSE_TRAIN
) -> common_pb2.StepHeader:
    """Of a step in the middle of a run."""
    return common_pb2.StepHeader(run=run, generation=1, epoch=10, step=step, purpose=purpose, sender=sender)


def framed(message: Any, payload_bytes: int) -> int:
    """Bytes on the wire of a message with so many behind it."""
    size: int = message.ByteSize()
    return FRAME_LENGTH_BYTES + size + payload_bytes + GRPC_FRAME_BYTES


def envelope_bytes(ring: FixedPoint, shape: tuple[int, ...], topic: str) -> tuple[int, int]:
    """(bytes between the parties, bytes on a party's link) of one opening."""
    payload = math.prod(shape) * ring.ring_bits // 8
    opening = relay_pb2.Opening(words=ring_shape(ring, *shape), first_row=0).ByteSize()
    sealed = FRAME_LENGTH_BYTES + opening + payload + _SEAL_BYTES
    header = relay_pb2.EnvelopeHeader(
        step=step_header("party-a"), receiver="party-a", mailbox=RUN_NAME, topic=topic, sequence=1000
    )
    envelope = relay_pb2.Envelope(header=header)
    return envelope.ByteSize() + sealed + GRPC_FRAME_BYTES, framed(relay_pb2.RelayFrame(envelope=envelope), sealed)


def add_relayed(
    links: Counter[str],
    relayed: Counter[str],
    sender: str,
    receiver: str,
    sizes: tuple[int, int],
    times: int = 1,
    *,
    relay: str = SERVER,
) -> None:
    """An envelope (`envelope_bytes`) goes up to whoever forwards and down again."""
    envelope, on_a_link = sizes
    links[f"{sender}>{relay}"] += times * on_a_link
    links[f"{relay}>{receiver}"] += times * on_a_link
    relayed[f"{sender}>{receiver}"] += times * envelope


def relay_of(plan: plan_pb2.RunPlan) -> str:
    """Who forwards the parties' envelopes: the coordinator where the plan has no neutral server."""
    return COORDINATOR if without_server(plan) else SERVER
