"""A plan with its cut moved: layers 1 ... i - 1 on shares and layer i at the cut, for every i; with i = L there is no neutral server.

What is compared is cost, so every variant has the same layers, batches and optimizer. Mitigations and a defender are left out,
and all rows travel in one piece: not every depth can have them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tomli_w

from coordinator.plan import Plan, parse_plan
from kernel.errors import SettingsError
from kernel.secret.polynomials import LARGEST_SIGMOID_INTERVAL
from kernel.secret.spec import GradientForm, SecretActivation
from kernel.settings import parse_toml

LEARNING_RATE = 2.0**-10
"""Of a plan that names no optimizer for weights on shares: small, so that squares of any table stay in their range for some epochs."""
_SECTIONS: dict[SecretActivation, dict[str, Any]] = {
    "identity": {"activation": "identity", "interval": 1024},
    "square": {"activation": "square", "interval": 1024},
    "poly3": {"activation": "poly3", "approximates": "sigmoid", "interval": LARGEST_SIGMOID_INTERVAL},
}
"""What a layer of the neutral server becomes on shares; intervals as wide as they can be, since cost does not depend on them."""
_HEAD_INTERVAL = LARGEST_SIGMOID_INTERVAL
_LEFT_OUT = ("first_layer", "secret_layers", "protection", "defender", "micro_batches")


@dataclass(frozen=True)
class DepthVariant:
    """One plan. ``depth`` is i; ``reference`` for masked_sum with an open gradient, what the others are held to."""

    depth: int
    gradient: GradientForm
    reference: bool
    text: str
    plan: Plan

    @property
    def name(self) -> str:
        if self.reference:
            return "masked_sum, open"
        form = "no server" if self.plan.serverless else self.gradient
        return f"i = {self.depth}, {form}{', weights shared' if self.plan.weights == 'shared' else ''}"


def depth_variants(
    plan_text: str,
    what: str,
    gradients: Sequence[GradientForm],
    *,
    epochs: int,
    activation: SecretActivation = "square",
) -> list[DepthVariant]:
    """The reference first, then for each form of the gradient i = 1, 2, … over all layers of the plan; a shared one ends with the
    label head on shares as well, where the loss allows it.

    Args:
      what: names the plan in errors; activation: of layers that the plan has at the neutral server and a variant on shares.

    Raises:
      SettingsError: no plan, no form of the gradient, or a plan that some depth cannot have.
    """
    if not gradients or len(set(gradients)) != len(gradients):
        raise SettingsError("name each form of the gradient once: --gradient open --gradient shared")
    plan, document = parse_plan(plan_text, what), parse_toml(plan_text, what)
    base = {key: value for key, value in document.items() if key not in _LEFT_OUT}
    base |= {"epochs": epochs, "barrier_every_epochs": epochs}
    if not plan.secret_layers:
        base["optimizer"] = {"name": "sgd", "learning_rate": LEARNING_RATE}
    layers = _Layers(document, plan, activation)
    found = [_variant(base, layers, 1, "open", what, first_layer={"protocol": "masked_sum"}, reference=True)]
    for gradient in gradients:
        form: dict[str, Any] = {"protocol": "beaver", "gradient": gradient, "weights": plan.weights}
        deepest = layers.count + (gradient == "shared" and plan.network.loss != "regression")
        found += [_variant(base, layers, depth, gradient, what, first_layer=form) for depth in range(1, deepest + 1)]
    return found


class _Layers:
    """All layers of a plan but the label head, whoever computes them there."""

    def __init__(self, document: dict[str, Any], plan: Plan, activation: SecretActivation) -> None:
        own, network = document.get("secret_layers", []), plan.network
        self.count = len(own) + len(network.widths)
        self._network = {key: value for key, value in document["network"].items() if key != "head_interval"}
        self._head = {"head_interval": network.head_interval or _HEAD_INTERVAL}
        self._secret = [
            *own,
            *({"width": width, **_SECTIONS[activation]} for width in network.widths),
        ]
        self._widths = [*(layer.width for layer in plan.secret_layers), *network.widths]
        self._activations = [*("sigmoid" for _ in own), *network.activations]

    def cut_at(self, depth: int) -> dict[str, Any]:
        """The sections of a plan whose cut is layer ``depth``; the label head, where there are no more."""
        above = {"widths": self._widths[depth - 1 :], "activations": self._activations[depth - 1 :]}
        return {
            "secret_layers": self._secret[: depth - 1],
            "network": self._network | above | ({} if above["widths"] else self._head),
        }


def _variant(
    base: dict[str, Any],
    layers: _Layers,
    depth: int,
    gradient: GradientForm,
    what: str,
    *,
    first_layer: dict[str, Any],
    reference: bool = False,
) -> DepthVariant:
    text = tomli_w.dumps({**base, "first_layer": first_layer, **layers.cut_at(depth)})
    try:
        plan = parse_plan(text, what)
    except SettingsError as error:
        raise SettingsError(f"with the cut at layer {depth}: {error}") from error
    return DepthVariant(depth, gradient, reference, text, plan)
