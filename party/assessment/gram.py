"""The Gram attack: rows from the equations that successive steps give a neutral server.

With plain gradient descent on all rows, z1(t+1) - z1(t) = -lr X X^T g(t), where the server sees z1 and g = dL/dz1. For a
row x and the leaked rows X_K, as long as X^T g(t) lies in the span of the leaked rows:

    [1] X^T g(t) = X_K^T a(t); the leaked rows' own differences -lr (X_K X_K^T) a(t) give a(t) by least squares.
    [2] x's differences -lr (x X_K^T) a(t), t = 1, 2, ..., are linear in its inner products with the leaked rows.
    [3] x follows from its inner products.

[1] recovers the moves of the first layer, M(t) = -lr X_K^T a(t), and its start Theta(0) from z1(0) = X_K Theta(0); [2] and
[3] are together the linear equations z1(0) = x Theta(0), z1(t+1) - z1(t) = x M(t). Where they are fewer than columns, or
noisy, x is the most probable row under the leaked rows' mean and covariance and the errors that the equations show on
leaked rows: a Gaussian posterior mean.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from party.assessment.inverse_models import RowAttack, layers_words
from party.assessment.ridge import fit_ridge
from party.assessment.stack import LIMITS, epoch_groups
from party.assessment.view import View

Floats = NDArray[np.float64]

_LEAST_ERROR = 1e-10
_STILL = 1e-13
"""An equation whose values vary by less, relative to their mean square, is rounding: it tells nothing of any row."""
_SHRINKAGE = 1e-3
_PASSES = 2


class Gram(RowAttack):
    """See the module."""

    name: ClassVar[str] = "gram"
    note = (
        "exact for full batches and plain gradient descent; with mini-batches the first layer moves between the batches "
        "of an epoch, so the equations hold approximately, and the errors they show on leaked rows are allowed for"
    )

    @classmethod
    def reads(cls, view: View) -> tuple[str, ...]:
        if view.role != "neutral-server" or view.z1 is None or view.cut_gradient is None or len(view.z1) < 2:
            return ()
        return () if cls.impossible(view) else ("z1", "cut_gradient")

    @classmethod
    def impossible(cls, view: View) -> str:
        if view.role != "neutral-server" or not view.layers_before:
            return ""
        return f"its equations are of a first layer that the neutral server sees; here {layers_words(view.layers_before)} on shares before the cut"

    @property
    def epochs_seen(self) -> int:
        return min(len(self.array("z1")), len(self.array("cut_gradient")) + 1)

    def recover(self, rows: NDArray[np.int64]) -> Floats:
        z1, gradients = self.array("z1"), self.array("cut_gradient")
        z1 = z1[: len(gradients) + 1]  # after a freeze there are no moves, and no gradients
        groups = epoch_groups(len(z1), z1.shape[2], LIMITS[self.effort])
        first = [group.start for group in groups]
        levels = np.concatenate([z1[epoch] for epoch in first], axis=1).astype(np.float64)
        width = z1.shape[2]
        moves = np.concatenate([levels[:, :width], levels[:, width:] - levels[:, :-width]], axis=1)
        between = [gradients[a:b].sum(axis=0) for a, b in pairwise(first)]
        prior = Prior.of_rows(self.background.targets)
        at_levels = self._solve(prior, levels, np.zeros((prior.columns, levels.shape[1])))
        at_moves = self._solve(prior, moves, np.zeros((prior.columns, moves.shape[1])))
        for _ in range(_PASSES if between else 0):
            known = at_moves.rows.copy()
            known[self.background.rows] = self.background.targets
            pushes = [known.T @ gradient for gradient in between]
            at_moves = self._solve(prior, moves, np.concatenate([np.zeros((prior.columns, width)), *pushes], axis=1))
        best = min(at_levels, at_moves, key=lambda solution: solution.expected_error)
        return self.plausible(best.rows[rows])

    def _solve(self, prior: "Prior", equations: Floats, pushes: Floats) -> "Solution":
        """Rows from equations [n, values] = rows times maps, the maps fitted on the leaked rows [1].

        Args:
          prior: of a row.
          equations: of all rows.
          pushes: [columns, values], X^T g as far as the rows are known: the maps are a multiple of it (minus the learning
            rate, which the leaked rows tell) plus what a ridge finds beyond it.
        """
        leaked, targets = equations[self.background.rows], self.background.targets.astype(np.float64)
        explained = targets @ pushes
        power = float(np.sum(explained**2))
        rate = float(np.sum(explained * leaked)) / power if power > 0 else 0.0
        left_over = leaked - rate * explained
        fit = fit_ridge(targets, left_over)
        errors = np.mean((left_over - fit(targets)) ** 2, axis=0)
        inflation = fit.error / max(float(errors.sum()), 1e-300)
        variance = equations.var(axis=0)
        errors = np.maximum(errors * max(inflation, 1.0), _LEAST_ERROR * variance + 1e-300)
        errors = np.where(variance > _STILL * np.mean(equations**2, axis=0), errors, np.inf)
        maps = rate * pushes + fit.weights
        centre = rate * (prior.mean @ pushes) + fit(prior.mean[None])[0]
        return prior.given(maps, equations - centre, errors)


@dataclass(frozen=True, eq=False)
class Solution:
    """rows: float64[n, columns]; expected_error: the posterior's mean squared error of a row, by its own account."""

    rows: Floats
    expected_error: float


@dataclass(frozen=True, eq=False)
class Prior:
    """A Gaussian of rows: mean float64[columns] and inverse covariance float64[columns, columns]."""

    mean: Floats
    precision: Floats

    @property
    def columns(self) -> int:
        return len(self.mean)

    @classmethod
    def of_rows(cls, rows: NDArray[np.float32]) -> "Prior":
        """From leaked rows [leaked, columns], the covariance widened a little so that it can be inverted."""
        values = rows.astype(np.float64)
        mean = values.mean(axis=0)
        covariance = (values - mean).T @ (values - mean) / max(len(values) - 1, 1)
        widening = max(_SHRINKAGE * float(np.trace(covariance)) / len(mean), 1e-12)
        return cls(mean, np.linalg.inv(covariance + widening * np.eye(len(mean))))

    def given(self, maps: Floats, values: Floats, errors: Floats) -> Solution:
        """The posterior mean of rows whose values [n, values] are (row - mean) maps plus errors of these variances [values].

        An infinite variance takes an equation out.
        """
        weighted = maps / errors
        covariance = np.linalg.inv(self.precision + weighted @ maps.T)
        return Solution(self.mean + values @ (weighted.T @ covariance), float(np.trace(covariance)))
