"""All attacks that the views of a run allow, each with its baseline and controls; what cannot be run is told, too."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kernel.errors import BadInputError, TertiumError
from kernel.metrics.score_inputs import class_numbers
from kernel.network import LossName
from party.assessment.attack import OWN_COLUMNS, Attack, AttackResult, Effort, Score, Skipped, Target
from party.assessment.controls import negative_view, positive_view
from party.assessment.equality_solving import EqualitySolving
from party.assessment.gram import Gram
from party.assessment.inverse_models import InverseMlp, InverseRidge, PaperAttacker, StackedMlp, StackedRidge
from party.assessment.judge import CANDIDATES
from party.assessment.label_inference import LabelDirection, LabelLine, LabelNorm, LabelRidge, LabelSummed
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
    LabelSummed,
    PeerBlock,
    PeerBlockMlp,
    EqualitySolving,
)

_BASELINES: Final[dict[Target, str]] = {
    "rows": "baseline: the mean of the leaked rows",
    "peer block": "baseline: the same attacker with its own columns alone",
    "labels": "baseline: chance",
}

_OF_OWN_COLUMNS: Final = "baseline: the same attacker with its own columns and the leaked labels alone"
_OF_ALL: Final = ("cut_gradient", "head_gradient")
"""What every role of a kind receives alike."""

_MEASURES: Final = {"r2": "R²", "re_identification": "re-identification", "ssim": "SSIM", "mse": "the squared error"}


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
    skipped: list[Skipped] | None = None,
) -> list[AttackResult]:
    """Runs every attack on every view that has what it needs. One that fails costs its own line and no other.

    Views of other rows (predictions on test rows) go into a call of their own. Labels are attacked from an open gradient in the view of
    one feature holder only: all receive the same. Shares of it, and gradients of a party's own weights, differ: every one is attacked.

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
      skipped: what could not be measured is appended. Without it the error of an attack that fails is raised instead, and
        measures that cannot be had are left out without a word.

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
        others = others_columns(view, targets)
        role = view.role if holders.count(view.role) == 1 else f"{view.role} {view.name}"
        columns = targets[:, others] if len(others) else targets
        trial = Trial.draw(view, columns, classes, leaked_fraction, effort, seed, image_shape)
        first = view.role not in holders[:number]
        able = [attack for attack in ATTACKS if attack.reads(view)]
        aims = {attack.target(view) for attack in able}
        gaps = _gaps(trial, aims, labelled=loss != "regression", others=len(others) > 0)
        wanted = [
            attack
            for attack in able
            if attack.suits(view, trial.background, effort)
            and attack.target(view) not in gaps
            and (first or attack.target(view) != "labels" or attack.reads(view)[0] not in _OF_ALL)
        ]
        notes = [Skipped(role, "", reason) for aim, reason in gaps.items() if first or aim != "labels"]
        notes += [Skipped(role, attack.name, reason) for attack in ATTACKS if (reason := attack.impossible(view))]
        if {attack.target(view) for attack in wanted} - {"labels"}:
            undefined = trial.judge.undefined.items()
            notes += [
                Skipped(role, "", f"{_MEASURES[measure]} was not measured: {reason}") for measure, reason in undefined
            ]
        control = trial.control(effort, seed, image_shape)
        without_view: dict[str, Mapping[str, Score]] = {}
        for attack in wanted:
            try:
                results += _run(attack, role, trial, control, effort, seed, without_view, notes)
            except Exception as error:  # whatever one attack stumbles over, the others are to be told
                if skipped is None:
                    raise
                notes.append(Skipped(role, attack.name, _reason(error, attack, view)))
        if skipped is not None:
            skipped += notes
    return results


def _gaps(trial: Trial, aims: set[Target], *, labelled: bool, others: bool) -> dict[Target, str]:
    """What a view could be attacked for and these rows do not allow to measure, with the reason."""
    found: dict[Target, str] = {}
    if "peer block" in aims and not others:
        found["peer block"] = "every column is among the party's own, so there is none of others to recover"
    if "labels" in aims and labelled:
        if trial.background.classes < 2:
            found["labels"] = "all rows are of one class, so there is no label to tell"
        elif len(np.unique(trial.classes[trial.judge.label_rows])) < 2:
            found["labels"] = (
                "the label was not attacked: all rows that did not leak are of one class, so nothing can be told apart"
            )
    return found


def _reason(error: Exception, attack: type[Attack], view: View) -> str:
    if not all(np.isfinite(getattr(view, name)).all() for name in attack.reads(view)):
        return "what it reads is not finite; if the training diverged, lower its learning rate"
    if isinstance(error, TertiumError):
        return str(error)
    # The words of other errors may hold values.
    return f"it failed with {type(error).__name__}, which is a fault of the attack and not of the run; please report it"


def _run(
    attack: type[Attack],
    role: str,
    trial: Trial,
    control: Trial,
    effort: Effort,
    seed: int,
    without_view: dict[str, Mapping[str, Score]],
    notes: list[Skipped],
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
    blind = trial if target == "peer block" or attack.baseline_kind == OWN_COLUMNS else control
    noise = negative_view(blind.view, reads, attacker.epochs_seen, seed)
    negative = attack(noise, blind.background, seed=seed).evaluate(blind.judge).scores
    comparable = [measure for measure in found.scores if all(measure in one for one in (baseline, positive, negative))]
    for measure in found.scores:
        if measure not in comparable:
            why = (control.judge.undefined | blind.judge.undefined).get(measure, "it cannot be had of them")
            notes.append(
                Skipped(
                    role, attack.name, f"{_MEASURES.get(measure, measure)} is not told, for its controls lack it: {why}"
                )
            )
    return [
        AttackResult(
            attack=attack.name,
            role=role,
            target=target,
            measure=measure,
            score=found.scores[measure],
            baseline=baseline[measure],
            positive_control=positive[measure],
            negative_control=negative[measure],
            leaked_rows=len(trial.background.rows),
            epochs_seen=attacker.epochs_seen,
            seconds=found.seconds,
            note=_note(target, measure, trial, attack),
            class_mean=trial.judge.class_mean.get(measure) if target == "rows" else None,
        )
        for measure in comparable
    ]


def _note(target: Target, measure: str, trial: Trial, attack: type[Attack]) -> str:
    baseline = _OF_OWN_COLUMNS if attack.baseline_kind == OWN_COLUMNS else _BASELINES[target]
    if measure == "re_identification" and target == "rows":
        baseline = f"baseline: chance among {CANDIDATES} rows of a class"
    leaked = len(np.unique(trial.background.labels))
    few = target == "labels" and leaked < trial.background.classes
    gap = f"rows of {leaked} of {trial.background.classes} classes leaked" if few else ""
    return "; ".join(filter(None, (baseline, gap, attack.note_on(trial.view))))


def others_columns(view: View, targets: NDArray[np.float32]) -> NDArray[np.int64]:
    """Which columns of the truth the attacker does not have itself."""
    if view.own_rows is None:
        return np.arange(targets.shape[1])
    own = {column.tobytes() for column in np.asarray(view.own_rows, np.float32).T}
    return np.array([k for k, c in enumerate(np.asarray(targets, np.float32).T) if c.tobytes() not in own], np.int64)
