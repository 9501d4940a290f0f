"""All weights of a network in one place, by who holds them when it is split."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import SettingsError
from kernel.initialisation import check_network, initial_stack
from kernel.network import NetworkSpec
from kernel.optimizers import check_state
from kernel.secret.spec import SecretSpec

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class NetworkParts:
    """The weights at one step.

    ``stack`` has the neutral server's names (``kernel.initialisation.initial_stack``): ``bias_0``
    float32[widths[0]], then ``kernel_k`` float32[widths[k-1], widths[k]] and ``bias_k`` float32[widths[k]]
    for k = 1 ... len(widths) - 1. Further names in it (a ``HiddenStack`` state's ``step`` and slots) are
    ignored: training starts with fresh slots. Without a neutral server it is empty.

    ``secret`` has what nobody holds but as shares (`secret_shapes`), layers counted from 1: ``bias_1``
    float32[w_1], ``weights_2`` float32[w_1, w_2], ``bias_2`` … ``weights_i``, which leads to the cut. Without
    a neutral server it ends with ``bias_i``, and there is no head besides.
    """

    first_layer: Floats
    """Theta_1, [columns, w_1]: the rows of all parties in the order of the pooled columns."""
    stack: Mapping[str, NDArray[Any]]
    head_weights: Floats | None
    """[widths[-1], outputs]"""
    head_bias: Floats | None
    """[outputs]"""
    secret: Mapping[str, Floats] = field(default_factory=dict)


def secret_shapes(secret: SecretSpec | None) -> dict[str, tuple[int, ...]]:
    """Of `NetworkParts.secret`, in the order of the layers; nothing where a plan has none."""
    if secret is None:
        return {}
    shapes: dict[str, tuple[int, ...]] = {}
    for number, width in enumerate(secret.widths[1:], 1):
        if number > 1:
            shapes[f"weights_{number}"] = (secret.widths[number - 1], width)
        if secret.has_bias(number):
            shapes[f"bias_{number}"] = (width,)
    return shapes


def check_parts(spec: NetworkSpec, secret: SecretSpec | None, parts: NetworkParts, columns: int) -> None:
    """Whether the weights fit the network and the rows.

    Raises:
      SettingsError: the network cannot be built, or what is on shares is not of this network.
      BadInputError: an array is missing or of another shape.
    """
    if secret is not None and (secret.columns, secret.cut_width) != (columns, _cut_width(spec)):
        raise SettingsError(
            f"layers on shares lead from {secret.columns} columns to {secret.cut_width} outputs, the network from {columns} "
            f"to {_cut_width(spec)}; give both from one plan"
        )
    if spec.widths or secret is None:
        check_network(spec)
    first_width = secret.widths[1] if secret is not None else spec.widths[0]
    wanted: dict[str, tuple[int, ...]] = {"first layer": (columns, first_width)}
    found: dict[str, NDArray[Any]] = {"first layer": parts.first_layer}
    wanted |= secret_shapes(secret)
    found |= parts.secret
    if spec.widths:
        wanted |= {"head": (spec.widths[-1], spec.outputs), "head bias": (spec.outputs,)}
        shapes = {name: value.shape for name, value in initial_stack(spec).items()}
        check_state({name: parts.stack[name] for name in shapes if name in parts.stack}, shapes, "hidden stack")
    found |= {} if parts.head_weights is None else {"head": parts.head_weights}
    found |= {} if parts.head_bias is None else {"head bias": parts.head_bias}
    check_state(found, wanted, "plain network")


def in_layer_order(spec: NetworkSpec, parts: NetworkParts) -> list[NDArray[Any]]:
    """The arrays as Keras lists them: the kernel and the bias of each layer, from the rows on."""
    arrays: list[NDArray[Any]] = [parts.first_layer, *parts.secret.values()]
    if spec.widths:
        arrays += [parts.stack[name] for name in initial_stack(spec)]
    return arrays + [value for value in (parts.head_weights, parts.head_bias) if value is not None]


def from_layer_order(spec: NetworkSpec, secret: SecretSpec | None, arrays: list[Floats]) -> NetworkParts:
    """The inverse of `in_layer_order`."""
    named = dict(zip(secret_shapes(secret), arrays[1:], strict=False))
    rest = arrays[1 + len(named) :]
    if not spec.widths:
        return NetworkParts(arrays[0], {}, None, None, named)
    *stack, kernel, bias = rest
    return NetworkParts(arrays[0], dict(zip(initial_stack(spec), stack, strict=True)), kernel, bias, named)


def _cut_width(spec: NetworkSpec) -> int:
    return spec.widths[0] if spec.widths else spec.outputs
