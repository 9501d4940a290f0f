"""party.marvell against a brute-force grid over all four variances, and what the paper says of its optimum."""

import itertools

import numpy as np
import pytest

from kernel.errors import BadInputError
from party.marvell import ClassNoise, optimal_noise, sum_divergence

CASES = [
    # squared distance, u, v, d, p, power
    (1.0, 0.1, 0.3, 4, 0.3, 2.0),
    (1.0, 0.3, 0.1, 4, 0.3, 2.0),
    (1.0, 1e-3, 0.5, 8, 0.01, 10.0),
    (2.0, 0.05, 0.05, 3, 0.5, 1.0),
    (1.0, 1e-3, 0.2, 1, 0.2, 4.0),
    (0.5, 0.01, 2.0, 16, 0.6, 0.3),
]


def spent(dimensions, share, negative, positive):
    return sum(
        weight * (one.along + (dimensions - 1) * one.across)
        for weight, one in ((1 - share, negative), (share, positive))
    )


def grid_optimum(squared, u, v, dimensions, share, power, points=25):
    """Least divergence over a grid of how the power is split, refined around the best: no convexity, no e = v.

    Splits: of the power between the classes (as a logit), and in each class the part that is isotropic.
    """

    def divergence(logits, isotropic_0, isotropic_1):
        to_positive = 1 / (1 + np.exp(-logits))
        totals = power * (1 - to_positive) / (1 - share), power * to_positive / share
        c, e = (total * part / dimensions for total, part in zip(totals, (isotropic_0, isotropic_1), strict=True))
        a, b = (total - (dimensions - 1) * each for total, each in zip(totals, (c, e), strict=True))
        a, c, b, e = a + u, c + u, b + v, e + v
        return (dimensions - 1) * (c / e + e / c - 2) + (a + squared) / b + (b + squared) / a - 2

    centre, reach = np.array([0.0, 0.5, 0.5]), np.array([10.0, 0.5, 0.5])
    for _ in range(12):
        axes = [np.linspace(middle - half, middle + half, points) for middle, half in zip(centre, reach, strict=True)]
        grid = np.meshgrid(axes[0], np.clip(axes[1], 0, 1), np.clip(axes[2], 0, 1), indexing="ij")
        values = divergence(*grid)
        place = np.unravel_index(np.argmin(values), values.shape)
        centre, reach = np.array([axis[place] for axis in grid]), reach / 2
    return float(values.min())


@pytest.mark.parametrize("case", CASES)
def test_no_point_of_a_grid_is_better(case):
    squared, u, v, dimensions, *_ = case
    negative, positive = optimal_noise(*case)
    found, best = sum_divergence(squared, u, v, dimensions, negative, positive), grid_optimum(*case)
    assert found <= best * (1 + 1e-6)
    assert found == pytest.approx(best, rel=1e-4)  # nor is the grid far above it


@pytest.mark.parametrize("case", CASES)
def test_the_power_is_kept_to_and_the_shape_is_the_papers(case):
    _, u, v, dimensions, share, power = case
    negative, positive = optimal_noise(*case)
    assert spent(dimensions, share, negative, positive) <= power * (1 + 1e-6)
    for one in (negative, positive):
        assert one.along >= one.across - 1e-9 >= -1e-9
    wider = positive if v >= u else negative
    assert wider.across == 0


def test_one_dimension_by_hand():
    """d = 1, u = v, p = 1/2: by symmetry a = b = u + P, and the divergence is 2 D^2 / (u + P)."""
    negative, positive = optimal_noise(1.0, 0.25, 0.25, 1, 0.5, 3.75)
    assert negative.along == pytest.approx(3.75, rel=1e-5)
    assert positive.along == pytest.approx(3.75, rel=1e-5)
    assert sum_divergence(1.0, 0.25, 0.25, 1, negative, positive) == pytest.approx(0.5, rel=1e-6)


def test_more_power_hides_more():
    values = [
        sum_divergence(1.0, 0.1, 0.4, 6, *optimal_noise(1.0, 0.1, 0.4, 6, 0.05, power))
        for power in (0.0, 0.1, 1.0, 10.0, 100.0)
    ]
    assert all(after < 0.8 * before for before, after in itertools.pairwise(values))


def test_classes_swap_with_their_numbers():
    one = optimal_noise(1.0, 0.1, 0.4, 6, 0.05, 3.0)
    for found, wanted in zip(optimal_noise(1.0, 0.4, 0.1, 6, 0.95, 3.0), one[::-1], strict=True):
        assert (found.along, found.across) == pytest.approx((wanted.along, wanted.across), rel=1e-9)


def test_nothing_to_hide_or_no_power_is_no_noise():
    silence = (ClassNoise(0, 0), ClassNoise(0, 0))
    assert optimal_noise(0.0, 0.1, 0.2, 3, 0.5, 0.0) == silence
    assert optimal_noise(1.0, 0.1, 0.2, 3, 0.5, 0.0) == silence


@pytest.mark.parametrize("bad", [{"positives": 0.0}, {"positives": 1.0}, {"power": -1.0}, {"power": np.nan}])
def test_numbers_that_make_no_sense_are_refused(bad):
    numbers = {"squared_distance": 1.0, "u": 0.1, "v": 0.1, "dimensions": 2, "positives": 0.5, "power": 1.0}
    with pytest.raises(BadInputError):
        optimal_noise(**{**numbers, **bad})
