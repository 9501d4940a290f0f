"""What of a network is computed on shares: layers before the cut, the form of the gradient at the cut, who holds first-layer weights.

Layers are counted from the rows. With i = 1 + len(layers) the parties compute layers 1 ... i together (Zheng, Chen et al. 2020,
"the first i layers"): `layers` are 1 ... i - 1, each with bias and activation on shares, and layer i is the cut, whose linear
output z_i goes to the neutral server. Without a server the cut is the label head and its output goes to the label holder alone.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from kernel.errors import SettingsError

SecretActivation = Literal["identity", "square", "poly3"]
Approximated = Literal["sigmoid", "relu"]
GradientForm = Literal["open", "shared"]
WeightsForm = Literal["own", "shared"]
SECRET_ACTIVATIONS: tuple[SecretActivation, ...] = get_args(SecretActivation)
APPROXIMATED: tuple[Approximated, ...] = get_args(Approximated)

COEFFICIENT_BITS = 16
"""Fractional bits of a polynomial's coefficients."""
MAX_MULTIPLIER = 256
MAX_STEP_EXPONENT = 24


@dataclass(frozen=True)
class SecretLayer:
    """One layer whose output nobody sees.

    Attributes:
      interval: |z| up to here is promised, and checked on shares; a power of two. A polynomial is fitted on [-interval, interval].
      approximates: what poly3 is fitted to; empty for the others.
    """

    width: int
    activation: SecretActivation
    interval: float
    approximates: Approximated | Literal[""] = ""


@dataclass(frozen=True)
class StepSize:
    """``multiplier`` / 2^``exponent``: a number that shares can be multiplied by exactly, apart from one truncation."""

    multiplier: int
    exponent: int

    @property
    def value(self) -> float:
        return math.ldexp(self.multiplier, -self.exponent)

    @classmethod
    def of(cls, value: float, what: str) -> "StepSize":
        """The exact step size of ``value``.

        Raises:
          SettingsError: it is none: below 2^-24, or more than 8 significant bits; names the nearest two.
        """
        if not 2.0**-MAX_STEP_EXPONENT <= value < MAX_MULTIPLIER:
            raise SettingsError(
                f"{what} = {value:g} is no step on shares, where it is at least 2^-{MAX_STEP_EXPONENT} = {2.0**-MAX_STEP_EXPONENT:.3g} "
                f"and below {MAX_MULTIPLIER}"
            )
        _, magnitude = math.frexp(value)  # value < 2^magnitude
        shift = min(8 - magnitude, MAX_STEP_EXPONENT)
        scaled = math.ldexp(value, shift)
        if scaled != math.floor(scaled):
            below, above = (math.ldexp(math.floor(scaled) + more, -shift) for more in (0, 1))
            raise SettingsError(
                f"{what} = {value:g} cannot be had on shares, where it is a whole number below {MAX_MULTIPLIER} over a power of two; "
                f"the nearest are {below!r} and {above!r}"
            )
        multiplier, exponent = _reduced(int(scaled), shift)
        if exponent < 0:
            multiplier, exponent = multiplier << -exponent, 0
        return cls(multiplier, exponent)


def _reduced(multiplier: int, exponent: int) -> tuple[int, int]:
    while multiplier % 2 == 0:
        multiplier, exponent = multiplier // 2, exponent - 1
    return multiplier, exponent


@dataclass(frozen=True)
class SecretSpec:
    """All that parties and dealer must agree on to run a step on shares.

    Attributes:
      columns: d_0, encoded columns of all parties; cut_width: of layer i.
      fractional_bits: f of every value on shares; the ring is Z_2^64.
      gradient_shift: s; the gradient at the cut is 2^s dL/dz, so that a mean over a batch keeps its bits.
      step_size, momentum: of weights on shares; momentum None for plain SGD.
      cut_interval: |z_i| is proved to stay below it before it is sent; a power of two, 0 for no proof.
      head: without a neutral server the loss, whose gradient is computed on shares too; else empty.
    """

    columns: int
    layers: tuple[SecretLayer, ...]
    cut_width: int
    gradient: GradientForm
    weights: WeightsForm
    fractional_bits: int
    gradient_shift: int
    step_size: StepSize
    momentum: StepSize | None = None
    head: Literal["", "binary", "multiclass"] = ""
    head_interval: float = 8.0
    cut_interval: float = 0.0

    @property
    def depth(self) -> int:
        """i: layers whose product is computed on shares."""
        return len(self.layers) + 1

    @property
    def widths(self) -> tuple[int, ...]:
        """d_0 ... d_i."""
        return (self.columns, *(layer.width for layer in self.layers), self.cut_width)

    def spare_bits(self, rows: int) -> int:
        """k of a step over ``rows`` rows: 2^(s-k) is as many or up to twice as many; 0 for a whole batch.

        A partial batch's rows have gradients 2^k times as large. Where they are multiplied before a truncation, which has no room
        for that, k bits are left out and put back after it: each row keeps the bits it has in a whole batch.
        """
        return max(0, self.gradient_shift - (rows - 1).bit_length())

    def weights_shared(self, number: int) -> bool:
        """Whether the weights of layer ``number`` (from 1) are shares: those beyond the first always are."""
        return number > 1 or self.weights == "shared"

    def has_bias(self, number: int) -> bool:
        """Whether the bias of layer ``number`` is on shares: the cut's is the neutral server's, where there is one."""
        return number < self.depth or self.head != ""
