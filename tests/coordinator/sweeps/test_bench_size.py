"""The line through sizes, against numpy's own, and which sizes there are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_runs import part, plan_toml

from coordinator.plan import parse_plan
from coordinator.sweeps.size import fit_line, row_counts, total_rows
from kernel.errors import BadInputError

PLAN = parse_plan(
    plan_toml(
        "two-tables",
        [part("ann", "wine", "alcohol"), part("bob", "breast_cancer", "mean radius", label="target")],
    )
)


@given(
    st.lists(st.integers(10, 300_000), min_size=3, max_size=12, unique=True),
    st.integers(0, 2**32 - 1),
    st.floats(1e-7, 1e-3),
)
def test_least_squares_as_numpy_does_it(rows, seed, slope):
    seconds = 0.3 + slope * np.array(rows) + np.random.default_rng(seed).normal(0, 0.01, len(rows))
    fit = fit_line(rows, list(seconds))
    expected_slope, expected_intercept = np.polyfit(rows, seconds, 1)
    assert fit.slope_us_per_row == pytest.approx(expected_slope * 1e6, rel=1e-4, abs=1e-4)
    assert fit.intercept_seconds == pytest.approx(expected_intercept, rel=1e-4, abs=1e-4)
    assert fit.r_squared == pytest.approx(np.corrcoef(rows, seconds)[0, 1] ** 2, abs=1e-6)


def test_a_line_by_hand():
    fit = fit_line([1_000_000, 2_000_000, 3_000_000], [2.5, 4.5, 6.5])
    assert (fit.slope_us_per_row, fit.intercept_seconds, fit.r_squared) == pytest.approx((2.0, 0.5, 1.0))
    assert fit.seconds(10_000_000) == pytest.approx(20.5)
    # the middle a third of a second up: residuals -1/9, 2/9, -1/9
    assert fit_line([1, 2, 3], [1.0, 2.0 + 1 / 3, 3.0]).r_squared == pytest.approx(27 / 28)


def test_points_that_do_not_differ_lie_on_their_line():
    assert fit_line([1, 2, 3], [0.5, 0.5, 0.5]).r_squared == 1.0
    with pytest.raises(BadInputError, match="2 sizes make no fit"):
        fit_line([1, 2, 2], [1.0, 2.0, 3.0])


def test_rows_of_fractions():
    assert row_counts((0.1, 0.5, 1.0), 284_807) == [28_481, 142_404, 284_807]
    with pytest.raises(BadInputError, match=r"fraction 0\.01 of 569 rows is 6; wanted 10 rows or more"):
        row_counts((0.01, 0.5, 1.0), 569)
    with pytest.raises(BadInputError, match="2 different sizes make no line"):
        row_counts((0.5, 1.0), 569)


def test_the_whole_is_the_smallest_table_or_less():
    assert total_rows(PLAN, None) == 178
    assert total_rows(PLAN, 100) == 100
    for asked in (0, -1, 179):
        with pytest.raises(BadInputError, match=rf"{asked} rows were asked for and the tables have 178"):
            total_rows(PLAN, asked)
