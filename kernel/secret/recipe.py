"""The correlated randomness of one step, from the layers alone: party and dealer must list the same, in the same order.

Names, with l from 1: V{l} masks the weights of layer l, R{l} its activation, W{l} the gradient at its output. T{l}, P{l}, H{l}, D{l}, G{l}
are truncations: of z_l, of z_l^2, of the activation, of the gradient at the activation, of that at z_l. Q{l} proves z_l's range; of z_i,
which is not truncated, it is the mask as well.
N{l}, NB{l} truncate what moves weights and bias, M{l}, MB{l} what momentum keeps of the last move. C, X and B are products of masks.
"""

import math

from kernel.secret.correlations import ROWS_MASK, Item, Recipe
from kernel.secret.range_proof import range_items
from kernel.secret.spec import COEFFICIENT_BITS, SecretActivation, SecretSpec
from kernel.secret.truncation import product_items, square_items, truncation_items


def step_recipe(spec: SecretSpec, rows: int, *, training: bool) -> Recipe:
    """Items of a step over ``rows`` rows.

    Raises:
      SettingsError: more than can be dealt, or a truncation that cannot be had.
    """
    items: list[Item] = []
    for number in range(1, spec.depth + 1):
        items += _forward_items(spec, number, rows)
    if training:
        items += _head_items(spec, rows)
        for number in range(spec.depth, 0, -1):
            items += _backward_items(spec, number, rows)
        for number in range(1, spec.depth + 1):
            items += _update_items(spec, number)
    return Recipe(tuple(items))


def activation_shift(activation: SecretActivation, fractional_bits: int) -> int:
    """Bits by which an activation is truncated after its polynomial."""
    return fractional_bits + (COEFFICIENT_BITS if activation == "poly3" else 0)


def range_shift(spec: SecretSpec, interval: float) -> int:
    """Bits that are left of a value's fixed point below the interval, a power of two."""
    return spec.fractional_bits * 2 + round(math.log2(interval))


def _forward_items(spec: SecretSpec, number: int, rows: int) -> list[Item]:
    widths, f = spec.widths, spec.fractional_bits
    inputs = _inputs(number)
    items = [
        Item(f"V{number}", (widths[number - 1], widths[number])),
        Item(f"C{number}", (rows, widths[number]), "rows times", (inputs, f"V{number}")),
    ]
    if number == spec.depth:
        return items + _cut_items(spec, rows)
    layer, shape = spec.layers[number - 1], (rows, widths[number])
    items += _checked_items(spec, number, shape, layer.interval)
    if layer.activation != "identity":
        items += square_items(f"T{number}", shape, f)
        if layer.activation == "poly3":
            items += truncation_items(f"P{number}", shape, f) + product_items(f"T{number}", f, f"P{number}", f, shape)
        items += truncation_items(f"H{number}", shape, activation_shift(layer.activation, f))
    return [*items, Item(f"R{number}", shape)]


def _checked_items(spec: SecretSpec, number: int, shape: tuple[int, int], interval: float) -> list[Item]:
    """Of z_l: one opening for its truncation and for the proof of its range."""
    shift = range_shift(spec, interval)
    return [
        *truncation_items(f"T{number}", shape, spec.fractional_bits, again=shift),
        Item(f"Q{number}.floor", shape, "floor", (f"T{number}",), shift),
        *range_items(f"Q{number}", shape),
    ]


def _cut_items(spec: SecretSpec, rows: int) -> list[Item]:
    """Of z_i that goes to a neutral server: a proof of its range where the plan wants one, without a truncation of its own."""
    if not spec.cut_interval:
        return []
    name, shape = f"Q{spec.depth}", (rows, spec.cut_width)
    return [*truncation_items(name, shape, range_shift(spec, spec.cut_interval)), *range_items(name, shape)]


def _head_items(spec: SecretSpec, rows: int) -> list[Item]:
    """Without a neutral server: the loss's gradient at the head's output, by a cubic in the place of its sigmoid."""
    if not spec.head:
        return []
    number, f = spec.depth, spec.fractional_bits
    shape = (rows, spec.cut_width)
    return [
        *_checked_items(spec, number, shape, spec.head_interval),
        *square_items(f"T{number}", shape, f),
        *truncation_items(f"P{number}", shape, f),
        *product_items(f"T{number}", f, f"P{number}", f, shape),
        *truncation_items(f"G{number}", shape, activation_shift("poly3", f)),
    ]


def _backward_items(spec: SecretSpec, number: int, rows: int) -> list[Item]:
    widths, f = spec.widths, spec.fractional_bits
    shape, items = (rows, widths[number]), []
    if number < spec.depth:
        activation, shift = spec.layers[number - 1].activation, f + spec.spare_bits(rows)
        items += truncation_items(f"D{number}", shape, shift)
        if activation != "identity":
            items += product_items(f"D{number}", shift, f"T{number}", f, shape)
            if activation == "poly3":
                items += product_items(f"D{number}", shift, f"P{number}", f, shape)
            items += truncation_items(f"G{number}", shape, activation_shift(activation, f))
    if number == spec.depth and spec.gradient == "open":
        return items
    items += [
        Item(f"W{number}", shape),
        Item(f"X{number}", (widths[number - 1], widths[number]), "transposed times", (_inputs(number), f"W{number}")),
    ]
    if number > 1:
        items.append(Item(f"B{number}", (rows, widths[number - 1]), "times transposed", (f"W{number}", f"V{number}")))
    return items


def _update_items(spec: SecretSpec, number: int) -> list[Item]:
    items: list[Item] = []
    shape = (spec.widths[number - 1], spec.widths[number])
    moved = spec.gradient_shift + spec.step_size.exponent
    if spec.weights_shared(number):
        items += truncation_items(f"N{number}", shape, spec.fractional_bits + moved)
        if spec.momentum is not None:
            items += truncation_items(f"M{number}", shape, spec.momentum.exponent)
    if spec.has_bias(number):
        items += truncation_items(f"NB{number}", (1, shape[1]), moved)
        if spec.momentum is not None:
            items += truncation_items(f"MB{number}", (1, shape[1]), spec.momentum.exponent)
    return items


def _inputs(number: int) -> str:
    """The mask of layer ``number``'s input."""
    return ROWS_MASK if number == 1 else f"R{number - 1}"
