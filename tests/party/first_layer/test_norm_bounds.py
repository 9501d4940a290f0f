"""party.first_layer.norm_bounds: the bounds are bounds, of what is computed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.errors import BadInputError, SettingsError
from kernel.fixed_point import FixedPoint
from party.first_layer.norm_bounds import NormBounds

seeds = st.integers(0, 2**32 - 1)


def length(rows):
    return np.linalg.norm(rows.astype(np.float64), axis=-1)


def spectral(weights):
    return np.linalg.svd(weights.astype(np.float64), compute_uv=False).max()


def test_rows_by_hand():
    """3-4-5: a row of length 5 is halved at R = 2.5, one of length 1 stays to the bit, zeros stay zeros."""
    rows = np.array([[3, 4], [0.6, 0.8], [0, 0]], np.float32)
    clipped = NormBounds(2.5, 1.0).clip(rows.copy())
    assert clipped[0] == pytest.approx([1.5, 2.0], rel=1e-6)
    assert np.array_equal(clipped[1:], rows[1:])


@given(seeds, st.floats(0.01, 100), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_no_row_is_longer_than_the_bound(seed, bound, columns):
    rows = (10 * bound * np.random.default_rng(seed).standard_normal((50, columns))).astype(np.float32)
    clipped = NormBounds(bound, 1.0).clip(rows.copy())
    assert length(clipped).max() <= bound
    long = length(rows) > bound
    assert length(clipped)[long] == pytest.approx(bound, rel=1e-5)
    cosine = (clipped.astype(np.float64) * rows).sum(axis=1) / length(clipped) / length(rows)
    assert cosine == pytest.approx(1.0, abs=1e-6)


def test_weights_by_hand():
    """diag(3, 1, 0.5) at S = 2 is diag(2, 1, 0.5), in any pair of bases."""
    generator = np.random.default_rng(5)
    left, right = (np.linalg.qr(generator.standard_normal((3, 3)))[0] for _ in range(2))
    weights = (left @ np.diag([3, 1, 0.5]) @ right).astype(np.float32)
    NormBounds(1.0, 2.0).project(weights)
    assert weights == pytest.approx(left @ np.diag([2, 1, 0.5]) @ right, abs=1e-6)


@given(
    seeds, st.sampled_from([(1, 1), (20, 3), (3, 20), (40, 40), (200, 8)]), st.floats(1e-3, 1e3), st.floats(0.01, 1e6)
)
@settings(max_examples=80, deadline=None)
def test_no_weights_are_beyond_the_bound(seed, shape, bound, times):
    """Also where one singular value is a million times the bound."""
    generator = np.random.default_rng(seed)
    weights = (generator.standard_normal(shape) * bound / np.sqrt(max(shape))).astype(np.float32)
    weights[0] *= np.float32(times)
    before, largest = weights.copy(), spectral(weights)
    NormBounds(1.0, bound).project(weights)
    assert spectral(weights) <= bound
    if largest <= bound * (1 - 1e-5):
        assert np.array_equal(weights, before)
    else:
        assert spectral(weights) == pytest.approx(bound, rel=1e-5)
        u, values, v = np.linalg.svd(before.astype(np.float64), full_matrices=False)
        nearest = (u * np.minimum(values, bound)) @ v
        assert weights == pytest.approx(nearest, abs=2e-5 * bound)


def test_weights_that_are_not_finite_are_refused():
    with pytest.raises(BadInputError, match="diverged"):
        NormBounds(1.0, 1.0).project(np.array([[np.nan, 1]], np.float32))


@pytest.mark.parametrize(("columns", "width"), [(28, 8), (600, 40)])
def test_a_contribution_as_float32_computes_it_is_within_the_product_of_the_bounds(columns, width):
    """Rows along the first singular vector, where the bound is reached."""
    bounds = NormBounds.of(1.5, 2.0, columns, width, None)
    weights = np.random.default_rng(1).standard_normal((columns, width)).astype(np.float32)
    bounds.project(weights)
    rows = bounds.clip(np.linalg.svd(weights)[0].T.astype(np.float32) * 9)
    found = length(rows @ weights)
    assert 2.99 < found.max() <= 3.0


@pytest.mark.parametrize("fractional", [8, 11])
def test_a_contribution_in_the_ring_is_within_the_product_of_the_bounds(fractional):
    """beaver multiplies rounded factors: the rounded ones keep to R and S."""
    ring, columns, width = FixedPoint(32, fractional), 600, 40
    bounds = NormBounds.of(1.5, 2.0, columns, width, ring)
    weights = np.random.default_rng(2).standard_normal((columns, width)).astype(np.float32)
    bounds.project(weights)
    rows = bounds.clip(np.linalg.svd(weights)[0].T.astype(np.float32) * 9)
    coded_rows, coded_weights = (ring.decode(ring.encode(one.astype(np.float64), "x")) for one in (rows, weights))
    assert length(coded_rows).max() <= 1.5
    assert spectral(coded_weights) <= 2.0
    assert length(coded_rows @ coded_weights).max() <= 3.0


def test_bounds_that_rounding_eats_are_refused():
    with pytest.raises(SettingsError, match="raise them or fractional_bits"):
        NormBounds.of(0.01, 1.0, 600, 40, FixedPoint(32, 6))
