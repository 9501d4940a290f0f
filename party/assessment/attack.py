"""The life of an attack: made from a view and a background, fitted afresh, judged on rows it was never given."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray

from kernel.errors import TertiumError
from kernel.metrics.scores import Score
from party.assessment.background import Background
from party.assessment.judge import Judge
from party.assessment.view import View

__all__ = ["OWN_COLUMNS", "Attack", "AttackResult", "Effort", "Evaluation", "Score", "Skipped"]

Effort = Literal["quick", "full"]
Target = Literal["rows", "labels", "peer block"]


OWN_COLUMNS: Final = "own columns"


@dataclass(frozen=True)
class Evaluation:
    """What one attack reached on one view: its scores by measure, and the seconds of fitting and recovery."""

    scores: Mapping[str, Score]
    seconds: float


class Attack(ABC):
    """One attacker. The constructor looks; ``recover`` fits and computes, from view and background only.

    Attributes:
      name: as in the results.
      note: what a reader must know about its numbers.
      baseline_kind: attacks of one kind reach the same without a view; ``OWN_COLUMNS`` where that is what a party's own columns tell
        of labels.
      epochs_seen: of how many epochs it uses the view.
    """

    name: ClassVar[str]
    note: ClassVar[str] = ""
    baseline_kind: ClassVar[str] = ""

    def __init__(self, view: View, background: Background, *, effort: Effort = "quick", seed: int = 0) -> None:
        """Takes the view; ``reads(view)`` must name something.

        Args:
          view: of all rows, the leaked ones among them.
          background: the leaked rows, by their positions in the view.
          effort: how long a network may be fitted and how many stacked values are kept.
          seed: of an attacker's initial weights and draws.
        """
        if not self.reads(view):
            raise TertiumError(f"{self.name} cannot be run on the view of {view.name}; ask reads() first.")
        self.view, self.background, self.effort, self.seed = view, background, effort, seed

    @classmethod
    @abstractmethod
    def reads(cls, view: View) -> tuple[str, ...]:
        """Names of the view's arrays that the attack works on; empty where it cannot be run."""

    @classmethod
    @abstractmethod
    def target(cls, view: View) -> Target:
        """What the attack recovers from such a view."""

    @classmethod
    def suits(cls, view: View, background: Background, effort: Effort) -> bool:
        """Whether the attack is worth running: some need two classes, some more than the quick effort."""
        return True

    @classmethod
    def impossible(cls, view: View) -> str:
        """Why an attack that such a role could run elsewhere cannot be run on this view, for the report; empty where it can."""
        return ""

    @classmethod
    def note_on(cls, view: View) -> str:
        """What a reader must know about its numbers on this view."""
        return cls.note

    @abstractmethod
    def recover(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Of the rows at these positions: their columns [rows, columns], or scores of their labels [rows] or [rows, classes]."""

    def array(self, name: str) -> NDArray[np.float32]:
        """An array of the view by name; TertiumError where the view lacks it."""
        found: NDArray[np.float32] | None = getattr(self.view, name)
        if found is None:
            raise TertiumError(
                f"{self.name} reads {name}, which the view of {self.view.name} lacks; ask reads() first."
            )
        return found

    @property
    def epochs_seen(self) -> int:
        return 1

    def without_view(self, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """The recovery that needs no view, if the attacker knows better than the leaked rows' mean."""
        return None

    def evaluate(self, judge: Judge) -> Evaluation:
        """Recovers the rows or labels the judge holds, and has them scored."""
        labels = self.target(self.view) == "labels"
        rows = judge.label_rows if labels else judge.rows
        started = time.perf_counter()
        recovery = self.recover(rows)
        seconds = time.perf_counter() - started
        scores = judge.score_labels(recovery) if labels else judge.score(recovery)
        return Evaluation(scores, seconds)

    def baseline(self, judge: Judge) -> Mapping[str, Score]:
        """By measure, what the same attacker reaches without the view."""
        known = self.without_view(judge.rows) if self.target(self.view) != "labels" else None
        return judge.baseline if known is None else judge.baseline | judge.score(known)


@dataclass(frozen=True)
class AttackResult:
    """One measure of one attack by one role.

    Attributes:
      attack: such as "inverse_ridge".
      role: who could run it: the view's role, and its name where several processes have that role.
      target: "rows", "labels" or "peer block".
      measure: "r2", "mse", "re_identification", "ssim" or "auc".
      score: what the attack reached, with its 95 % interval.
      baseline: what is reached without the view (the note says which): chance, the leaked rows' mean, or own
        columns alone.
      positive_control: the same attack where it must succeed, on a view without protection.
      negative_control: the same attack on independent noise.
      leaked_rows: how many rows the attacker was fitted on.
      epochs_seen: of how many epochs it used the view.
      seconds: fitting and recovery on the view itself, without the controls.
      note: what a reader must know about this number.
      class_mean: what the leaked rows' class means reach for one who is told every row's class; None where that is no
        question.
    """

    attack: str
    role: str
    target: str
    measure: str
    score: Score
    baseline: Score
    positive_control: Score
    negative_control: Score
    leaked_rows: int
    epochs_seen: int
    seconds: float
    note: str
    class_mean: Score | None = None

    @property
    def key(self) -> str:
        """The name in metrics.json: "<role>.<attack>.<measure>"."""
        return f"{self.role}.{self.attack}.{self.measure}"

    def document(self) -> dict[str, Any]:
        """One entry {key: {...}} of ``privacy.attacks`` in metrics.json."""
        scores = ("baseline", "positive_control", "negative_control")
        rest = ("target", "leaked_rows", "epochs_seen", "seconds", "note")
        found = asdict(self.score) | {name: asdict(getattr(self, name)) for name in scores}
        if self.class_mean is not None:
            found["class_mean"] = asdict(self.class_mean)
        return {self.key: found | {name: getattr(self, name) for name in rest}}


@dataclass(frozen=True)
class Skipped:
    """What could not be measured, and why: a line of the report, so that nothing is dropped in silence.

    Attributes:
      role: as in a result; "" where it is nobody's; attack: "" where it is more than one attack.
      sentence: what is missing and why, without a value of any row.
    """

    role: str
    attack: str
    sentence: str
