"""Least-squares polynomials of degree 3 in the place of sigmoid and ReLU, as shares can compute them.

p minimises the integral of (g - p)^2 over [-interval, interval] (numerically, on 20,001 evenly spaced points), and its
coefficients are then rounded to `COEFFICIENT_BITS`: that rounded polynomial is the activation, at the parties and in the plain
network it is compared with. SecureML (Mohassel & Zhang 2017) uses piecewise lines, P2N2 (2020) and Chen et al. (2018) polynomials.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from kernel.errors import SettingsError
from kernel.secret.spec import COEFFICIENT_BITS, Approximated, SecretLayer
from kernel.secret.truncation import OFFSET_BITS

LARGEST_SIGMOID_INTERVAL = 32.0
"""Beyond, the coefficient of z^3 rounds to nothing and the polynomial is off by 0.9."""
_POINTS = 20_001
Coefficients = tuple[float, float, float, float]


@cache
def cubic(approximated: Approximated, interval: float) -> Coefficients:
    """c_0 ... c_3 of p(z) = c_0 + c_1 z + c_2 z^2 + c_3 z^3, multiples of 2^-COEFFICIENT_BITS."""
    points = np.linspace(-interval, interval, _POINTS)
    values = _exact(approximated, points)
    fitted = np.asarray(np.polynomial.Polynomial.fit(points, values, 3).convert().coef, np.float64)
    unit = 2.0**-COEFFICIENT_BITS
    c0, c1, c2, c3 = (float(np.rint(value / unit)) * unit for value in fitted)
    return c0, c1, c2, c3


def coefficients(layer: SecretLayer) -> Coefficients:
    """Of any secret activation as a polynomial."""
    if layer.activation == "identity":
        return 0.0, 1.0, 0.0, 0.0
    if layer.activation == "square" or not layer.approximates:
        return 0.0, 0.0, 1.0, 0.0
    return cubic(layer.approximates, layer.interval)


def largest_error(approximated: Approximated, interval: float) -> float:
    """max |g - p| over the interval, on the points p was fitted on."""
    points = np.linspace(-interval, interval, _POINTS)
    values = _exact(approximated, points)
    return float(np.abs(values - evaluate(cubic(approximated, interval), points)).max())


def check_cubic(approximated: Approximated, interval: float, fractional_bits: int, what: str) -> None:
    """Whether the cubic can be had on shares: at all, and without a wrap up to twice the interval, where the proof may still pass.

    Raises:
      SettingsError: it cannot.
    """
    if approximated == "sigmoid" and interval > LARGEST_SIGMOID_INTERVAL:
        raise SettingsError(
            f"{what} has interval {interval:g}, on which no cubic with coefficients of {COEFFICIENT_BITS} bits follows a sigmoid; "
            f"use at most {LARGEST_SIGMOID_INTERVAL:g}, and scale what goes in"
        )
    reach = float(np.abs(evaluate(cubic(approximated, interval), np.array([-2.0, 2.0]) * interval)).max())
    limit = 2.0 ** (OFFSET_BITS - 2 * fractional_bits - COEFFICIENT_BITS)
    if reach >= limit:
        raise SettingsError(
            f"{what} has interval {interval:g}: at twice that the cubic of {approximated} is {reach:.4g}, and {fractional_bits} "
            f"fractional bits leave it less than {limit:g}; use a smaller interval or fewer fractional_bits"
        )


def evaluate(polynomial: Coefficients, z: NDArray[np.float64]) -> NDArray[np.float64]:
    c0, c1, c2, c3 = polynomial
    return np.asarray(((c3 * z + c2) * z + c1) * z + c0)


def _exact(approximated: Approximated, points: NDArray[np.float64]) -> NDArray[np.float64]:
    if approximated == "sigmoid":
        return np.asarray(0.5 + 0.5 * np.tanh(0.5 * points))  # exp of a wide interval's end is infinite
    return np.maximum(points, 0.0)
