"""kernel.gaussian_noise: normal, independent, never drawn twice. The key is fixed, so a test passes always or never."""

import numpy as np
import pytest
from scipy.stats import chisquare, kstest, norm

from kernel.gaussian_noise import GaussianNoise
from kernel.randomness import SecretKey, SecureRandomness

FAILURE = 1e-6
"""How often each test below may fail for truly normal numbers, over keys."""


class FixedKey(SecureRandomness):
    """The same key every time: for tests of statistics only."""

    def key(self):
        return SecretKey(bytes(range(32)))


@pytest.fixture
def noise():
    return GaussianNoise(FixedKey())


def test_normals_are_normal(noise):
    """Kolmogorov-Smirnov on 400,000, and χ² over 200 equally likely cells that give tails their weight."""
    found = noise.draw((400, 1000)).ravel()
    assert kstest(found, "norm").pvalue > FAILURE
    cells = np.bincount(np.minimum((norm.cdf(found) * 200).astype(int), 199), minlength=200)
    assert chisquare(cells).pvalue > FAILURE


def test_tails_are_as_heavy_as_a_normals(noise):
    """Beyond 4 deviations, of 2 million: 126.7 expected; outside 75 to 189 with probability below 1e-6 (Poisson)."""
    assert 75 <= int((np.abs(noise.draw((2_000_000,))) > 4).sum()) <= 189


def test_both_numbers_of_a_pair_are_independent(noise):
    """Correlations of values, of magnitudes and of neighbours, some 3,000 pairs of one piece: |r| sqrt(n) < 4.9 each
    with probability 1 - 1e-6."""
    first, second = np.split(noise._normals(4096), 2)
    assert 3000 < len(first) < 3400
    for one, other in ((first, second), (np.abs(first), np.abs(second)), (first[1:], first[:-1])):
        assert abs(np.corrcoef(one, other)[0, 1]) * np.sqrt(len(one)) < 4.9


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 5), (1 << 14,), ((1 << 14) + 1,), (7, 0)])
def test_every_shape_is_filled(noise, shape):
    found = noise.draw(shape)
    assert found.shape == shape
    assert found.dtype == np.float64
    assert np.isfinite(found).all()
    assert len(np.unique(found)) == found.size


def test_a_deviation_scales():
    one, half = (GaussianNoise(FixedKey(), deviation).draw((50, 3)) for deviation in (1.0, 0.5))
    assert np.array_equal(half, 0.5 * one)


def test_no_number_is_given_twice(noise):
    one, two = noise.draw((40_000,)), noise.draw((40_000,))
    assert len(np.unique(np.concatenate([one, two]))) == 80_000


def test_two_sources_have_nothing_in_common():
    """The key is the operating system's: by default nothing repeats."""
    one, two = (GaussianNoise(SecureRandomness()).draw((1000,)) for _ in range(2))
    assert not np.isin(one, two).any()
