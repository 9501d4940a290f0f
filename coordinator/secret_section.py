"""The plan file's [[secret_layers]], and what a plan with more on shares than the first product is held to."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from kernel.errors import BadInputError, SettingsError, WireError
from kernel.plan_message import protection_spec
from kernel.secret.openings import opened_words
from kernel.secret.plan import (
    MAX_FRACTIONAL_BITS,
    MAX_INTERVAL,
    MIN_FRACTIONAL_BITS,
    protection_objection,
    secret_spec,
    without_server,
)
from kernel.secret.recipe import step_recipe
from kernel.secret.spec import APPROXIMATED, SECRET_ACTIVATIONS, Approximated, SecretActivation, SecretSpec
from kernel.settings import Settings
from kernel.wire.channel import MAX_MESSAGE_BYTES
from protos.v1 import plan_pb2

_MESSAGES: dict[tuple[SecretActivation, Approximated | None], plan_pb2.SecretActivation] = {
    ("identity", None): plan_pb2.SECRET_ACTIVATION_IDENTITY,
    ("square", None): plan_pb2.SECRET_ACTIVATION_SQUARE,
    ("poly3", "sigmoid"): plan_pb2.SECRET_ACTIVATION_POLY3_SIGMOID,
    ("poly3", "relu"): plan_pb2.SECRET_ACTIVATION_POLY3_RELU,
}
_OWN = '; or say first_layer.weights = "own": blocks in the clear take any optimizer, and what moves them tells labels'
_WORD_BYTES = 8
_HEADER_BYTES = 4096
"""Room for what stands before a tensor in its message."""


def _computable(value: Any) -> Any:
    if value in SECRET_ACTIVATIONS:
        return value
    choices = f'"{value}"' if value in APPROXIMATED else " or ".join(f'"{one}"' for one in APPROXIMATED)
    raise ValueError(
        f"shares cannot compute {value!r}, only polynomials ({', '.join(SECRET_ACTIVATIONS)}); "
        f'say activation = "poly3" and approximates = {choices}'
    )


def forms_on_shares(plan: Mapping[str, Any]) -> tuple[str, str]:
    """(gradient, weights) of a plan file's document, as they take effect where it does not say.

    Without a neutral server the gradient is shared. Weights are shared with the gradient: a party's own block moves by a sum of
    gradients that tells labels, too.
    """
    first, widths = plan.get("first_layer", {}), plan.get("network", {}).get("widths")
    gradient = "shared" if widths == [] else first.get("gradient", "open")
    return gradient, first.get("weights") or ("shared" if gradient == "shared" else "own")


def provable(value: float) -> float:
    """An interval of the plan file.

    Raises:
      ValueError: no proof on shares can hold a value to it.
    """
    if not 1 <= value <= MAX_INTERVAL or math.frexp(value)[0] != 0.5:
        raise ValueError(f"{value:g} cannot be proved on shares; say a power of two from 1 to {MAX_INTERVAL:g}")
    return value


class SecretLayerPlan(Settings):
    width: int = Field(ge=1, le=65536)
    activation: Annotated[SecretActivation, BeforeValidator(_computable)] = Field(
        description="what shares can compute; poly3 is a cubic fitted to what it approximates"
    )
    approximates: Approximated | None = Field(None, description="poly3 only: fitted by least squares on the interval")
    interval: Annotated[float, AfterValidator(provable)] = Field(
        8.0,
        description="power of two from 1 to 1024: |linear output| stays below it, by a proof on shares, or the run stops",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "SecretLayerPlan":
        if self.approximates is not None and self.activation != "poly3":
            raise ValueError(
                f'approximates is for activation = "poly3", this layer has "{self.activation}"; remove it or say poly3'
            )
        if self.approximates is None and self.activation == "poly3":
            raise ValueError('poly3 needs approximates = "sigmoid" or "relu": what the cubic is fitted to')
        return self

    def message(self) -> plan_pb2.SecretLayer:
        return plan_pb2.SecretLayer(
            width=self.width, activation=_MESSAGES[self.activation, self.approximates], interval=self.interval
        )


def check_secret_plan(plan: plan_pb2.RunPlan) -> None:
    """Hold a plan that `is_secret` to what shares can do, in the words of the plan file.

    Raises:
      ValueError: a sentence that says what to change.
    """
    what = " and ".join(_asked(plan))
    if plan.protocol != plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER:
        raise ValueError(
            f"masked_sum has no shares of the weights to go on with, and the plan has {what}; "
            'say first_layer.protocol = "beaver", or remove that'
        )
    if plan.ring.ring_bits != 64:
        raise ValueError(
            f"{what}: values on shares need a ring of 64 bits, the plan has {plan.ring.ring_bits}; remove ring_bits"
        )
    if not MIN_FRACTIONAL_BITS <= plan.ring.fractional_bits <= MAX_FRACTIONAL_BITS:
        raise ValueError(
            f"{what}: shares take {MIN_FRACTIONAL_BITS} to {MAX_FRACTIONAL_BITS} fractional_bits, the plan has "
            f"{plan.ring.fractional_bits}; remove it for the default"
        )
    if plan.micro_batches != 1:
        raise ValueError(
            f"{what}: a step on shares is taken in one piece, the plan has {plan.micro_batches}; remove micro_batches"
        )
    objection = protection_objection(plan, protection_spec(plan))
    if objection:
        raise ValueError(f"protection: {objection}")
    try:
        check_step_sizes(secret_spec(plan, columns=1), plan.batch_rows)  # again when the columns are known
    except SettingsError as error:
        only_weights = (
            plan.weights == plan_pb2.WEIGHTS_FORM_SHARED and not plan.secret_layers and not without_server(plan)
        )
        raise ValueError(f"{error}{_OWN if only_weights else ''}") from error
    except (WireError, BadInputError) as error:
        raise ValueError(str(error)) from error


def check_step_sizes(spec: SecretSpec, batch_rows: int) -> None:
    """Hold the largest messages of a step, the dealer's correction and an opening, to the limit of one message.

    Raises:
      BadInputError: one is larger.
    """
    correction = step_recipe(spec, batch_rows, training=True).correction_words
    opened = max(opened_words(spec, batch_rows, training=True).words)
    for what, words in (("the dealer's correction of a step", correction), ("an opening of a step", opened)):
        if _WORD_BYTES * words > MAX_MESSAGE_BYTES - _HEADER_BYTES:
            raise BadInputError(
                f"{what} is {_WORD_BYTES * words >> 20} MiB in one message, the limit is {MAX_MESSAGE_BYTES >> 20} MiB; "
                "lower batch_rows or the widths on shares"
            )


def _asked(plan: plan_pb2.RunPlan) -> list[str]:
    """What makes a plan secret, as its author wrote it."""
    return [
        text
        for asked, text in (
            (plan.secret_layers, "secret_layers"),
            (without_server(plan), "widths = []"),
            (plan.gradient and not without_server(plan), 'gradient = "shared"'),
            (plan.weights, 'weights = "shared"'),
        )
        if asked
    ]
