"""The life of an attack: made from a view and a background, fitted afresh, judged on rows it was never given."""

from dataclasses import asdict, dataclass
from typing import Any

from kernel.metrics.scores import Score

__all__ = ["AttackResult", "Score"]


@dataclass(frozen=True)
class AttackResult:
    """One measure of one attack by one role.

    Attributes:
      attack: such as "inverse_ridge".
      role: who could run it: the view's role, and its name where several processes have that role.
      target: "rows", "labels" or "peer block".
      measure: "r2", "mse", "re_identification", "ssim" or "auc".
      score: what the attack reached, with its 95 % interval.
      baseline: what is reached without the view: chance (re_identification, auc) or the class mean of the leaked rows.
      positive_control: the same attack where it must succeed, on a view without protection.
      negative_control: the same attack on independent noise.
      leaked_rows: how many rows the attacker was fitted on.
      epochs_seen: of how many epochs it used the view.
      seconds: fitting and recovery on the view itself, without the controls.
      note: what a reader must know about this number.
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

    @property
    def key(self) -> str:
        """The name in metrics.json: "<role>.<attack>.<measure>"."""
        return f"{self.role}.{self.attack}.{self.measure}"

    def document(self) -> dict[str, Any]:
        """One entry {key: {...}} of ``privacy.attacks`` in metrics.json."""
        scores = ("baseline", "positive_control", "negative_control")
        rest = ("target", "leaked_rows", "epochs_seen", "seconds", "note")
        found = asdict(self.score) | {name: asdict(getattr(self, name)) for name in scores}
        return {self.key: found | {name: getattr(self, name) for name in rest}}
