"""All attacks that the views of a run allow, each with its baseline and controls."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kernel.errors import BadInputError
from kernel.metrics.score_inputs import class_numbers
from kernel.network import LossName
from party.assessment.attack import Attack, AttackResult, Effort, Score, Target
from party.assessment.controls import negative_view, positive_view
from party.assessment.equality_solving import EqualitySolving
from party.assessment.gram import Gram
from party.assessment.inverse_models import InverseMlp, InverseRidge, PaperAttacker, StackedMlp, StackedRidge
from party.assessment.judge import CANDIDATES
from party.assessment.label_inference import LabelDirection, LabelLine, LabelNorm, LabelRidge
from party.assessment.peer_block import PeerBlock, PeerBlockMlp
from party.assessment.trial import Trial
from party.assessment.view import View

ATTACKS: Final[tuple[type[Attack], ...]] = (
    InverseRidge,
    InverseMlp,
    StackedRidge,
    StackedMlp,
    PaperAttacker,
    Gram,
    LabelNorm,
    LabelDirection,
    LabelLine,
    LabelRidge,
    PeerBlock,
    PeerBlockMlp,
    EqualitySolving,
)

_BASELINES: Final[dict[Target, str]] = {
    "rows": "baseline: class means of the leaked rows",
    "peer block": "baseline: the same attacker with its own columns alone",
    "labels": "baseline: chance",
}


def evaluate_attacks(
    views: Sequence[View],
    targets: NDArray[np.float32],
    labels: NDArray[Any],
    loss: LossName,
    *,
    effort: Effort,
    leaked_fraction: float,
    seed: int,
    image_shape: tuple[int, int] | None = None,
) -> list[AttackResult]:
    """Runs every attack on every view that has what it needs.

    Views of other rows (predictions on test rows) go into a call of their own. Labels are attacked from the view of one
    feature holder only: all receive the same gradient.

    Args:
      views: all of the same rows in the same order.
      targets: float32[n, columns], all parties' encoded columns, row i at position i of the views' row axis. A
        party's own columns are recognised among them by equality with ``own_rows``.
      labels: [n], class numbers ("regression": anything; labels are not attacked then).
      loss: the plan's.
      effort: "quick" or "full": how many rows are leaked and judged at most, and how long networks are fitted.
      leaked_fraction: of the rows, above 0 and below 1.
      seed: of the leak, the judges' draws and the attackers' initial weights.
      image_shape: (height, width) when a row is an image; adds SSIM.

    Raises:
      BadInputError: no view, views of different rows, lengths that differ, a leaked fraction of 0 or 1.
    """
    if not views:
        raise BadInputError("there is no view to attack: the run kept no transcript. Run it with --record.")
    n = len(views[0].rows)
    if len(targets) != n or len(labels) != n or any(not np.array_equal(v.rows, views[0].rows) for v in views):
        raise BadInputError(
            f"found views of {[len(view.rows) for view in views]} rows, {len(targets)} rows of truth and {len(labels)} "
            "labels; all must be of the same rows in the same order."
        )
    classes = np.zeros(n, np.int64) if loss == "regression" else class_numbers(labels)
    holders = [view.role for view in views]
    results: list[AttackResult] = []
    for number, view in enumerate(views):
        others = _others_columns(view, targets)
        if not len(others):
            continue
        role = view.role if holders.count(view.role) == 1 else f"{view.role} {view.name}"
        trial = Trial.draw(view, targets[:, others], classes, leaked_fraction, effort, seed, image_shape)
        control = trial.control(effort, seed, image_shape)
        first = view.role not in holders[:number]
        without_view: dict[str, Mapping[str, Score]] = {}
        for attack in ATTACKS:
            wanted = attack.reads(view) and attack.suits(view, trial.background, effort)
            if wanted and (first or attack.target(view) != "labels"):
                results += _run(attack, role, trial, control, effort, seed, without_view)
    return results


def _run(
    attack: type[Attack],
    role: str,
    trial: Trial,
    control: Trial,
    effort: Effort,
    seed: int,
    without_view: dict[str, Mapping[str, Score]],
) -> list[AttackResult]:
    reads, target = attack.reads(trial.view), attack.target(trial.view)
    attacker = attack(trial.view, trial.background, effort=effort, seed=seed)
    found = attacker.evaluate(trial.judge)
    if attack.baseline_kind not in without_view:
        without_view[attack.baseline_kind] = attacker.baseline(trial.judge)
    baseline = without_view[attack.baseline_kind]
    plain = positive_view(control.view, reads, target, control.targets, control.classes, seed)
    positive = attack(plain, control.background, seed=seed).evaluate(control.judge).scores
    # What a party's own columns tell depends on how many rows leaked: its chance is that of the trial itself.
    blind = trial if target == "peer block" else control
    noise = negative_view(blind.view, reads, attacker.epochs_seen, seed)
    negative = attack(noise, blind.background, seed=seed).evaluate(blind.judge).scores
    return [
        AttackResult(
            attack=attack.name,
            role=role,
            target=target,
            measure=measure,
            score=score,
            baseline=baseline[measure],
            positive_control=positive[measure],
            negative_control=negative[measure],
            leaked_rows=len(trial.background.rows),
            epochs_seen=attacker.epochs_seen,
            seconds=found.seconds,
            note=_note(target, measure, trial, attack),
        )
        for measure, score in found.scores.items()
    ]


def _note(target: Target, measure: str, trial: Trial, attack: type[Attack]) -> str:
    baseline = _BASELINES[target]
    if measure == "re_identification" and target == "rows":
        baseline = f"baseline: chance among {CANDIDATES} rows of a class"
    if measure == "mse" and target == "rows":
        baseline += f"; the mean of the leaked rows has {trial.judge.mean_row_error(trial.background):.4g}"
    return "; ".join(filter(None, (baseline, attack.note)))


def _others_columns(view: View, targets: NDArray[np.float32]) -> NDArray[np.int64]:
    """Which columns of the truth the attacker does not have itself."""
    if view.own_rows is None:
        return np.arange(targets.shape[1])
    own = {column.tobytes() for column in np.asarray(view.own_rows, np.float32).T}
    return np.array([k for k, c in enumerate(np.asarray(targets, np.float32).T) if c.tobytes() not in own], np.int64)
