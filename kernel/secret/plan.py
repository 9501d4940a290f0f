"""What a plan message says of layers on shares, checked: the same at coordinator, dealer and parties."""

import math
from typing import Literal

from kernel.errors import SettingsError, WireError
from kernel.protection import ProtectionSpec
from kernel.secret.polynomials import check_cubic
from kernel.secret.spec import (
    Approximated,
    GradientForm,
    SecretActivation,
    SecretLayer,
    SecretSpec,
    StepSize,
    WeightsForm,
)
from protos.v1 import plan_pb2

_ACTIVATIONS: dict[plan_pb2.SecretActivation, tuple[SecretActivation, Approximated | None]] = {
    plan_pb2.SECRET_ACTIVATION_IDENTITY: ("identity", None),
    plan_pb2.SECRET_ACTIVATION_SQUARE: ("square", None),
    plan_pb2.SECRET_ACTIVATION_POLY3_SIGMOID: ("poly3", "sigmoid"),
    plan_pb2.SECRET_ACTIVATION_POLY3_RELU: ("poly3", "relu"),
}
_GRADIENTS: dict[plan_pb2.GradientForm, GradientForm] = {
    plan_pb2.GRADIENT_FORM_UNSPECIFIED: "open",
    plan_pb2.GRADIENT_FORM_SHARED: "shared",
}
_WEIGHTS: dict[plan_pb2.WeightsForm, WeightsForm] = {
    plan_pb2.WEIGHTS_FORM_UNSPECIFIED: "own",
    plan_pb2.WEIGHTS_FORM_SHARED: "shared",
}
MAX_INTERVAL = 1024.0
MIN_FRACTIONAL_BITS, MAX_FRACTIONAL_BITS = 8, 20
_MAX_WIDTH = 1 << 16


def is_secret(plan: plan_pb2.RunPlan) -> bool:
    """Whether more than the product of the first layer is computed on shares."""
    return bool(plan.secret_layers or plan.gradient or plan.weights) or without_server(plan)


def without_server(plan: plan_pb2.RunPlan) -> bool:
    """Whether the parties compute all layers: i = L."""
    return plan.job == plan_pb2.JOB_KIND_SPLIT_NN and not plan.network.widths


def first_width(plan: plan_pb2.RunPlan) -> int:
    """w_1, of the first layer."""
    if plan.secret_layers:
        return plan.secret_layers[0].width
    return plan.network.outputs if without_server(plan) else plan.network.widths[0]


def secret_spec(plan: plan_pb2.RunPlan, columns: int) -> SecretSpec:
    """The layers on shares of a plan that `is_secret`.

    Args:
      columns: encoded columns of all parties.

    Raises:
      WireError: what no coordinator of this version sends; SettingsError: a learning rate, momentum, optimizer or
        interval that cannot be had on shares.
    """
    layers = tuple(_layer(message, number) for number, message in enumerate(plan.secret_layers, 1))
    if plan.gradient not in _GRADIENTS or plan.weights not in _WEIGHTS:
        raise WireError(
            f"the plan asks for gradient {plan.gradient} and weights {plan.weights}; run one version everywhere"
        )
    gradient, weights = _GRADIENTS[plan.gradient], _WEIGHTS[plan.weights]
    headless = without_server(plan)
    if plan.protocol != plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER or plan.ring.ring_bits != 64:
        raise WireError("layers on shares take protocol beaver in a ring of 64 bits; this plan says otherwise")
    if plan.micro_batches != 1:
        raise WireError(
            f"layers on shares take a step in one piece; this plan asks for {plan.micro_batches} micro-batches"
        )
    if headless and gradient != "shared":
        raise WireError("without a neutral server there is nobody to open a gradient; the plan must share it")
    check_fractional_bits(plan.ring.fractional_bits)
    if headless != (plan.head_interval > 0):
        raise WireError(
            "the plan gives an interval for the label head exactly where there is no neutral server; this one does not"
        )
    for number, layer in enumerate(layers, 1):
        if layer.approximates:
            check_cubic(layer.approximates, layer.interval, plan.ring.fractional_bits, f"secret layer {number}")
    head_interval = _interval(plan.head_interval, "the label head") if headless else 1.0
    if headless:
        check_cubic("sigmoid", head_interval, plan.ring.fractional_bits, "the label head")
    moves = bool(layers) or weights == "shared" or headless
    return SecretSpec(
        columns=columns,
        layers=layers,
        cut_width=plan.network.outputs if headless else plan.network.widths[0],
        gradient=gradient,
        weights=weights,
        fractional_bits=plan.ring.fractional_bits,
        gradient_shift=gradient_shift(plan.batch_rows),
        step_size=_step_size(plan) if moves else StepSize(1, 0),
        momentum=_momentum(plan.network.optimizer) if moves else None,
        head=_head(plan.network.loss) if headless else "",
        head_interval=head_interval,
        cut_interval=_interval(plan.protection.cut_interval, "the cut") if plan.protection.cut_interval else 0.0,
    )


def protection_objection(plan: plan_pb2.RunPlan, protection: ProtectionSpec) -> str | None:
    """Why a plan that `is_secret` cannot keep to these mitigations; None where it can."""
    if without_server(plan) and (plan.HasField("defender") or plan.HasField("protection")):
        return "without a neutral server nothing in the clear is left to protect; remove [defender] and [protection]"
    if (protection.row_norm > 0 or protection.weight_norm > 0) and (
        plan.secret_layers or plan.weights == plan_pb2.WEIGHTS_FORM_SHARED
    ):
        return (
            "nobody knows the weights before the cut, so that row_norm and weight_norm do not bound z there; remove them, and say "
            "cut_interval, which is proved on shares"
        )
    if protection.freeze_first_layer_after is not None:
        return (
            "freeze_first_layer_after is for weights in the clear and an open gradient; remove it, or what is on shares"
        )
    return None


def gradient_shift(batch_rows: int) -> int:
    """s: 2^s is the batch or up to twice as many, so that 2^s times a mean over its rows has each row's own bits."""
    return math.ceil(math.log2(batch_rows)) if batch_rows > 1 else 0


def check_fractional_bits(bits: int) -> None:
    """Raises:
    WireError: no room is left for what has two factors and a coefficient.
    """
    if not MIN_FRACTIONAL_BITS <= bits <= MAX_FRACTIONAL_BITS:
        raise WireError(
            f"layers on shares take {MIN_FRACTIONAL_BITS} to {MAX_FRACTIONAL_BITS} fractional bits; this plan has {bits}"
        )


def _head(loss: str) -> Literal["binary", "multiclass"]:
    if loss == "binary":
        return "binary"
    if loss == "multiclass":
        return "multiclass"
    raise WireError(f"the gradient of loss {loss!r} cannot be computed on shares; binary and multiclass can")


def _step_size(plan: plan_pb2.RunPlan) -> StepSize:
    rate, step = plan.network.optimizer.learning_rate, 2.0**-plan.ring.fractional_bits
    if 0 < rate < step:
        raise SettingsError(
            f"learning_rate = {rate:g} is below the step of fixed point on shares, 2^-{plan.ring.fractional_bits} = {step:.3g}: "
            "weights would hardly move; raise it, or fractional_bits"
        )
    return StepSize.of(rate, "learning_rate")


def _momentum(optimizer: plan_pb2.OptimizerPlan) -> StepSize | None:
    if optimizer.name not in ("sgd", "momentum"):
        raise SettingsError(
            f"optimizer {optimizer.name} cannot be had for weights on shares, where only sums and fixed multiples are; use sgd or momentum"
        )
    if optimizer.name == "sgd" or optimizer.momentum == 0:
        return None
    momentum = StepSize.of(optimizer.momentum, "momentum")
    return StepSize(momentum.multiplier << max(0, 1 - momentum.exponent), max(1, momentum.exponent))


def _layer(message: plan_pb2.SecretLayer, number: int) -> SecretLayer:
    if message.activation not in _ACTIVATIONS:
        raise WireError(
            f"secret layer {number} names no activation that shares can compute; run one version everywhere"
        )
    if not 1 <= message.width <= _MAX_WIDTH:
        raise WireError(f"secret layer {number} is {message.width} wide; 1 to {_MAX_WIDTH} can be built")
    activation, approximated = _ACTIVATIONS[message.activation]
    return SecretLayer(
        message.width, activation, _interval(message.interval, f"secret layer {number}"), approximated or ""
    )


def _interval(value: float, what: str) -> float:
    if not 1 <= value <= MAX_INTERVAL or math.frexp(value)[0] != 0.5:
        raise WireError(
            f"{what} has interval {value:g}; a power of two from 1 to {MAX_INTERVAL:g} can be proved on shares"
        )
    return value
