"""One run of a privacy benchmark: trained here, attacked if asked, and read back as a record's figures."""

from pathlib import Path
from typing import Any

from rich.console import Console

from coordinator.cli.training import train_here
from coordinator.local.attacks import AttackOptions
from coordinator.plan import Plan
from coordinator.report.privacy.attack_record import attacks_of
from coordinator.report.run_record import RunRecord, read_run
from coordinator.sweeps.leakage import leakage_of
from kernel.errors import BadInputError
from kernel.network import LossName
from kernel.plan_message import plan_hash

UTILITIES: dict[LossName, str] = {"binary": "auc", "multiclass": "accuracy", "regression": "r_squared"}
"""The score that a loss's networks are judged by."""


def attacked_run(plan_text: str, plan: Plan, runs: Path, attacks: AttackOptions) -> dict[str, Any]:
    """Train with every role as its own process; returns `run_figures`.

    Raises:
      TertiumError: the run or an attack failed, in its own words.
    """
    directory = train_here(
        plan_text,
        plan,
        "",
        runs,
        resume=False,
        baseline=False,
        attacks=attacks,
        report=False,
        console=Console(quiet=True),
    )
    return run_figures(plan, read_run(directory), attacks)


def run_figures(plan: Plan, run: RunRecord, attacks: AttackOptions) -> dict[str, Any]:
    """``run``, ``seed``, ``epochs``, ``epoch_seconds``; ``utility``: measure, value, low, high, n; and, where it was attacked,
    ``attacks``: effort and leaked fraction; ``leakage`` (see `leakage_of`); ``unseen``: leaks of which the role was sent
    nothing, so that there is no attack; and ``controls``: every attack beside what it reaches without the view, what a row's
    class alone tells (None where that is no question), where nothing is protected, and on noise.

    Raises:
      BadInputError: the run has no score of its loss.
    """
    measure = UTILITIES[plan.network.loss]
    if measure not in run.scores:
        raise BadInputError(f"run {run.run} has no {measure}; it ended before its test rows were scored")
    reached = run.scores[measure]
    figures: dict[str, Any] = {
        "run": run.run,
        "seed": plan.seed,
        "epochs": plan.epochs,
        "epoch_seconds": list(run.epoch_seconds),
        "utility": {
            "measure": measure,
            "value": reached.value,
            "low": reached.low,
            "high": reached.high,
            "n": reached.n,
        },
    }
    if attacks.wanted:
        figures["attacks"] = {"effort": attacks.effort, "leaked_fraction": attacks.leaked_fraction}
        found = attacks_of(run)
        figures["leakage"] = leakage_of(found)
        if plan.protection.freeze_first_layer_after == 0:
            figures["unseen"] = ["label_auc"]
        figures["controls"] = [
            {
                "role": attack.role,
                "attack": attack.attack,
                "measure": attack.measure,
                "target": attack.target,
                "value": attack.score.value,
                "baseline": attack.baseline.value,
                "class_mean": None if attack.class_mean is None else attack.class_mean.value,
                "positive": attack.positive_control.value,
                "negative": attack.negative_control.value,
            }
            for attack in found
        ]
    return figures


def family_of(plan: Plan) -> str:
    """The hash of the plan with seed 0: equal for runs that differ in their seed only."""
    return plan_hash(plan.model_copy(update={"seed": 0}).message()).hex()
