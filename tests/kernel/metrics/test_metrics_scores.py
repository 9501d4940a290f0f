"""Scores against scikit-learn, SciPy, brute force over pairs, and tables worked by hand."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as oracle

from kernel.errors import BadInputError, RowsError
from kernel.metrics.scores import (
    NORMAL_95,
    Score,
    accuracy,
    auc,
    log_loss,
    macro_auc,
    mean_squared_error,
    proportion,
    r_squared,
    roc_curve,
)

Table = npt.NDArray[Any]


def binary_rows(seed: int, rows: int = 400, levels: int | None = None) -> tuple[Table, Table]:
    generator = np.random.default_rng(seed)
    labels = (generator.random(rows) < 0.3).astype(np.int64)
    scores = generator.normal(size=rows) + labels
    return labels, np.round(scores * levels) / levels if levels else scores


def class_rows(seed: int, rows: int = 300, classes: int = 4) -> tuple[Table, Table]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, rows)
    logits = generator.normal(size=(rows, classes))
    logits[np.arange(rows), labels] += 1.0
    exponentials = np.exp(logits)
    return labels, exponentials / exponentials.sum(axis=1, keepdims=True)


def delong_by_pairs(labels: Table, scores: Table) -> tuple[float, float]:
    """DeLong 1988 as it is written: the m by n matrix of psi, its row means and its column means."""
    ahead, behind = scores[labels == 1], scores[labels == 0]
    psi = (ahead[:, None] > behind) + 0.5 * (ahead[:, None] == behind)
    variance = np.var(psi.mean(axis=1), ddof=1) / len(ahead) + np.var(psi.mean(axis=0), ddof=1) / len(behind)
    return float(psi.mean()), float(variance)


@pytest.mark.parametrize("levels", [None, 1, 3])
def test_auc_and_its_interval_are_delong_s_over_all_pairs(levels: int | None) -> None:
    labels, scores = binary_rows(1, levels=levels)
    value, variance = delong_by_pairs(labels, scores)
    found = auc(labels, scores)
    assert found.value == pytest.approx(oracle.roc_auc_score(labels, scores), abs=1e-12)
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.high - found.value == pytest.approx(NORMAL_95 * np.sqrt(variance), rel=1e-9)
    assert found.value - found.low == pytest.approx(NORMAL_95 * np.sqrt(variance), rel=1e-9)
    assert found.n == 400


def test_auc_by_hand_with_a_tie() -> None:
    # Pairs (positive, negative): 2>1 yes, 2=2 half, 3>1 yes, 3>2 yes: 3.5 of 4.
    assert auc([0, 0, 1, 1], [1.0, 2.0, 2.0, 3.0]).value == 0.875


def test_the_delong_interval_covers_the_true_area_about_95_times_in_100() -> None:
    # True area of N(1,1) against N(0,1) is Phi(1/sqrt 2). 400 trials at 95 %:
    # below 90 % has probability < 1e-4.
    truth = float(stats.norm.cdf(1 / np.sqrt(2)))
    found = [auc(*binary_rows(seed, rows=200)) for seed in range(400)]
    covered = np.mean([score.low <= truth <= score.high for score in found])
    assert 0.90 <= covered <= 0.99


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-4, 4)), min_size=2, max_size=40))
def test_auc_of_turned_labels_is_the_complement(rows: list[tuple[int, int]]) -> None:
    labels = np.array([label for label, _ in rows])
    scores = np.array([score for _, score in rows])
    if len(set(labels.tolist())) < 2:
        with pytest.raises(RowsError, match="one class only"):
            auc(labels, scores)
        return
    found, turned = auc(labels, scores), auc(1 - labels, scores)
    assert found.value + turned.value == pytest.approx(1.0)
    assert found.low == pytest.approx(1 - turned.high)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_one_positive_row_gives_no_variance_and_the_whole_interval() -> None:
    assert auc([0, 0, 1], [0.1, 0.4, 0.3]) == Score(0.5, 0.0, 1.0, 3)


def test_macro_auc_is_scikit_learn_s_and_equals_auc_for_two_classes() -> None:
    labels, table = class_rows(3)
    assert macro_auc(labels, table).value == pytest.approx(
        oracle.roc_auc_score(labels, table, multi_class="ovr", average="macro"), abs=1e-12
    )
    binary, ones = class_rows(4, classes=2)
    pair, single = macro_auc(binary, ones), auc(binary, ones[:, 1])
    assert pair.low == pytest.approx(single.low, abs=1e-12)
    assert pair.value == pytest.approx(single.value, abs=1e-12)
    assert pair.high == pytest.approx(single.high, abs=1e-12)


def test_macro_auc_interval_agrees_with_a_stratified_bootstrap() -> None:
    labels, table = class_rows(5)
    found = macro_auc(labels, table)
    generator = np.random.default_rng(6)
    strata = [np.flatnonzero(labels == number) for number in range(4)]
    drawn = []
    for _ in range(400):
        rows = np.concatenate([generator.choice(stratum, len(stratum)) for stratum in strata])
        drawn.append(macro_auc(labels[rows], table[rows]).value)
    # The standard deviation of 400 draws is known within 3.5 %: 15 % is more than four standard errors.
    assert (found.high - found.low) / (2 * NORMAL_95) == pytest.approx(np.std(drawn, ddof=1), rel=0.15)


def test_macro_auc_leaves_out_a_class_without_rows() -> None:
    labels, table = class_rows(7, classes=3)
    kept = labels != 2
    expected = np.mean([auc(labels[kept] == number, table[kept, number]).value for number in (0, 1)])
    assert macro_auc(labels[kept], table[kept]).value == pytest.approx(expected)


@pytest.mark.parametrize(("right", "rows"), [(0, 20), (13, 20), (20, 20), (950, 1000)])
def test_accuracy_has_wilson_s_interval(right: int, rows: int) -> None:
    labels = np.arange(rows) % 2
    predictions = np.where(np.arange(rows) < right, labels, 1 - labels)
    found = accuracy(labels, predictions)
    expected = stats.binomtest(right, rows).proportion_ci(0.95, method="wilson")
    assert found.value == right / rows
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_proportion_may_count_ties_in_part_and_holds_its_ends() -> None:
    half = proportion(2.5, 5)
    assert (half.value, half.n) == (0.5, 5)
    assert half.low + half.high == pytest.approx(1)
    with pytest.raises(RowsError, match="found none"):
        proportion(0, 0)
    for successes in (-0.5, 5.5):
        with pytest.raises(BadInputError, match="from 0 to 5"):
            proportion(successes, 5)


def test_regression_scores_are_scikit_learn_s() -> None:
    generator = np.random.default_rng(8)
    targets = generator.normal(50, 10, 500)
    predictions = targets + generator.normal(0, 4, 500)
    error, explained = mean_squared_error(targets, predictions[:, None]), r_squared(targets, predictions)
    assert error.value == pytest.approx(oracle.mean_squared_error(targets, predictions))
    assert explained.value == pytest.approx(oracle.r2_score(targets, predictions))
    squares = np.square(targets - predictions)
    # Percentiles of 200 draws: each end within about a fifth of the half width of the normal interval.
    half = NORMAL_95 * np.std(squares, ddof=1) / np.sqrt(500)
    assert error.value - error.low == pytest.approx(half, rel=0.35)
    assert error.high - error.value == pytest.approx(half, rel=0.35)
    assert explained.low < explained.value < explained.high <= 1


def test_bootstrap_intervals_come_from_the_seed() -> None:
    generator = np.random.default_rng(9)
    targets, predictions = generator.normal(size=60), generator.normal(size=60)
    assert mean_squared_error(targets, predictions, seed=3) == mean_squared_error(targets, predictions, seed=3)
    assert mean_squared_error(targets, predictions, seed=3) != mean_squared_error(targets, predictions, seed=4)


def test_log_loss_is_scikit_learn_s() -> None:
    labels, table = class_rows(10)
    assert log_loss(labels, table).value == pytest.approx(oracle.log_loss(labels, table))
    binary, ones = class_rows(11, classes=2)
    assert log_loss(binary, ones[:, 1:]).value == pytest.approx(oracle.log_loss(binary, ones[:, 1]))
    assert log_loss(binary, ones[:, 1]) == log_loss(binary, ones)
    sure = np.array([0.0, 1.0], dtype=np.float32)
    assert log_loss([1, 0], sure).value == pytest.approx(-np.log(np.finfo(np.float32).eps))


def test_roc_curve_holds_the_area_and_has_as_many_points_as_asked() -> None:
    labels, scores = binary_rows(12, rows=5000)
    false_rate, true_rate = roc_curve(labels, scores)
    assert false_rate.shape == true_rate.shape == (101,)
    assert (false_rate[0], false_rate[-1], true_rate[-1]) == (0.0, 1.0, 1.0)
    assert np.all(np.diff(true_rate) >= 0)
    assert np.trapezoid(true_rate, false_rate) == pytest.approx(auc(labels, scores).value, abs=2e-3)


def test_roc_curve_lies_on_scikit_learn_s_corners() -> None:
    labels, scores = binary_rows(13, rows=300, levels=2)
    corners_false, corners_true, _ = oracle.roc_curve(labels, scores, drop_intermediate=False)
    negatives = int(np.sum(labels == 0))
    _, true_rate = roc_curve(labels, scores, points=negatives + 1)
    for place in np.unique(corners_false):
        highest = corners_true[corners_false == place].max()
        assert true_rate[round(place * negatives)] == pytest.approx(highest, abs=1e-12)


def test_roc_curve_by_hand_is_straight_across_ties() -> None:
    # Corners (0, 0), (0, 1/2), (1, 1): one positive alone on top, the other tied with both negatives.
    _, true_rate = roc_curve([1, 1, 0, 0], [2.0, 1.0, 1.0, 1.0], points=5)
    assert true_rate.tolist() == [0.5, 0.625, 0.75, 0.875, 1.0]


@pytest.mark.parametrize("score", [auc, roc_curve, accuracy, log_loss])
def test_one_class_only_is_the_users_to_mend(score: Callable[..., object]) -> None:
    with pytest.raises(RowsError, match="one class only") as caught:
        score([1, 1, 1], [1.0, 0.0, 1.0])
    assert isinstance(caught.value, BadInputError)


def test_refusals_name_counts_and_remedies() -> None:
    with pytest.raises(RowsError, match="empty"):
        auc([], [])
    with pytest.raises(RowsError, match=r"3 classes.*macro_auc"):
        auc([0, 1, 2], [0.1, 0.2, 0.3])
    with pytest.raises(BadInputError, match="3 labels and 2 scores"):
        auc([0, 1, 1], [0.1, 0.2])
    with pytest.raises(BadInputError, match="1 of 3 scores are NaN"):
        auc([0, 1, 1], [0.1, 0.2, np.nan])
    with pytest.raises(BadInputError, match="shape"):
        auc([0, 1], [[0.1, 0.2], [0.3, 0.4]])
    with pytest.raises(RowsError, match="fractions"):
        auc([0.5, 1], [0.1, 0.2])
    with pytest.raises(BadInputError, match="fractions"):
        accuracy([0, 1], [0.2, 0.9])
    with pytest.raises(BadInputError, match="2 of 2 rows are not probabilities"):
        log_loss([0, 1], [-3.0, 4.0])
    with pytest.raises(RowsError, match="outside the 2 classes"):
        macro_auc([0, 2], [[0.5, 0.5], [0.5, 0.5]])
    with pytest.raises(BadInputError, match="two classes or more"):
        macro_auc([0, 1], [0.5, 0.5])
    with pytest.raises(RowsError, match="all equal"):
        r_squared([4.0, 4.0], [1.0, 2.0])
    with pytest.raises(BadInputError, match="two points"):
        roc_curve([0, 1], [0.0, 1.0], points=1)


def test_the_module_brings_numpy_and_no_other_mathematics() -> None:
    heavy = ["scipy", "sklearn", "tensorflow"]
    script = f"import sys, kernel.metrics.scores; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
