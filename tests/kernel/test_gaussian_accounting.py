"""kernel.gaussian_accounting against integrals of the two densities, published values and closed forms."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from kernel.errors import BadInputError
from kernel.gaussian_accounting import gaussian_delta, gaussian_epsilon, local_privacy


@pytest.mark.parametrize(("mu", "epsilon"), [(0.1, 0.2), (1.0, 0.0), (1.0, 3.0), (2.0, 8.0), (5.0, 20.0)])
def test_delta_is_the_hockey_stick_divergence(mu, epsilon):
    """The definition: the integral of max(0, N(mu, 1) - e^epsilon N(0, 1)), over where it is positive."""
    start = epsilon / mu + mu / 2
    by_definition, _ = quad(
        lambda x: norm.pdf(x, mu) - math.exp(epsilon) * norm.pdf(x),
        start,
        start + 40,
        epsabs=0,
        epsrel=1e-10,
        limit=200,
    )
    assert gaussian_delta(mu, epsilon) == pytest.approx(by_definition, rel=1e-7)


@pytest.mark.parametrize(
    ("mu", "exact"), [(2.0, 9.997256143004397), (8 * math.sqrt(30), 1145.924009381453)], ids=["once", "30 times"]
)
def test_epsilon_to_sixty_digits(mu, exact):
    """The root of delta(epsilon) = 1e-5 in mpmath with 60 digits. For mu = 2 dp-accounting 0.6 (PLD, replace one) says 9.997256150."""
    found = gaussian_epsilon(mu, 1e-5)
    assert exact <= found <= exact * (1 + 2e-9)


@pytest.mark.parametrize("mu", [0.01, 0.5, 3.0, 50.0, 1000.0])
@pytest.mark.parametrize("delta", [1e-12, 1e-5, 0.1])
def test_epsilon_is_the_least_and_never_below_the_truth(mu, delta):
    epsilon = gaussian_epsilon(mu, delta)
    assert gaussian_delta(mu, epsilon) <= delta
    if epsilon > 0:
        assert gaussian_delta(mu, epsilon * (1 - 1e-6)) > delta


def test_far_tails_agree_with_scipy():
    """Where erfc has no digits left: ln Phi by the series. delta of 1e-300 needs it."""
    mu, epsilon = 1.0, 36.0
    logarithms = norm.logcdf([mu / 2 - epsilon / mu, -mu / 2 - epsilon / mu]) + np.array([0.0, epsilon])
    expected = math.exp(logarithms[0]) * -math.expm1(logarithms[1] - logarithms[0])
    assert gaussian_delta(mu, epsilon) == pytest.approx(expected, rel=1e-9)


def test_releases_compose_as_one_with_less_noise():
    """k releases at noise s are one at s / sqrt(k); a quarter of the bound is four times the noise."""
    four = local_privacy(2.0, 1.0, releases=4)
    assert four.epsilon == pytest.approx(local_privacy(1.0, 1.0, releases=1).epsilon, rel=1e-8)
    assert four.epsilon == pytest.approx(local_privacy(0.25, 0.25, releases=1).epsilon, rel=1e-8)
    assert (four.relation, four.noise, four.releases, four.delta) == ("replace one row", 2.0, 4, 1e-5)


def test_a_rows_replacement_moves_it_by_twice_the_bound():
    """noise 1, reach 1 is mu = 2."""
    assert local_privacy(1.0, 1.0, releases=1).epsilon == gaussian_epsilon(2.0, 1e-5)


def test_nothing_released_apart_costs_nothing():
    assert gaussian_epsilon(0.0, 1e-5) == 0.0
    assert gaussian_epsilon(1e-6, 1e-5) == 0.0


@pytest.mark.parametrize(
    ("noise", "reach", "releases", "delta"),
    [
        (0.0, 1.0, 1, 1e-5),
        (math.nan, 1.0, 1, 1e-5),
        (1.0, -1.0, 1, 1e-5),
        (1.0, math.inf, 1, 1e-5),
        (1.0, 1.0, 0, 1e-5),
        (1.0, 1.0, 1, 0.0),
        (1.0, 1.0, 1, 1.0),
    ],
)
def test_a_guarantee_that_makes_no_sense_is_refused(noise, reach, releases, delta):
    with pytest.raises(BadInputError):
        local_privacy(noise, reach, releases, delta)
