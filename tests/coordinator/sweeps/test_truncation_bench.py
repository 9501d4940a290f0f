"""The measured error of truncation: its figures add up, keep to the bound and are unbiased; masks are random, so each test says how often it may fail."""

import numpy as np
import pytest
from scipy.stats import chi2, chisquare

from coordinator.sweeps.truncation import BINS, PARTS, measure_truncation

FAILURE = 1e-9


@pytest.mark.parametrize("parties", [2, 3, 4])
def test_figures(parties):
    found = measure_truncation(parties, values=20_000)
    assert (found["parties"], found["values"], found["outside"]) == (parties, 20_000, 0)
    assert 0.9 < found["largest"] < 1  # below 0.9 with probability 0.99^20000
    assert abs(found["mean"]) < 6.2 * (1 / 6 / 20_000) ** 0.5  # of a triangular error; 6.2 standard errors: 1e-9
    assert sum(found["counts"]) == sum(found["of"]) == 20_000
    assert (len(found["counts"]), len(found["of"]), len(found["ups"])) == (BINS, PARTS, PARTS)


def test_errors_are_triangular():
    """χ² against the triangle's mass in each bin."""
    found = measure_truncation(3, values=20_000)
    edges = np.linspace(-1, 1, BINS + 1)
    mass = np.diff(np.where(edges < 0, (1 + edges) ** 2 / 2, 1 - (1 - edges) ** 2 / 2))
    assert chisquare(found["counts"], mass * 20_000).pvalue > FAILURE


def test_the_last_bit_is_up_as_often_as_what_is_cut_off_says():
    """χ² of ups and downs in each part, whose mean cut is its middle."""
    found = measure_truncation(2, values=20_000)
    middle = (np.arange(PARTS) + 0.5) / PARTS
    ups, of = np.array(found["ups"]), np.array(found["of"])
    statistic = ((ups - middle * of) ** 2 / (middle * (1 - middle) * of)).sum()
    assert chi2.sf(statistic, PARTS) > FAILURE
