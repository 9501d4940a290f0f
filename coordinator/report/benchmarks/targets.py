"""What the frontier is to reach, as it was set before anything was measured, and whether a setting does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from coordinator.report.benchmarks.outcomes import Outcome

Verdict = Literal["met", "leaks", "costs", "leaks and costs", "not measured", "nothing to stack"]


@dataclass(frozen=True)
class Target:
    """Little leakage at little cost.

    Attributes:
      name: heads a column; sentence: in full.
      utility: the measure of the plans that it is for.
      excess: leakage above what is wanted, 0 or less where it is little enough; None where it was not measured.
      applies: whether an outcome can be held to it at all: a run of one epoch has nothing to stack.
      keeps_score: whether an outcome scores well enough, None where there is nothing to hold it against.
    """

    name: str
    sentence: str
    utility: str
    excess: Callable[[Outcome], float | None]
    keeps_score: Callable[[Outcome], bool | None]
    applies: Callable[[Outcome], bool] = lambda outcome: True

    def verdict(self, outcome: Outcome) -> Verdict:
        if not self.applies(outcome):
            return "nothing to stack"
        excess, score = self.excess(outcome), self.keeps_score(outcome)
        if excess is None or score is None:
            return "not measured"
        if excess <= 0:
            return "met" if score else "costs"
        return "leaks" if score else "leaks and costs"

    def closest(self, outcomes: Sequence[Outcome]) -> tuple[Outcome, float] | None:
        """Of those that keep the score, the one with the least excess, and that; None where none does."""
        able = [
            (excess, place)
            for place, one in enumerate(outcomes)
            if self.applies(one) and self.keeps_score(one) and (excess := self.excess(one)) is not None
        ]
        if not able:
            return None
        excess, place = min(able)
        return outcomes[place], excess


def _above(leak: str, limit: float, chance: float = 0.0) -> Callable[[Outcome], float | None]:
    """A role that was sent nothing of it is at ``chance``."""

    def excess(outcome: Outcome) -> float | None:
        if leak in outcome.leaks:
            return outcome.leaks[leak].mean - limit
        return chance - limit if leak in outcome.unseen else None

    return excess


def _stacking_adds(outcome: Outcome) -> float | None:
    if "r2_single" not in outcome.leaks or "r2_stacked" not in outcome.leaks:
        return None
    return outcome.leaks["r2_stacked"].mean - outcome.leaks["r2_single"].mean


def _stacks(outcome: Outcome) -> bool:
    """Not where one epoch was read and no more: that meets the target by construction and shows nothing."""
    return "r2_stacked" in outcome.leaks or "r2_single" not in outcome.leaks


def _loses_at_most(limit: float) -> Callable[[Outcome], bool | None]:
    def keeps(outcome: Outcome) -> bool | None:
        if outcome.plain:
            return True
        return None if outcome.lost is None else outcome.lost.mean <= limit

    return keeps


TARGETS: tuple[Target, ...] = (
    Target(
        "re-identification target",
        "re-identification by the neutral server ≤ 0.25 at accuracy ≥ 0.90",
        "accuracy",
        _above("re_identification", 0.25),
        lambda outcome: outcome.utility.mean >= 0.90,
    ),
    Target(
        "stacking target",
        "R² from the view of all epochs no higher than from one, at ≤ 0.005 AUC lost",
        "auc",
        _stacking_adds,
        _loses_at_most(0.005),
        _stacks,
    ),
    Target(
        "label target",
        "label AUC at a feature holder ≤ 0.6, at ≤ 0.01 AUC lost",
        "auc",
        _above("label_auc", 0.6, chance=0.5),
        _loses_at_most(0.01),
    ),
)
"""The first was set for MNIST, the others for fraud; a plan of another table is held to those of its kind of score."""


def targets_for(measure: str) -> tuple[Target, ...]:
    return tuple(target for target in TARGETS if target.utility == measure)
