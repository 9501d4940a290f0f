"""`bench defender`: a plan's score over the defender's weight λ, over seeds (P2N2, Fig. 8), and what each λ leaks.

λ = 0 has the defender on without weight: it trains and shows h1 to the parties, and the network does not heed it.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import tomli_w

from coordinator.local.attacks import RECOVERIES, AttackOptions
from coordinator.plan import Plan, parse_plan, read_plan_text
from coordinator.sweeps.attacked_run import attacked_run, family_of
from coordinator.sweeps.bench_log import BenchLog, Record
from kernel.errors import SettingsError
from kernel.settings import parse_toml

BENCH = "defender"


def defender_plans(
    plan_file: Path | None, weights: Sequence[float], seeds: Sequence[int], objective: str | None
) -> list[tuple[str, Plan]]:
    """Texts and plans of every seed at every weight, seed by seed, so that a sweep that is broken off leaves whole curves.

    Args:
      plan_file: None is the fraud experiment. Its own [defender] stays but for weight and reveal_h1; objective: instead of
        the plan's own.

    Raises:
      SettingsError: no seed, no weight, or a plan that cannot be used; before anything is trained.
    """
    if not seeds or not weights:
        raise SettingsError("a sweep needs one seed and one weight at least")
    file = plan_file or Path(str(files("coordinator.sweeps") / "plans" / "fraud.toml"))
    text = read_plan_text(file)
    return [defended_plan(text, str(file), weight, seed, objective) for seed in seeds for weight in weights]


def defended_plan(plan_text: str, what: str, weight: float, seed: int, objective: str | None) -> tuple[str, Plan]:
    """A plan's TOML and model with a defender of this weight and objective, and this seed.

    Raises:
      SettingsError: not TOML, or no plan with these.
    """
    document = parse_toml(plan_text, what)
    section = document.get("defender")
    defender: dict[str, Any] = dict(section) if isinstance(section, dict) else {}
    defender |= {"weight": weight, "reveal_h1": True}
    if objective is not None:
        defender["objective"] = objective
    document |= {"defender": defender, "seed": seed}
    text = tomli_w.dumps(document)
    return text, parse_plan(text, f"{what} with a defender")


def defender_figures(plan: Plan) -> dict[str, Any]:
    """A record's part on the defender. ``family``: equal for runs that differ in weight and seed only."""
    if plan.defender is None:
        raise SettingsError(f"plan {plan.name} has no defender")
    unweighted = plan.defender.model_copy(update={"weight": 0.0})
    return {
        "weight": plan.defender.weight,
        "objective": plan.defender.objective,
        "distance": plan.defender.distance,
        "family": family_of(plan.model_copy(update={"defender": unweighted})),
    }


def run_defender(
    plans: Sequence[tuple[str, Plan]], attacks: AttackOptions, runs: Path, log: BenchLog, plots: Path
) -> Iterator[Record]:
    """Train every plan and log one record a run: `defender_figures` and `attacked_run`; ``picture`` is the name in ``plots``
    of what attackers of images recovered, where there is one."""
    for text, plan in plans:
        figures = defender_figures(plan) | attacked_run(text, plan, runs, attacks)
        picture = runs / str(figures["run"]) / "plots" / RECOVERIES
        if picture.is_file():
            figures["picture"] = picture_name(plan.name, figures)
            plots.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, plots / figures["picture"])
        yield log.append(BENCH, figures, plan)


def picture_name(plan: str, figures: Mapping[str, Any]) -> str:
    """The same for every run of a plan at this weight, objective and seed: the newest stays."""
    return f"recoveries-{plan}-{figures['objective']}-{figures['weight']:g}-seed-{figures['seed']}.png"
