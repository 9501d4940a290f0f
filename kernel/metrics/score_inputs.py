"""What a score accepts: labels, scores and targets, checked and brought to one shape and type.

Messages hold counts and shapes, never a cell.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from kernel.errors import BadInputError, RowsError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def finite_values(values: npt.ArrayLike, name: str) -> Floats:
    """``values`` as float64, same shape; RowsError when empty, BadInputError when any is NaN or infinite."""
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        raise RowsError(f"{name} are empty; a score needs rows. Check the split that left no row.")
    wrong = int(np.sum(~np.isfinite(array)))
    if wrong:
        raise BadInputError(
            f"{wrong} of {array.size} {name} are NaN or infinite; if the training diverged, lower the learning rate."
        )
    return array


def flat_values(values: npt.ArrayLike, name: str) -> Floats:
    """``values`` as float64[rows] from [rows] or [rows, 1]; BadInputError for other shapes."""
    array = finite_values(values, name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise BadInputError(f"{name} have shape {array.shape}; give [rows] or [rows, 1].")
    return array


def require_same_length(truth: npt.NDArray[Any], other: npt.NDArray[Any], name: str) -> None:
    """BadInputError unless there is one of each a row."""
    if len(truth) != len(other):
        raise BadInputError(f"found {len(truth)} labels and {len(other)} {name}; give one of each a row.")


def class_numbers(labels: npt.ArrayLike) -> Integers:
    """Labels as int64[rows] of 0, 1, 2, …; RowsError for fractions or negative numbers."""
    flat = flat_values(labels, "labels")
    numbers = flat.astype(np.int64)
    if np.any(numbers != flat) or np.any(numbers < 0):
        raise RowsError("labels hold fractions or negative numbers; give class numbers 0, 1, 2, …")
    return numbers


def require_labels_within(truth: Integers, classes: int) -> None:
    """RowsError when a label has no column among the predicted classes."""
    outside = int(np.sum(truth >= classes))
    if outside:
        raise RowsError(
            f"{outside} labels are outside the {classes} classes that were predicted; check the label column."
        )


def require_two_classes(found: int) -> None:
    """RowsError unless two classes or more were found among the labels."""
    if found < 2:
        raise RowsError(
            "the labels hold one class only and the score needs two; take more test rows or a stratified split."
        )


def binary_pair(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Integers, Floats]:
    """Labels int64[rows], both 0 and 1 among them, and scores float64[rows]."""
    truth, values = class_numbers(labels), flat_values(scores, "scores")
    require_same_length(truth, values, "scores")
    found = len(np.unique(truth))
    require_two_classes(found)
    if found > 2 or int(truth.max()) != 1:
        raise RowsError(f"labels hold {found} classes and a binary score needs 0 and 1; use macro_auc or recode them.")
    return truth, values


def regression_pair(targets: npt.ArrayLike, predictions: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Targets and predictions, float64[rows] each."""
    truth, guesses = flat_values(targets, "targets"), flat_values(predictions, "predictions")
    require_same_length(truth, guesses, "predictions")
    return truth, guesses
