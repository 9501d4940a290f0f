"""party.rows.moments against exact rational arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import RowsError
from party.rows.moments import Moments

ordinary = st.floats(-(2.0**200), 2.0**200, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 2.0**-200)
columns = st.lists(ordinary, min_size=1, max_size=40)


def moments_of(*batches):
    moments = Moments(["x"])
    for batch in batches:
        moments.add([np.asarray(batch)])
    mean, deviation = moments.mean_and_deviation()
    assert mean.dtype == deviation.dtype == np.float64
    return float(mean[0]), float(deviation[0])


def exactly(values):
    """Mean and variance without a rounding."""
    numbers = [Fraction(float(value)) for value in values]
    mean = sum(numbers) / len(numbers)
    return mean, sum((number - mean) ** 2 for number in numbers) / len(numbers)


@given(columns)
def test_mean_and_deviation_are_the_rational_ones_rounded(values):
    mean, variance = exactly(values)
    assert moments_of(values) == (float(mean), math.sqrt(variance) if variance else 1.0)


@given(columns, st.randoms(use_true_random=False), st.integers(0, 40))
def test_neither_order_nor_batches_change_a_bit(values, random, cut):
    shuffled = list(values)
    random.shuffle(shuffled)
    assert moments_of(values) == moments_of(shuffled[:cut], shuffled[cut:])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("offset", [0, 3e6])
def test_many_rows_of_many_columns_agree_with_numpy(dtype, offset):
    drawn = np.random.default_rng(3).normal(offset, 50, size=(9, 30_000)).astype(dtype)
    rows = np.random.default_rng(4).permutation(30_000)[:21_000]
    moments = Moments([str(index) for index in range(9)])
    moments.add(list(drawn), rows)
    mean, deviation = moments.mean_and_deviation()
    chosen = drawn[:, rows].astype(np.longdouble)
    np.testing.assert_allclose(mean, chosen.mean(axis=1).astype(np.float64), rtol=1e-13)
    np.testing.assert_allclose(deviation, chosen.std(axis=1).astype(np.float64), rtol=1e-10)


def test_batches_of_a_long_column_give_the_bits_of_the_whole():
    values = np.random.default_rng(5).lognormal(0, 6, size=50_000)
    order = np.random.default_rng(6).permutation(len(values))
    assert moments_of(values) == moments_of(*np.array_split(values[order], 7))


def test_a_spread_that_rounded_sums_lose_is_kept():
    mean, deviation = moments_of([1e15, 1e15 + 1, 1e15 + 2])
    assert (mean, deviation) == (1e15 + 1, math.sqrt(2 / 3))


@pytest.mark.parametrize("value", [0.0, 0.1, -7.25, 1e-140, 2.0**499])
def test_a_constant_column_has_deviation_one(value):
    assert moments_of(np.full(1000, value))[1] == 1.0


def test_what_is_nearer_to_zero_than_float64_can_square_counts_as_zero():
    assert moments_of([5e-324, 1.0]) == (0.5, 0.5)


@pytest.mark.parametrize("value", [2.0**500, -1e300, math.inf, math.nan])
def test_values_that_cannot_be_squared_are_refused_by_column(value):
    moments = Moments(["dose", "age"])
    with pytest.raises(RowsError, match=r'Column "age" spreads too far for float64; rescale it in the file\.'):
        moments.add([np.ones(2), np.array([1.0, value])])


def test_no_row_has_no_mean():
    moments = Moments(["x"])
    moments.add([np.ones(3)], np.empty(0, np.int64))
    with pytest.raises(RowsError, match="at least one"):
        moments.mean_and_deviation()
