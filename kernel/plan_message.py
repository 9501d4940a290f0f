"""The plan as it travels (protos/v1/plan.proto): its hash, and the values roles compute with."""

import hashlib
import re
from typing import TypeVar

from kernel.errors import WireError
from kernel.fixed_point import FixedPoint
from kernel.network import (
    ACTIVATIONS,
    LOSSES,
    OPTIMIZERS,
    ActivationName,
    LossName,
    NetworkSpec,
    OptimizerName,
    OptimizerSpec,
)
from protos.v1 import plan_pb2

Name = TypeVar("Name", ActivationName, LossName, OptimizerName)
_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_MAX_WIDTH = 1 << 16


def plan_hash(plan: plan_pb2.RunPlan) -> bytes:
    """SHA-256 of the deterministic serialisation: what a barrier is held under."""
    return hashlib.sha256(plan.SerializeToString(deterministic=True)).digest()


def safe_run_name(run: str) -> str:
    """A run id that can be a directory name.

    Raises:
      WireError: it cannot.
    """
    if not _RUN_NAME.fullmatch(run):
        raise WireError("a run id is 1 to 80 letters, digits, '.', '_' or '-', starting with a letter or digit")
    return run


def network_spec(message: plan_pb2.NetworkPlan) -> NetworkSpec:
    """The network of a plan message, checked.

    Raises:
      WireError: a width, activation, loss or optimizer that does not exist.
    """
    widths = tuple(message.widths)
    if not widths or any(not 1 <= width <= _MAX_WIDTH for width in widths) or not 1 <= message.outputs <= _MAX_WIDTH:
        raise WireError(
            f"widths {list(widths)} and {message.outputs} outputs cannot be built; each is 1 to {_MAX_WIDTH}"
        )
    if len(message.activations) != len(widths):
        raise WireError(f"{len(widths)} widths need as many activations; found {len(message.activations)}")
    optimizer = OptimizerSpec(
        _one_of(message.optimizer.name, OPTIMIZERS, "optimizer"),
        message.optimizer.learning_rate,
        message.optimizer.momentum,
    )
    return NetworkSpec(
        widths,
        tuple(_one_of(name, ACTIVATIONS, "activation") for name in message.activations),
        _one_of(message.loss, LOSSES, "loss"),
        message.outputs,
        optimizer,
        message.seed,
    )


def share_ring(plan: plan_pb2.RunPlan) -> FixedPoint:
    """The ring in which parties send shares of z1 (headroom for all of them); f of the factors, not of a product."""
    return FixedPoint(32 if plan.ring.ring_bits == 32 else 64, plan.ring.fractional_bits, addends=len(plan.parties))


def scale_bits(plan: plan_pb2.RunPlan) -> int:
    """z1 = signed word / 2^scale_bits: beaver multiplies two encoded factors, masked_sum encodes the product."""
    f: int = plan.ring.fractional_bits
    return 2 * f if plan.protocol == plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER else f


def label_holder(plan: plan_pb2.RunPlan) -> str:
    """The one party with a label.

    Raises:
      WireError: none or several.
    """
    holders = [party.name for party in plan.parties if party.label]
    if len(holders) != 1:
        raise WireError(f"{len(holders)} parties of the plan have a label, exactly one must")
    return holders[0]


def _one_of(name: str, known: tuple[Name, ...], what: str) -> Name:
    for one in known:
        if one == name:
            return one
    raise WireError(f"unknown {what} {name!r}; known: {', '.join(known)}")
