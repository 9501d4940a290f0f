"""kernel.secret.polynomials: least squares by its normal equations, hand-worked cubics, and what rounding leaves."""

import numpy as np
import pytest

from kernel.errors import SettingsError
from kernel.secret.polynomials import check_cubic, coefficients, cubic, evaluate, largest_error
from kernel.secret.spec import COEFFICIENT_BITS, SecretLayer

UNIT = 2.0**-COEFFICIENT_BITS
INTERVALS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


def on_points(approximated, interval):
    points = np.linspace(-interval, interval, 20_001)
    return points, 1 / (1 + np.exp(-points)) if approximated == "sigmoid" else np.maximum(points, 0)


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("approximated", ["sigmoid", "relu"])
def test_the_cubic_is_the_rounded_least_squares_one(approximated, interval):
    """The residual of the optimum is orthogonal to 1, z, z^2, z^3; the cubic is that optimum, each coefficient to the nearest 2^-16."""
    points, values = on_points(approximated, interval)
    powers = (points / interval)[:, np.newaxis] ** np.arange(
        4
    )  # of z / interval: the normal equations keep their digits
    optimum = np.linalg.solve(powers.T @ powers, powers.T @ values)
    assert np.abs(powers.T @ (values - powers @ optimum)).max() / len(points) < 1e-12 * interval
    found = np.array(cubic(approximated, interval))
    assert np.abs(found - optimum / interval ** np.arange(4)).max() <= UNIT / 2 + 1e-9
    assert np.array_equal(found / UNIT, np.rint(found / UNIT))


@pytest.mark.parametrize("interval", INTERVALS)
def test_relu_by_hand(interval):
    """z / 2 + |z| / 2, and the best parabola for |z| is 3 I / 16 + 15 z^2 / (16 I) (Legendre: a_0 = I / 2, a_2 = 5 I / 8).

    That minimises the integral; a sum over 20,001 points gives each end half a point too much. An end's leverage is 16 / 20,001
    (1 + 3 + 5 + 7), its residual I / 16: the polynomial moves by less than 10^-4 I.
    """
    wanted = np.array([3 * interval / 32, 0.5, 15 / (32 * interval), 0.0])
    moved = np.abs(np.array(cubic("relu", interval)) - wanted) * interval ** np.arange(4)
    assert np.all(moved <= 1e-4 * interval + UNIT / 2 * interval ** np.arange(4))


@pytest.mark.parametrize("interval", INTERVALS)
def test_a_sigmoid_is_odd_around_a_half(interval):
    c0, c1, c2, c3 = cubic("sigmoid", interval)
    assert (c0, c2) == (0.5, 0.0)
    assert c1 > 0 > c3


def test_identity_and_square_by_hand():
    z = np.array([-1.5, 0.0, 3.0])
    assert evaluate(coefficients(SecretLayer(4, "identity", 8.0)), z).tolist() == [-1.5, 0.0, 3.0]
    assert evaluate(coefficients(SecretLayer(4, "square", 8.0)), z).tolist() == [2.25, 0.0, 9.0]
    assert coefficients(SecretLayer(4, "poly3", 8.0, "relu")) == cubic("relu", 8.0)


def test_evaluate_by_hand():
    assert evaluate((1.0, -2.0, 0.5, 0.25), np.array([2.0, -1.0])).tolist() == [1.0, 3.25]


@pytest.mark.parametrize(
    ("approximated", "interval", "wanted"),
    [
        ("sigmoid", 2.0, 0.00436),
        ("sigmoid", 4.0, 0.03841),
        ("sigmoid", 8.0, 0.11124),
        ("sigmoid", 16.0, 0.21810),
        ("sigmoid", 32.0, 0.32306),
        ("relu", 1.0, 0.09375),
        ("relu", 8.0, 0.75003),
        ("relu", 32.0, 3.00015),
    ],
)
def test_largest_error(approximated, interval, wanted):
    """A ReLU's is 3 I / 32, at 0."""
    points, values = on_points(approximated, interval)
    error = largest_error(approximated, interval)
    assert error == pytest.approx(wanted, abs=5e-6)
    assert error == pytest.approx(np.abs(values - evaluate(cubic(approximated, interval), points)).max(), abs=1e-12)


@pytest.mark.parametrize(
    ("approximated", "interval", "fractional_bits"),
    [("sigmoid", 32.0, 20), ("sigmoid", 8.0, 18), ("relu", 256.0, 18), ("relu", 16.0, 20), ("relu", 1024.0, 16)],
)
def test_cubics_that_shares_can_compute(approximated, interval, fractional_bits):
    """Nowhere up to twice the interval does the cubic, with 2 f + 16 fractional bits, leave |x| < 2^62."""
    check_cubic(approximated, interval, fractional_bits, "secret layer 1")
    z = np.linspace(-2 * interval, 2 * interval, 4001)
    assert (
        np.abs(evaluate(cubic(approximated, interval), z)).max() * 2.0 ** (2 * fractional_bits + COEFFICIENT_BITS)
        < 2.0**62
    )


@pytest.mark.parametrize(
    ("approximated", "interval", "fractional_bits", "sentence"),
    [
        ("sigmoid", 64.0, 18, "secret layer 2 has interval 64, on which no cubic .* use at most 32"),
        ("relu", 512.0, 18, r"at twice that the cubic of relu is 1520, and 18 fractional bits leave it less than 1024"),
        ("relu", 32.0, 20, r"is 95, and 20 fractional bits leave it less than 64; use a smaller interval or fewer"),
    ],
)
def test_cubics_that_shares_cannot_compute(approximated, interval, fractional_bits, sentence):
    with pytest.raises(SettingsError, match=sentence):
        check_cubic(approximated, interval, fractional_bits, "secret layer 2")


def test_why_a_wide_sigmoid_is_refused():
    assert cubic("sigmoid", 64.0)[3] == 0
    assert largest_error("sigmoid", 64.0) > 0.9
    assert largest_error("sigmoid", 1024.0) > 0.9
