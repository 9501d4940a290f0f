"""A trial: one view, what leaked of its rows, and the judge of the others. Its control is a smaller one of the same kind."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from party.assessment.attack import Effort
from party.assessment.background import Background, draw_background
from party.assessment.judge import Judge
from party.assessment.view import View

_CONTROL: Final = 0xC0DE
_LEAST: Final = 10
"""Rows of a class that a control has, where there are so many: a class that is rare must not be missing from it."""


@dataclass(frozen=True)
class Sizes:
    """Bounds on rows, for speed: leaked, judged, and leaked and others in the controls."""

    leaked: int
    judged: int
    control_leaked: int
    control_others: int


SIZES: Final[dict[Effort, Sizes]] = {
    "quick": Sizes(leaked=5000, judged=2000, control_leaked=1000, control_others=4000),
    "full": Sizes(leaked=8000, judged=5000, control_leaked=2000, control_others=6000),
}


@dataclass(frozen=True, eq=False)
class Trial:
    """A view, the truth of its rows, what leaked of it, and the judge of the rest."""

    view: View
    targets: NDArray[np.float32]
    classes: NDArray[np.int64]
    background: Background
    judge: Judge

    @classmethod
    def draw(
        cls,
        view: View,
        targets: NDArray[np.float32],
        classes: NDArray[np.int64],
        fraction: float,
        effort: Effort,
        seed: int,
        image_shape: tuple[int, int] | None,
    ) -> "Trial":
        bounds = SIZES[effort]
        background = draw_background(targets, classes, fraction, seed, at_most=bounds.leaked)
        judge = Judge(targets, classes, background, at_most=bounds.judged, seed=seed, image_shape=image_shape)
        return cls(view, targets, classes, background, judge)

    def control(self, effort: Effort, seed: int, image_shape: tuple[int, int] | None) -> "Trial":
        """A smaller trial of the same kind: fewer leaked and other rows, so that controls do not cost what attacks do."""
        bounds = SIZES[effort]
        generator = np.random.default_rng([_CONTROL, seed])
        leaked = stratified(self.background.rows, self.classes, bounds.control_leaked, generator)
        others = stratified(self.judge.label_rows, self.classes, bounds.control_others, generator)
        rows = np.sort(np.concatenate([leaked, others]))
        targets, classes = self.targets[rows], self.classes[rows]
        at = np.flatnonzero(np.isin(rows, leaked))
        background = Background(at, targets[at], classes[at], self.background.classes)
        judge = Judge(targets, classes, background, at_most=bounds.control_leaked, seed=seed, image_shape=image_shape)
        return Trial(self.view.restricted(rows), targets, classes, background, judge)


def stratified(
    rows: NDArray[np.int64], classes: NDArray[np.int64], most: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """About ``most`` of the rows, drawn without replacement: of every class its share, and no class left out.

    A class gets its share rounded down, but ten rows, or all it has, where the share is less (with many classes ``most``
    over their number instead of ten): so it may be a few rows more than ``most``. All rows where they are no more than that.
    """
    if len(rows) <= most:
        return rows
    numbers, counts = np.unique(classes[rows], return_counts=True)
    least = min(_LEAST, most // len(numbers))
    drawn = [
        generator.permutation(rows[classes[rows] == number])[: max(most * count // len(rows), min(least, count))]
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)
    ]
    return np.concatenate(drawn)
