"""What the views of one run come to, whoever computes its hidden layers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from party.assessment.first_bias import activated
from party.assessment.inventory import Received
from party.assessment.run_files import RunFiles
from party.assessment.view import View

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class RecordedViews:
    """The views of one run.

    Attributes:
      views: every party's, and the neutral server's where there is one, of training rows.
      predictions: the trained network's outputs on the test rows; None where no evaluation of it was recorded.
      rows: int64[n], the training rows of the views; epochs: the epochs they keep; recorded_epochs: those at hand.
      trained_epochs: those of the network whose weights are at hand.
      received: by role and kind of message.
    """

    views: tuple[View, ...]
    predictions: View | None
    rows: NDArray[np.int64]
    epochs: tuple[int, ...]
    recorded_epochs: int
    received: dict[str, dict[str, Received]]
    trained_epochs: int


def predictions_view(files: RunFiles, logits: Array) -> View:
    """Of whoever is given predictions: the network's outputs on the test rows, from the head's linear ones [test rows, outputs]."""
    return View(role="predictions", name="predictions", rows=files.split.test, outputs=_LINKS[files.spec.loss](logits))


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


_LINKS: Mapping[str, Callable[[Array], Array]] = {
    "binary": lambda logits: activated("sigmoid", logits),
    "multiclass": _softmax,
    "regression": lambda logits: np.asarray(logits, np.float32),
}
