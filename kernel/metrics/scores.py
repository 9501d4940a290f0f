"""Scores of predictions on held-out rows, each with its 95 % interval: arrays in, values out.

| score | interval |
|---|---|
| ``auc`` | DeLong 1988, from midranks (Sun & Xu 2014) |
| ``macro_auc`` | the same components, summed over classes before their variance is taken |
| ``accuracy``, ``proportion`` | Wilson 1927 |
| ``mean_squared_error``, ``r_squared``, ``log_loss`` | seeded bootstrap over rows, 200 draws, percentiles |

Every score computed on real rows is a release about them; who calls these functions says so to the reader.
Messages of errors hold counts and shapes, never a cell.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kernel.errors import BadInputError, RowsError
from kernel.metrics.score_inputs import (
    Floats,
    Integers,
    binary_pair,
    class_numbers,
    finite_values,
    flat_values,
    regression_pair,
    require_labels_within,
    require_same_length,
    require_two_classes,
)

NORMAL_95 = 1.959963984540054
BOOTSTRAP_DRAWS = 200
SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Score:
    """One score: its value, the ends of its 95 % interval and the number of rows behind it."""

    value: float
    low: float
    high: float
    n: int


def auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> Score:
    """Area under the ROC curve: P(score of a positive > score of a negative), ties counted one half.

    Args:
      labels: 0 or 1, any numeric dtype, [rows] or [rows, 1].
      scores: larger means "more likely 1", [rows] or [rows, 1]; only their order matters.

    Edge cases: with one positive or one negative row no variance can be estimated and the interval is [0, 1];
    a perfect separation has the known DeLong interval of width zero.

    Raises:
      RowsError: no rows, labels other than 0 and 1, or one class only.
      BadInputError: lengths differ or a score is not finite.
    """
    truth, values = binary_pair(labels, scores)
    positive = truth == 1
    above, below = _structural_components(positive, values)
    value = float(above.mean())
    return _score_from_variance(value, _variance_of_mean(above) + _variance_of_mean(below), len(truth))


def macro_auc(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> Score:
    """Mean over classes of the one-vs-rest AUC.

    Args:
      labels: class numbers 0 … classes - 1, [rows] or [rows, 1].
      probabilities: [rows, classes], at least two classes; only the order within a column matters.

    A class without a row has no one-vs-rest AUC and is left out of the mean.

    The interval is a formula, not a bootstrap. Row i of class k moves the mean by
    psi_i = (above_k(i) / m_k + sum over c != k of below_c(i) / n_c) / classes, with DeLong's structural
    components above and below, m_c rows of class c and n_c others. Rows are independent within their class,
    so the variance is the sum over classes of m_k * Var(psi_i, i in class k). With two classes and
    complementary columns this is DeLong's variance exactly.

    A class with a single row has no variance to estimate: the interval is [0, 1].

    Raises:
      RowsError: no rows, a label outside the columns, or one class only.
      BadInputError: shapes do not fit or a probability is not finite.
    """
    truth = class_numbers(labels)
    table = finite_values(probabilities, "probabilities")
    if table.ndim != 2 or table.shape[0] != len(truth) or table.shape[1] < 2:
        raise BadInputError(
            f"probabilities have shape {table.shape} for {len(truth)} labels; "
            "give [rows, classes] with two classes or more."
        )
    require_labels_within(truth, table.shape[1])
    present = np.unique(truth)
    require_two_classes(len(present))
    influence = np.zeros(len(truth))
    total = 0.0
    for number in present:
        positive = truth == number
        above, below = _structural_components(positive, table[:, number])
        total += float(above.mean())
        influence[positive] += above / len(above)
        influence[~positive] += below / len(below)
    influence /= len(present)
    variance = 0.0
    for number in present:
        stratum = influence[truth == number]
        variance += len(stratum) ** 2 * _variance_of_mean(stratum)
    return _score_from_variance(total / len(present), variance, len(truth))


def accuracy(labels: npt.ArrayLike, predictions: npt.ArrayLike) -> Score:
    """Share of rows whose predicted class is the label; Wilson interval.

    Args:
      labels: class numbers, [rows] or [rows, 1].
      predictions: class numbers (not probabilities), [rows] or [rows, 1].

    Raises:
      RowsError: no rows, or one class only among the labels.
      BadInputError: lengths differ, or a prediction is not a whole number.
    """
    truth = class_numbers(labels)
    guesses = flat_values(predictions, "predictions")
    require_same_length(truth, guesses, "predictions")
    if np.any(guesses != np.floor(guesses)):
        raise BadInputError(
            "accuracy needs predicted class numbers and found fractions; threshold or argmax the probabilities first."
        )
    require_two_classes(len(np.unique(truth)))
    return proportion(float(np.sum(truth == guesses)), len(truth))


def proportion(successes: float, n: int) -> Score:
    """Share of n rows that succeeded, Wilson interval; ``successes`` may be a fraction where ties count in part.

    Raises:
      RowsError: no rows.
      BadInputError: fewer than none or more than all succeeded.
    """
    if n < 1:
        raise RowsError("a proportion needs rows and found none. Check the split that left no row.")
    if not 0 <= successes <= n:
        raise BadInputError(f"found {successes} successes in {n} rows; give a number from 0 to {n}.")
    share = successes / n
    z2 = NORMAL_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = NORMAL_95 / (1 + z2 / n) * float(np.sqrt(share * (1 - share) / n + z2 / (4 * n * n)))
    return Score(share, min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half)), n)


def log_loss(labels: npt.ArrayLike, probabilities: npt.ArrayLike, *, seed: int = 0) -> Score:
    """Mean of -log p(label) in nats; seeded bootstrap interval.

    Args:
      labels: class numbers, [rows] or [rows, 1].
      probabilities: P(label = 1), [rows] or [rows, 1], or [rows, classes], one column a class, adding up to
        one. They are kept away from 0 and 1 by the machine epsilon of their own floating-point type.
      seed: of the bootstrap.

    Raises:
      RowsError: no rows, a label outside the classes, or one class only.
      BadInputError: shapes do not fit, or values are not probabilities.
    """
    truth = class_numbers(labels)
    given = np.asarray(probabilities)
    tiny = float(np.finfo(given.dtype if given.dtype.kind == "f" else np.float64).eps)
    table = finite_values(given, "probabilities")
    if table.ndim == 1 or (table.ndim == 2 and table.shape[1] == 1):
        ones = table.reshape(-1)
        table = np.stack([1.0 - ones, ones], axis=1)
    if table.ndim != 2 or len(table) != len(truth):
        raise BadInputError(
            f"probabilities have shape {given.shape} for {len(truth)} labels; give [rows] or [rows, classes]."
        )
    outside = int(np.sum(np.any((table < 0) | (table > 1), axis=1) | (np.abs(table.sum(axis=1) - 1) > SUM_TOLERANCE)))
    if outside:
        raise BadInputError(
            f"{outside} of {len(table)} rows are not probabilities (within [0, 1], adding up to one); "
            "apply the sigmoid or softmax to logits first."
        )
    require_labels_within(truth, table.shape[1])
    require_two_classes(len(np.unique(truth)))
    chosen = np.clip(table[np.arange(len(truth)), truth], tiny, 1 - tiny)
    losses = -np.log(chosen)
    return bootstrap(len(truth), lambda rows: float(np.mean(losses[rows])), seed)


def mean_squared_error(targets: npt.ArrayLike, predictions: npt.ArrayLike, *, seed: int = 0) -> Score:
    """Mean of (target - prediction)², in the square of the target's unit; seeded bootstrap interval.

    Args:
      targets: [rows] or [rows, 1].
      predictions: the same shape.
      seed: of the bootstrap.

    Raises:
      RowsError: no rows.
      BadInputError: lengths differ or a value is not finite.
    """
    truth, guesses = regression_pair(targets, predictions)
    squares = np.square(truth - guesses)
    return bootstrap(len(truth), lambda rows: float(np.mean(squares[rows])), seed)


def r_squared(targets: npt.ArrayLike, predictions: npt.ArrayLike, *, seed: int = 0) -> Score:
    """Share of the targets' variance explained, 1 - Σ(y - ŷ)² / Σ(y - ȳ)²; negative when worse than the mean.

    Args and errors as ``mean_squared_error``; constant targets raise RowsError, for nothing can be explained.
    """
    truth, guesses = regression_pair(targets, predictions)
    centred = truth - truth.mean()
    if not np.any(truth != truth[0]):
        raise RowsError(
            f"the {len(truth)} targets are all equal; R² needs targets that differ. "
            "Choose other test rows or another score."
        )
    squares = np.square(truth - guesses)

    def explained(rows: Integers | slice) -> float:
        drawn = centred[rows]
        spread = float(np.sum(np.square(drawn - drawn.mean())))
        return 1 - float(np.sum(squares[rows])) / spread if spread > 0 else float("nan")

    return bootstrap(len(truth), explained, seed)


def roc_curve(labels: npt.ArrayLike, scores: npt.ArrayLike, points: int = 101) -> tuple[Floats, Floats]:
    """The ROC curve on an even grid of false positive rates, so that no report publishes one step a row.

    Args:
      labels, scores: as in ``auc``.
      points: size of the grid, at least two.

    Returns:
      false_positive_rate, true_positive_rate: float64[points] each. The grid runs from 0 to 1; at each
      point the largest true positive rate that the curve (straight across ties) reaches there.

    Raises:
      As ``auc``; BadInputError for fewer than two points.
    """
    if points < 2:
        raise BadInputError(f"a ROC curve needs two points or more, and found {points}; 101 is usual.")
    truth, values = binary_pair(labels, scores)
    order = np.argsort(-values, kind="stable")
    ranked, hits = values[order], truth[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    true_count = np.concatenate([[0], np.cumsum(hits)[last_of_ties]])
    false_count = np.concatenate([[0], np.cumsum(1 - hits)[last_of_ties]])
    # Whole numbers decide which corner lies left of a grid point: a rounded rate could pick a step's foot.
    wanted = np.arange(points, dtype=np.int64) * false_count[-1]
    corners = false_count * (points - 1)
    left = np.searchsorted(corners, wanted, side="right") - 1
    right = np.minimum(left + 1, len(corners) - 1)
    width = np.maximum(corners[right] - corners[left], 1)
    rise = (true_count[right] - true_count[left]) * ((wanted - corners[left]) / width)
    return np.linspace(0.0, 1.0, points), (true_count[left] + rise) / true_count[-1]


def _structural_components(positive: npt.NDArray[np.bool_], values: Floats) -> tuple[Floats, Floats]:
    """A positive row's share of negatives below it, a negative row's share of positives above it; ties ½."""
    together = _midranks(values)
    ahead, behind = values[positive], values[~positive]
    above = (together[positive] - _midranks(ahead)) / len(behind)
    below = 1 - (together[~positive] - _midranks(behind)) / len(ahead)
    return above, below


def _midranks(values: Floats) -> Floats:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    middle: Floats = np.cumsum(count) - (count - 1) / 2
    return middle[place]


def _variance_of_mean(sample: Floats) -> float:
    return float(np.var(sample, ddof=1)) / len(sample) if len(sample) > 1 else float("inf")


def _score_from_variance(value: float, variance: float, n: int) -> Score:
    half = NORMAL_95 * float(np.sqrt(variance))
    return Score(value, max(0.0, value - half), min(1.0, value + half), n)


def bootstrap(n: int, statistic: Callable[[Any], float], seed: int) -> Score:
    """A statistic of n rows and its percentile interval over 200 draws of n rows with replacement.

    Args:
      n: rows.
      statistic: of row numbers int64[n] or a slice of all; draws where it is not finite are left out.
      seed: of the draws.
    """
    value = statistic(slice(None))
    generator = np.random.default_rng(seed)
    drawn = np.array([statistic(generator.integers(0, n, n)) for _ in range(BOOTSTRAP_DRAWS)])
    usable = drawn[np.isfinite(drawn)]
    low, high = (float(end) for end in np.quantile(usable, [0.025, 0.975])) if len(usable) else (value, value)
    return Score(value, min(low, value), max(high, value), n)
