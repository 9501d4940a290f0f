"""Equality solving: rows from predictions only (Luo et al. 2021, "Feature inference attack on model predictions in
vertical federated learning", §IV).

A linear model's logits are linear equations in the row, solved by the pseudo-inverse, exactly where there are as many
of them as columns. Here the map is not assumed known but fitted on the leaked rows, in the direction of the solution: a
ridge from logits to rows. For a linear model with enough outputs it is the same solution; for a network it is the best
linear one.
"""

from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from party.assessment.inverse_models import RowAttack
from party.assessment.view import View

Floats = NDArray[np.float64]

_EDGE: Final = 1e-7
_SUM_TOLERANCE: Final = 1e-3


class EqualitySolving(RowAttack):
    """Ridge from the logits of the predictions to the rows."""

    name: ClassVar[str] = "equality_solving"
    note = "equations fitted on leaked rows, not taken from a known model"

    @classmethod
    def reads(cls, view: View) -> tuple[str, ...]:
        return ("outputs",) if view.outputs is not None else ()

    def recover(self, rows: NDArray[np.int64]) -> Floats:
        return self.estimate(self.features(logits(self.array("outputs")).astype(np.float32)), rows)


def logits(outputs: NDArray[np.float32]) -> Floats:
    """float64[n, outputs]: logarithms of odds or of class probabilities; values that are no probabilities as they came."""
    values = outputs.astype(np.float64)
    if values.min() < 0 or values.max() > 1:
        return values
    inside = np.clip(values, _EDGE, 1 - _EDGE)
    if values.shape[1] == 1:
        odds: Floats = np.log(inside) - np.log1p(-inside)
        return odds
    if np.all(np.abs(values.sum(axis=1) - 1) < _SUM_TOLERANCE):
        logarithms: Floats = np.log(inside)
        logarithms -= logarithms.mean(axis=1, keepdims=True)
        return logarithms
    return values
