"""A mean over seeds and its interval, by hand and against scipy."""

import pytest
from scipy import stats

from coordinator.sweeps.seed_mean import T_975, seed_mean
from kernel.errors import BadInputError


def test_two_values_by_hand():
    # mean 0.8, s = 0.1 * sqrt 2, s / sqrt 2 = 0.1, t = 12.706
    found = seed_mean([0.7, 0.9])
    assert (found.mean, found.n) == (pytest.approx(0.8), 2)
    assert (found.low, found.high) == (pytest.approx(0.8 - 1.2706), pytest.approx(0.8 + 1.2706))


def test_quantiles_are_students():
    assert pytest.approx(stats.t.ppf(0.975, range(1, len(T_975) + 1)), abs=6e-4) == list(T_975)


def test_many_values_are_given_no_less_than_their_own_quantile():
    values = [float(place % 2) for place in range(60)]
    found = seed_mean(values)
    low, high = stats.t.interval(0.95, 59, loc=0.5, scale=stats.sem(values))
    assert found.low <= low < high <= found.high
    assert found.high - found.low == pytest.approx(high - low, rel=0.03)


def test_one_value_has_no_interval():
    assert (seed_mean([0.5]).low, seed_mean([0.5]).high) == (None, None)


def test_no_value_is_a_sentence():
    with pytest.raises(BadInputError, match="no seed was measured"):
        seed_mean([])
