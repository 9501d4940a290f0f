"""The plan as it travels (protos/v1/plan.proto): its hash, and the values roles compute with."""

import hashlib
import re
from typing import Literal, TypeVar

from kernel.defender_plan import defender_spec
from kernel.errors import FixedPointError, SettingsError, WireError
from kernel.fixed_point import FixedPoint
from kernel.gan.spec import GAN_JOBS, gan_spec
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
from kernel.protection import LabelGradient, ProtectionSpec
from kernel.secret.plan import is_secret, protection_objection, secret_spec
from protos.v1 import common_pb2, plan_pb2

Name = TypeVar("Name", ActivationName, LossName, OptimizerName)
_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_MAX_WIDTH = 1 << 16
MIN_INTEGER_BITS = 8
"""Room z1 must have: a plan with less could be made to overflow, and each overflow tells a magnitude."""

MAX_MICRO_BATCHES = 64
_SPLIT_PARTS: tuple[Literal["ring", "network", "defender", "protection"], ...] = (
    "ring",
    "network",
    "defender",
    "protection",
)

_OWN_NAMES = re.compile(r"lobby|doctor-.*|predictions|initialisation\.key|secrets\.key|.*\.part")


def plan_hash(plan: plan_pb2.RunPlan) -> bytes:
    """SHA-256 of the deterministic serialisation: what a barrier is held under."""
    return hashlib.sha256(plan.SerializeToString(deterministic=True)).digest()


def safe_run_name(run: str) -> str:
    """A run id that can be a directory name.

    Raises:
      WireError: it cannot.
    """
    if _OWN_NAMES.fullmatch(run):
        raise WireError(f"a run cannot be called {run!r}, which Tertium uses itself; choose another name")
    if not _RUN_NAME.fullmatch(run):
        raise WireError("a run id is 1 to 80 letters, digits, '.', '_' or '-', starting with a letter or digit")
    return run


def network_spec(message: plan_pb2.NetworkPlan) -> NetworkSpec:
    """The network of a plan message, checked; without widths there is no neutral server, and all layers are on shares.

    Raises:
      WireError: a width, activation, loss or optimizer that does not exist.
    """
    widths = tuple(message.widths)
    if any(not 1 <= width <= _MAX_WIDTH for width in widths) or not 1 <= message.outputs <= _MAX_WIDTH:
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


def check_plan_message(plan: plan_pb2.RunPlan) -> None:
    """What a party holds a plan to whoever sent it; the coordinator's own validation says more to its author.

    Raises:
      WireError: fewer than two parties (nothing would be masked; job gan: none), a repeated name, an unknown protocol or
        ring, a count out of range, or a part that belongs to plans of another job.
    """
    names = [party.name for party in plan.parties]
    if plan.job in GAN_JOBS:
        _check_gan_message(plan, names)
        return
    if plan.HasField("gan"):
        raise WireError("the plan describes GANs and is of another job; run one version everywhere")
    if len(names) < 2 or len(set(names)) != len(names):
        raise WireError(f"a plan needs two parties or more, each once; this one names {', '.join(names) or 'none'}")
    if plan.protocol not in (
        plan_pb2.FIRST_LAYER_PROTOCOL_MASKED_SUM,
        plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER,
    ):
        raise WireError("the plan names no first-layer protocol; run one version everywhere")
    beaver = plan.protocol == plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER
    factors = ring_of(plan.ring)
    integer_bits = spare_bits(factors.ring_bits, factors.fractional_bits, beaver=beaver)
    if integer_bits < MIN_INTEGER_BITS:
        raise WireError(f"the plan leaves {integer_bits} integer bits for z1; at least {MIN_INTEGER_BITS} are wanted")
    if beaver != bool(plan.dealer) or plan.dealer in (*names, "neutral-server"):
        raise WireError("the dealer of beaver is the coordinator, and masked_sum has none; this plan says otherwise")
    if not (plan.epochs >= 1 and plan.batch_rows >= 1 and 0 < plan.test_fraction < 1):
        raise WireError(
            f"{plan.epochs} epochs, batches of {plan.batch_rows} rows, test_fraction {plan.test_fraction}: "
            "each must be positive, the fraction below 1"
        )
    label_holder(plan)
    cut_dtype(plan.cut_dtype)
    check_micro_batches(plan.micro_batches)
    defender_spec(plan)
    objection = protection_spec(plan).objection(network_spec(plan.network).loss, plan.epochs, on_shares=is_secret(plan))
    if objection:
        raise WireError(f"the plan's protection cannot be kept to: {objection}")
    _check_secret_parts(plan)


def _check_secret_parts(plan: plan_pb2.RunPlan) -> None:
    if not is_secret(plan):
        if plan.head_interval:
            raise WireError(
                "the plan gives an interval for a label head on shares and has none; run one version everywhere"
            )
        return
    try:
        secret_spec(plan, columns=1)
    except SettingsError as error:
        raise WireError(f"the plan cannot be run on shares: {error}") from error
    objection = protection_objection(plan, protection_spec(plan))
    if objection:
        raise WireError(f"the plan's protection cannot be kept to: {objection}")


def _check_gan_message(plan: plan_pb2.RunPlan, names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise WireError(f"a plan names each party once; this one names {', '.join(names)}")
    gan_spec(plan)
    foreign = [name for name in _SPLIT_PARTS if plan.HasField(name)]
    secret = plan.secret_layers or plan.gradient or plan.weights or plan.head_interval
    if plan.protocol or plan.dealer or plan.micro_batches or plan.cut_dtype or secret or foreign:
        raise WireError(
            "the plan's job is GANs and it says more, which belongs to split training "
            f"({', '.join(foreign) or 'protocol, dealer, micro_batches, cut_dtype or layers on shares'}); run one version everywhere"
        )


def ring_of(ring: plan_pb2.RingPlan) -> FixedPoint:
    """The ring of a plan message.

    Raises:
      WireError: not one of ours.
    """
    if ring.ring_bits not in (32, 64):
        raise WireError(f"the plan says a ring of {ring.ring_bits} bits; rings have 32 or 64")
    try:
        return FixedPoint(32 if ring.ring_bits == 32 else 64, ring.fractional_bits)
    except FixedPointError as error:
        raise WireError(f"the plan's ring cannot be used: {error}") from error


def spare_bits(ring_bits: int, fractional_bits: int, *, beaver: bool) -> int:
    """Integer bits that a plan's ring leaves for z1, its sign apart: beaver multiplies two encoded factors."""
    return ring_bits - 1 - (2 * fractional_bits if beaver else fractional_bits)


def share_ring(plan: plan_pb2.RunPlan) -> FixedPoint:
    """The ring of the shares of z1, with headroom for all parties; z1 = signed word / 2^f.

    f is the plan's where the product is encoded (masked_sum), and twice the plan's where two encoded factors are
    multiplied (beaver).
    """
    ring = ring_of(plan.ring)
    factors = 2 if plan.protocol == plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER else 1
    return FixedPoint(ring.ring_bits, factors * ring.fractional_bits, addends=len(plan.parties))


def cut_dtype(message: common_pb2.DType) -> str:
    """In what h_L, dL/dh_L and dL/dz1 travel: "float32", or "bfloat16" where the plan asks for it.

    Raises:
      WireError: anything else.
    """
    names = {common_pb2.D_TYPE_FLOAT32: "float32", common_pb2.D_TYPE_BFLOAT16: "bfloat16"}
    if message not in names:
        raise WireError(f"the plan asks for tensors of type {message} at the cut; float32 and bfloat16 travel there")
    return names[message]


def protection_spec(plan: plan_pb2.RunPlan) -> ProtectionSpec:
    """The plan's mitigations, not yet held to the rest of the plan (`ProtectionSpec.objection`).

    Raises:
      WireError: a protection of label gradients that does not exist.
    """
    if not plan.HasField("protection"):
        return ProtectionSpec()
    message = plan.protection
    names: dict[plan_pb2.LabelGradient, LabelGradient] = {
        plan_pb2.LABEL_GRADIENT_UNSPECIFIED: "none",
        plan_pb2.LABEL_GRADIENT_MAX_NORM: "max_norm",
        plan_pb2.LABEL_GRADIENT_MARVELL: "marvell",
    }
    if message.label_gradient not in names:
        raise WireError(
            f"the plan asks for protection {message.label_gradient} of label gradients; run one version everywhere"
        )
    return ProtectionSpec(
        z1_noise=message.z1_noise,
        row_norm=message.row_norm,
        weight_norm=message.weight_norm,
        freeze_first_layer_after=(
            message.freeze_first_layer_after if message.HasField("freeze_first_layer_after") else None
        ),
        label_gradient=names[message.label_gradient],
        marvell_power=message.marvell_power,
        cut_interval=message.cut_interval,
    )


def check_micro_batches(pieces: int) -> int:
    """How many pieces a training step's rows travel in.

    Raises:
      WireError: none, or more than any plan may ask for.
    """
    if not 1 <= pieces <= MAX_MICRO_BATCHES:
        raise WireError(f"a training step in {pieces} micro-batches cannot be run; 1 to {MAX_MICRO_BATCHES} can")
    return pieces


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
