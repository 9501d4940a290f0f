"""The judge: holds the truth of rows that were not leaked and answers with scores only. An attack never gets the truth.

| measure | is | interval | without the view |
|---|---|---|---|
| ``r2`` | 1 - sum (x - recovery)^2 / sum (x - mean)^2 over rows and columns, so columns count by their variance | bootstrap over rows | the leaked rows' mean, about 0 |
| ``mse`` | mean of (x - recovery)^2 over rows and columns | bootstrap over rows | the same |
| ``re_identification`` | share of rows that are the nearest to their recovery among 100 of their class | Wilson | 0.01 |
| ``ssim`` | mean structural similarity, where rows are images | bootstrap over rows | the leaked rows' mean |
| ``auc`` | of the label; macro over classes when there are more than two | DeLong | 0.5 |

The view of nobody tells a row's class, so a class mean is no baseline: what it reaches is told beside it, as what the class
alone would give away.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kernel.errors import BadInputError
from kernel.metrics.scores import Score, auc, bootstrap, macro_auc, proportion
from party.assessment.background import Background
from party.assessment.structural_similarity import WINDOW, structural_similarity

Recovery = NDArray[np.float32] | NDArray[np.float64]

CANDIDATES: Final = 100

_POOL = 1000
_JUDGED = 0x1D6E


class Judge:
    """Scores recoveries of ``rows`` and guesses of the labels of ``label_rows``.

    Attributes:
      rows: int64[judged], sorted positions on the views' row axis, none of them leaked.
      label_rows: int64[n - leaked], all that were not leaked.
      baseline: by measure, what is reached without a view: every row recovered as the mean of the leaked rows; chance for
        re-identification and labels.
      class_mean: by measure, what somebody reaches who has no view and is told each row's class: the class means of the
        leaked rows. Empty where one class leaked, and without re-identification, which is among rows of a class anyhow.
      undefined: why a measure of recoveries cannot be had of these rows, by measure; empty as a rule.
    """

    def __init__(
        self,
        targets: NDArray[np.float32],
        classes: NDArray[np.int64],
        background: Background,
        *,
        at_most: int,
        seed: int,
        image_shape: tuple[int, int] | None = None,
    ) -> None:
        """Draws which rows are judged, and for each the 99 others of its class among which it must be found.

        The others are drawn without replacement from rows that were not leaked (from 1,000 of them at most). A row of a
        class with fewer than 100 such rows is left out of re-identification; when that leaves no row, all rows count
        as one class.

        Args:
          targets: float32[n, columns], the truth of all rows.
          classes: int64[n], the class of each row, which label attacks are after; zeros where there are none.
          background: what leaked.
          at_most: rows of which recoveries are judged.
          seed: of the draws.
          image_shape: (height, width) where rows are images; else SSIM is not measured.
        """
        generator = np.random.default_rng([_JUDGED, seed])
        self.label_rows = np.setdiff1d(np.arange(len(targets)), background.rows)
        self.rows = np.sort(generator.permutation(self.label_rows)[:at_most])
        self._truth = np.asarray(targets[self.rows], np.float64)
        self._classes, self._seed = classes, seed
        images = image_shape is not None and min(image_shape) >= WINDOW
        self._image_shape = image_shape if images and targets.shape[1] == np.prod(image_shape or 0) else None
        self._least, self._range = float(targets.min()), float(np.ptp(targets))
        self._spread = np.sum((self._truth - self._truth.mean(axis=0)) ** 2, axis=1)
        everybody = np.zeros_like(classes)
        self._searches = self._draw(targets, classes, generator) or self._draw(targets, everybody, generator)
        chance = 1 / CANDIDATES
        self.undefined = {}
        if not self._spread.any():
            self.undefined["r2"] = (
                "the rows to be judged are all alike in these columns, so there is nothing to explain"
            )
        if not self._searches:
            self.undefined["re_identification"] = f"fewer than {CANDIDATES} rows are left to pick from"
        mean = background.targets.mean(axis=0, dtype=np.float64)
        self.baseline = self.score(np.tile(mean, (len(self.rows), 1))) | {
            "re_identification": Score(chance, chance, chance, len(self.rows)),
            "auc": Score(0.5, 0.5, 0.5, len(self.label_rows)),
        }
        self.class_mean: dict[str, Score] = {}
        if len(np.unique(background.labels)) > 1:
            self.class_mean = self.score(_class_means(background, classes, self.rows))
            self.class_mean.pop("re_identification", None)

    def score(self, recovery: Recovery) -> dict[str, Score]:
        """Every measure of a recovery [judged, columns] of ``rows``, by name.

        Raises:
          BadInputError: another shape, or values that are not finite.
        """
        if recovery.shape != self._truth.shape or not np.all(np.isfinite(recovery)):
            raise BadInputError(
                f"a recovery has shape {recovery.shape}, wanted {self._truth.shape} with finite values; "
                "if the attacked training diverged, lower its learning rate."
            )
        squares = np.sum((self._truth - recovery) ** 2, axis=1)
        spread, columns = self._spread, self._truth.shape[1]
        n = len(squares)

        def explained(rows: Any) -> float:
            total = float(spread[rows].sum())
            return 1 - float(squares[rows].sum()) / total if total > 0 else float("nan")

        scores = {"mse": bootstrap(n, lambda rows: float(squares[rows].mean()) / columns, self._seed)}
        if spread.any():
            scores["r2"] = bootstrap(n, explained, self._seed)
        if self._searches:
            found = [_found(self._truth[own], recovery[own], others, drawn) for own, others, drawn in self._searches]
            scores["re_identification"] = proportion(float(sum(map(np.sum, found))), sum(map(len, found)))
        if self._image_shape is not None:
            images, recoveries = ((array - self._least).astype(np.float32) for array in (self._truth, recovery))
            similarity = structural_similarity(images, recoveries, self._image_shape, self._range)
            scores["ssim"] = bootstrap(n, lambda rows: float(similarity[rows].mean()), self._seed)
        return scores

    def score_labels(self, scores: NDArray[Any]) -> dict[str, Score]:
        """``auc`` of scores [rows] (larger means class 1) or [rows, classes] for ``label_rows``."""
        truth = self._classes[self.label_rows]
        return {"auc": auc(truth, scores) if scores.ndim == 1 else macro_auc(truth, scores)}

    def _draw(
        self, targets: NDArray[np.float32], classes: NDArray[np.int64], generator: np.random.Generator
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]]:
        """For each class: judged rows (positions in ``rows``), a pool of rows, and 99 of the pool for each judged row."""
        searches = []
        for number in np.unique(classes[self.rows]):
            members = self.label_rows[classes[self.label_rows] == number]
            own = np.flatnonzero(classes[self.rows] == number)
            if len(members) < CANDIDATES:
                continue
            pool = np.sort(generator.permutation(members)[:_POOL])
            drawn = np.empty((len(own), CANDIDATES - 1), np.int64)
            for start in range(0, len(own), _POOL):
                part = slice(start, start + _POOL)
                keys = generator.random((len(own[part]), len(pool)), np.float32)
                keys[pool == self.rows[own[part], None]] = 2  # the row itself is never one of the others
                drawn[part] = np.argpartition(keys, CANDIDATES - 2, axis=1)[:, : CANDIDATES - 1]
            searches.append((own, np.asarray(targets[pool], np.float64), drawn))
        return searches


def _found(
    truth: NDArray[np.float64], recovery: Recovery, pool: NDArray[np.float64], drawn: NDArray[np.int64]
) -> NDArray[np.float64]:
    """1 where the true row is nearer to its recovery than the drawn ones, 1/k where k are equally near, else 0."""
    centre = pool.mean(axis=0)  # distances are differences of squares: keep these small
    truth, recovery, pool = truth - centre, recovery - centre, pool - centre
    to_truth = np.sum(truth * truth, axis=1) - 2 * np.sum(truth * recovery, axis=1)
    to_pool = np.sum(pool * pool, axis=1) - 2 * (recovery @ pool.T)
    others = np.take_along_axis(to_pool, drawn, axis=1)
    size = np.sum(recovery * recovery, axis=1) + np.sum(truth * truth, axis=1)
    margin = 1e-12 * size
    nearer = np.sum(others < (to_truth - margin)[:, None], axis=1)
    equal = np.sum(np.abs(others - to_truth[:, None]) <= margin[:, None], axis=1)
    return np.where(nearer == 0, 1 / (1 + equal), 0.0)


def _class_means(background: Background, classes: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """For each row the mean of the leaked rows of its class; of all leaked rows where none of its class leaked."""
    means = np.tile(background.targets.mean(axis=0, dtype=np.float64), (int(classes.max()) + 1, 1))
    leaked = classes[background.rows]
    for number in np.unique(leaked):
        means[number] = background.targets[leaked == number].mean(axis=0, dtype=np.float64)
    recovery: NDArray[np.float64] = means[classes[rows]]
    return recovery
