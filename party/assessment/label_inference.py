"""Label inference: from the gradients of rows to their labels.

For a binary loss the gradient of a row is (p - y) times a vector that rows share, so it points one way for one label and
the other way for the other, and is longer for the label the model is surer against (Li et al. 2021, arXiv 2102.08504, §4:
norm attack and cosine attack). The neutral server reads dL/dh_L, a feature holder dL/dz1, or, where that is shared, its share of it
as if it were the gradient: uniform words, which must tell nothing.

| attack | score of a row | for |
|---|---|---|
| ``label_norm`` | length of its gradient, averaged over epochs | two classes |
| ``label_direction`` | its gradient along the first singular vector of all, averaged over epochs | two classes |
| ``label_line`` | whether it lies on a line with others: by the nearest row in direction, or by its angle with all | two classes |
| ``label_ridge`` | ridge from its gradients and their mean length to the leaked rows' classes | any number of classes |
| ``label_summed`` | the same from what a party's own X^T (dL/dz_1) of every step says of single rows (summed_gradient.py), beside its own columns | any number of classes |

``label_line`` is for noise that leaves one class on the common line of (p - y) w and takes the other off it. The other
three see sizes and averages, and that is neither: no length or side need differ.

Averages over epochs are the attacker's answer to noise that is fresh in each. Which direction means which class is told
by the leaked labels: an attack that knows nothing may therefore land below 0.5 as well as above.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from party.assessment.attack import OWN_COLUMNS, Attack, Effort, Score, Target
from party.assessment.background import Background
from party.assessment.judge import Judge
from party.assessment.ridge import fit_ridge, standardised
from party.assessment.stack import LIMITS, stacked
from party.assessment.view import View

Floats = NDArray[np.float64]

SOURCES: Final = {"neutral-server": ("head_gradient",), "feature-holder": ("cut_gradient", "gradient_share")}
"""What holds a row's gradient, by role: the first that the view has."""

_WEIGHTS: Final = (1.0, 0.1, 0.0)
_PROJECTIONS: Final = 0x11E
_KEYS: Final = 2
_NEIGHBOURS: Final = 4
_START: Final = 0xD12
_ITERATIONS: Final = 300
_SETTLED: Final = 1e-10
_PARALLEL: Final = 1e-6  # sine of an angle that float32 cannot tell from none


class LabelAttack(Attack):
    """An attack on labels from the gradients of all epochs."""

    @classmethod
    def reads(cls, view: View) -> tuple[str, ...]:
        return tuple(source for source in SOURCES.get(view.role, ()) if getattr(view, source) is not None)[:1]

    @classmethod
    def suits(cls, view: View, background: Background, effort: Effort) -> bool:
        return background.classes == 2

    @classmethod
    def target(cls, view: View) -> Target:
        return "labels"

    @property
    def epochs_seen(self) -> int:
        return len(self.array(self.reads(self.view)[0]))

    def gradients(self) -> NDArray[np.float32]:
        """float32[epochs, n, width], each epoch scaled to mean square 1 a row, so that no epoch drowns the others."""
        values: NDArray[np.float32] = self.array(self.reads(self.view)[0])
        size = np.sqrt(np.mean(np.sum(np.square(values), axis=2), axis=1))
        return (values / np.where(size > 0, size, 1)[:, None, None]).astype(np.float32, copy=False)


class LabelNorm(LabelAttack):
    """The norm attack. It needs labels of unequal number: the rarer ones have the longer gradients."""

    name: ClassVar[str] = "label_norm"

    def recover(self, rows: NDArray[np.int64]) -> Floats:
        lengths: Floats = np.linalg.norm(self.gradients(), axis=2).mean(axis=0, dtype=np.float64)
        return lengths[rows] * orientation(lengths[self.background.rows], self.background.labels, lengths)


class LabelDirection(LabelAttack):
    """The direction attack, each epoch weighted by how far apart it puts the leaked rows of the two classes."""

    name: ClassVar[str] = "label_direction"

    def recover(self, rows: NDArray[np.int64]) -> Floats:
        total = np.zeros(len(self.view.rows))
        for values in self.gradients():
            along = np.asarray(values @ main_direction(values), np.float64)
            total += orientation(along[self.background.rows], self.background.labels, along) * along
        return total[rows]


class LabelLine(LabelAttack):
    """How far a row's direction is from that of the row nearest to it in direction, or from the main direction of all,
    as a logarithm: of both in each epoch, what sets the leaked classes further apart. Sign and length are not looked at.

    The head moves between steps, so each step has a line of its own; rows of one step find each other without being told
    which these are. Nearest rows are sought among neighbours by the ratio of two random projections, which is equal for
    parallel rows.
    """

    name: ClassVar[str] = "label_line"

    @classmethod
    def suits(cls, view: View, background: Background, effort: Effort) -> bool:
        return background.classes == 2 and all(getattr(view, name).shape[2] > 1 for name in cls.reads(view))

    def recover(self, rows: NDArray[np.int64]) -> Floats:
        generator = np.random.default_rng([_PROJECTIONS, self.seed])
        total = np.zeros(len(self.view.rows))
        for values in self.gradients():
            epoch = [self._oriented(angles, values) for angles in _angles(np.asarray(values, np.float64), generator)]
            total += max(epoch, key=lambda scores: float(np.std(scores)))
        return total[rows]

    def _oriented(self, angles: Floats, values: NDArray[np.float32]) -> Floats:
        """Standardised and weighted by how far apart it sets the leaked classes; rows of zeros have no direction: 0."""
        logarithms = np.log(np.maximum(angles, _PARALLEL))
        there = values.any(axis=1)
        spread = float(logarithms[there].std()) if there.any() else 0.0
        if spread == 0:
            return np.zeros(len(angles))
        scores = np.where(there, (logarithms - logarithms[there].mean()) / spread, 0.0)
        return scores * orientation(scores[self.background.rows], self.background.labels, scores)


class LabelRidge(LabelAttack):
    """Ridge from gradients and their lengths to the leaked rows' class indicators, which is a discriminant analysis with
    the covariance shrunk (Hastie, Tibshirani & Friedman 2009, §4.3)."""

    name: ClassVar[str] = "label_ridge"

    @classmethod
    def suits(cls, view: View, background: Background, effort: Effort) -> bool:
        return background.classes >= 2

    def recover(self, rows: NDArray[np.int64]) -> Floats:
        """Scores [rows] of class 1, or [rows, classes]; the same for all rows where a class did not leak."""
        gradients = self.gradients()
        lengths = np.linalg.norm(gradients, axis=2).mean(axis=0)[:, None]
        seen = np.concatenate([stacked(gradients, LIMITS[self.effort]), lengths], axis=1)
        features = standardised(seen, self.background.rows)
        return self.classified(features, rows)

    def classified(self, features: NDArray[np.float32], rows: NDArray[np.int64]) -> Floats:
        """Scores of these rows by a ridge from the leaked rows' features to their classes."""
        indicators = np.eye(self.background.classes)[self.background.labels]
        scores = fit_ridge(features[self.background.rows], indicators)(features[rows])
        return scores[:, 1] if self.background.classes == 2 else scores


class LabelSummed(LabelRidge):
    """From the gradient of a party's own weights, which is summed over the rows of a step.

    It says how the label goes with the party's columns; that alone one could fit on the leaked rows, too, and is the baseline.
    """

    name: ClassVar[str] = "label_summed"
    note: ClassVar[str] = (
        "a step with no more rows than the party has columns gives away each of its rows' gradients; with more, steps that mix rows "
        "anew are put together, as if a row's gradient stayed alike"
    )
    baseline_kind: ClassVar[str] = OWN_COLUMNS

    @classmethod
    def reads(cls, view: View) -> tuple[str, ...]:
        able = view.role == "feature-holder" and view.solved_gradient is not None and view.own_rows is not None
        return ("solved_gradient",) if able else ()

    def recover(self, rows: NDArray[np.int64]) -> Floats:
        """Beside own columns, what was solved for is scaled by the weight that cross-validation likes best, so that equations of little
        worth are not fitted at the price of good columns."""
        leaked, indicators = self.background.rows, np.eye(self.background.classes)[self.background.labels]
        seen = standardised(stacked(self.gradients(), LIMITS[self.effort]), leaked)
        choices = [np.concatenate([weight * seen, self._own()], axis=1) for weight in _WEIGHTS]
        best = min(choices, key=lambda features: fit_ridge(features[leaked], indicators).error)
        return self.classified(best, rows)

    def baseline(self, judge: Judge) -> Mapping[str, Score]:
        return judge.score_labels(self.classified(self._own(), judge.label_rows))

    def _own(self) -> NDArray[np.float32]:
        return standardised(self.array("own_rows"), self.background.rows)


def _angles(values: Floats, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Of float64[n, width], the sine of every row's angle with the nearest of its neighbours, and with the main direction."""
    units = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    cosines = np.zeros(len(values))
    for _ in range(_KEYS):
        above, below = (units @ generator.standard_normal((units.shape[1], 2))).T
        order = np.argsort(above / np.where(below == 0, 1.0, below))
        sorted_units = units[order]
        for apart in range(1, min(_NEIGHBOURS, len(order) - 1) + 1):
            near = np.abs(np.einsum("ij,ij->i", sorted_units[apart:], sorted_units[:-apart]))
            for side in (order[apart:], order[:-apart]):
                cosines[side] = np.maximum(cosines[side], near)
    return _sine(cosines), _sine(np.abs(units @ main_direction(units)))


def main_direction(values: NDArray[Any]) -> Floats:
    """The unit vector float64[width] along which values [n, width] are longest, by power iteration on their Gram matrix.

    All eigenvectors of 400 columns take a hundred times as long, a hundred epochs of them minutes. Where the longest direction is clearly
    the longest, as where labels are to be told, it is met to 1e-9; where none is (noise), what comes out is one of the long ones.
    """
    gram = np.asarray(values.T @ values, np.float64)
    vector: Floats = np.random.default_rng(_START).standard_normal(len(gram))
    for _ in range(_ITERATIONS):
        image = gram @ vector
        length = float(np.linalg.norm(image))
        if length == 0:
            break
        image /= length
        settled = float(np.abs(image - vector).max()) < _SETTLED
        vector = image
        if settled:
            break
    found: Floats = vector / np.linalg.norm(vector)
    return found


def _sine(cosines: Floats) -> Floats:
    sines: Floats = np.sqrt(np.maximum(1.0 - cosines**2, 0.0))
    return sines


def orientation(leaked: Floats, labels: NDArray[np.int64], everybody: Floats) -> float:
    """How far class 1 lies above class 0 among leaked scores, in standard deviations.

    Where one class only leaked, it is the common one, and the other is looked for on the side where scores of everybody
    are rare.
    """
    positive = labels == 1
    spread = float(leaked.std())
    if spread == 0:
        return 1.0
    if positive.any() and not positive.all():
        return float(leaked[positive].mean() - leaked[~positive].mean()) / spread or 1.0
    skew = float(np.mean((everybody - everybody.mean()) ** 3))
    return (1.0 if skew >= 0 else -1.0) * (-1.0 if positive.all() else 1.0)
