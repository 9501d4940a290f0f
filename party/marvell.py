"""Marvell: the noise that hides two classes of gradients best for its power (Li et al. 2022, arXiv 2102.08504, section 4).

Gradients of the negative and positive class have means g0 and g1, apart by D = |g1 - g0|, and, approximately, isotropic
covariances u I and v I in d dimensions: those the gradients span, which for a head of one output is one. Noise N(0, S0) and N(0, S1) is added so that the symmetrised Kullback-Leibler
divergence between the two noisy classes is least while (1 - p) tr S0 + p tr S1 <= P, with p the share of positives.
The optimum (theorem 3) has S0 and S1 with one component along g1 - g0 and the rest isotropic, so four numbers decide:

    a = u + along_0, b = v + along_1   variances along g1 - g0, noise included
    c = u + across_0, e = v + across_1 variances in each of the d - 1 directions across

    minimise (d-1)(c/e + e/c) + (a + D^2)/b + (b + D^2)/a
    subject to (1-p)(a + (d-1) c) + p (b + (d-1) e) <= P + (1-p) d u + p d v,  a >= c >= u,  b >= e >= v

In the logarithms of a, b, c, e this is a geometric program, so convex. With u <= v an optimum has e = v (more across
the wider class only costs) and c between u and v. What remains are two nested one-dimensional searches over functions
that are convex as partial minima of a convex one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from kernel.errors import BadInputError

_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
_STEPS = 34  # the bracket shrinks by 8e-8; the objective is flat to second order where it ends
_SMALLEST = 1e-12


@dataclass(frozen=True)
class ClassNoise:
    """Variances of the noise of one class: along the difference of the means, and in each direction across."""

    along: float
    across: float


def optimal_noise(
    squared_distance: float, u: float, v: float, dimensions: int, positives: float, power: float
) -> tuple[ClassNoise, ClassNoise]:
    """Noise of the negative and of the positive class.

    Args:
      squared_distance: D^2, of the class means.
      u, v: variance of the negative, positive class in each direction.
      dimensions: d; positives: p, 0 < p < 1; power: P, in the unit of D^2.

    Raises:
      BadInputError: a number outside its range.
    """
    if not (0 < positives < 1 and dimensions >= 1 and min(squared_distance, u, v, power) >= 0 and math.isfinite(power)):
        raise BadInputError(
            f"Marvell was asked for noise with share {positives}, {dimensions} dimensions, power {power}; "
            "the share is between 0 and 1 and nothing is negative"
        )
    if squared_distance == 0 or power == 0:
        return ClassNoise(0.0, 0.0), ClassNoise(0.0, 0.0)
    if u > v:
        positive, negative = optimal_noise(squared_distance, v, u, dimensions, 1.0 - positives, power)
        return negative, positive
    floor = _SMALLEST * squared_distance
    low, high = max(u, floor), max(v, floor)
    program = _Program(squared_distance, low, high, dimensions, positives, power)
    c = math.exp(_minimum(lambda logarithm: program.best_along(math.exp(logarithm))[0], math.log(low), program.most()))
    _, a, b = program.best_along(c)
    return ClassNoise(max(0.0, a - low), max(0.0, c - low)), ClassNoise(max(0.0, b - high), 0.0)


def sum_divergence(
    squared_distance: float, u: float, v: float, dimensions: int, negative: ClassNoise, positive: ClassNoise
) -> float:
    """Symmetrised Kullback-Leibler divergence of the noisy classes (twice it, less the constant 2 d)."""
    a, b, c, e = u + negative.along, v + positive.along, u + negative.across, v + positive.across
    across = (dimensions - 1) * (c / e + e / c - 2.0) if dimensions > 1 else 0.0
    return across + (a + squared_distance) / b + (b + squared_distance) / a - 2.0


@dataclass(frozen=True)
class _Program:
    squared_distance: float
    u: float
    v: float
    dimensions: int
    positives: float
    power: float

    def most(self) -> float:
        """ln of the largest c that power and class allow."""
        if self.dimensions == 1:
            return math.log(self.u)
        spare = self.power / ((1.0 - self.positives) * self.dimensions)  # c lifts a with it
        return math.log(min(self.v, self.u + spare))

    def best_along(self, c: float) -> tuple[float, float, float]:
        """(objective, a, b) for a given c, with e = v."""
        p, q, rest = self.positives, 1.0 - self.positives, self.dimensions - 1
        budget = self.power + q * self.u + p * self.v - q * rest * (c - self.u)  # q a + p b is at most this
        most_b = max(self.v, (budget - q * c) / p)

        def along(b: float) -> tuple[float, float]:
            most_a = max(c, (budget - p * b) / q)
            a = min(max(c, math.sqrt(b * (b + self.squared_distance))), most_a)  # unbounded, the root is the best a
            return (a + self.squared_distance) / b + (b + self.squared_distance) / a, a

        b = math.exp(_minimum(lambda logarithm: along(math.exp(logarithm))[0], math.log(self.v), math.log(most_b)))
        objective, a = along(b)
        return objective + rest * (c / self.v + self.v / c), a, b


def _minimum(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a convex function of one variable is least, by golden section."""
    if not high > low:
        return low
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = function(left), function(right)
    for _ in range(_STEPS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = function(right)
    return 0.5 * (low + high)
