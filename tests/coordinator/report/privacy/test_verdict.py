"""Verdicts by hand: shares of the way from the baseline to a perfect recovery, and what the controls forbid to say."""

import pytest
from attack_results import record

from coordinator.report.privacy.verdict import verdict


@pytest.mark.parametrize(
    ("measure", "value", "baseline", "fields", "word", "share"),
    [
        ("re_identification", 0.505, 0.01, {}, "severe", 0.5),
        ("re_identification", 0.27, 0.01, {}, "noticeable", 0.26 / 0.99),
        ("re_identification", 0.05, 0.01, {}, "slight", 0.04 / 0.99),
        ("re_identification", 0.015, 0.01, {"spread": 0.001}, "none found", 0.005 / 0.99),  # certain, and tiny
        ("re_identification", 0.2, 0.01, {"spread": 0.3}, "none found", 0.19 / 0.99),  # large, and uncertain
        ("r2", -3.0, 0.2, {}, "none found", -4.0),
        ("auc", 0.6, 0.5, {}, "noticeable", 0.2),
        ("mse", 0.1, 0.5, {"positive": 0.01, "negative": 0.5}, "severe", 0.8),
        ("mse", 0.6, 0.5, {"positive": 0.01, "negative": 0.5}, "none found", -0.2),
        ("r2", 0.9, 0.1, {"positive": 0.1}, "untested", 0.8 / 0.9),  # it fails where it must succeed
        ("r2", 0.15, 0.1, {"positive": 0.54}, "untested", 0.05 / 0.9),  # 49 % of the way: what it misses may be there
        ("r2", 0.15, 0.1, {"positive": 0.56}, "slight", 0.05 / 0.9),  # 51 %
        ("r2", 0.1, 0.1, {"positive": 0.54}, "untested", 0.0),
        ("r2", 0.6, 0.1, {"positive": 0.5}, "severe", 0.5 / 0.9),  # what a weak reader finds is there
        ("r2", 0.3, 0.1, {"positive": 0.5, "spread": 0.3}, "untested", 0.2 / 0.9),
        ("auc", 0.5, 0.5, {"positive": 0.74}, "untested", 0.0),
        (
            "mse",
            0.5,
            0.5,
            {"positive": 0.3, "negative": 0.5},
            "untested",
            0.0,
        ),  # an error of 0.25 would be half the way
        ("r2", 0.9, 0.1, {"negative": 0.3}, "unsound", 0.8 / 0.9),  # it succeeds on noise
        ("r2", 0.9, 0.1, {"negative": 0.12}, "severe", 0.8 / 0.9),  # 2 % of the way on noise is no alarm
        ("r2", 1.0, 1.0, {"spread": 0.0}, "untested", 0.0),  # nothing to learn: no control can beat the baseline
    ],
)
def test_by_the_rules(measure, value, baseline, fields, word, share):
    found = verdict(record("neutral-server", "inverse_ridge", measure, value, baseline, **fields))
    assert found.word == word
    assert found.share == pytest.approx(share)


def test_only_what_is_noticeable_calls_for_advice():
    words = {
        value: verdict(record("neutral-server", "a", "r2", value, 0.0)).calls_for_advice
        for value in (0.0, 0.05, 0.2, 0.9)
    }
    assert words == {0.0: False, 0.05: False, 0.2: True, 0.9: True}


def test_worse_ranks_higher():
    values = [0.9, 0.0, 0.3, 0.05]
    found = sorted((verdict(record("neutral-server", "a", "r2", value, 0.0)) for value in values), key=lambda v: v.rank)
    assert [one.word for one in found] == ["none found", "slight", "noticeable", "severe"]
