"""The page's section on `bench frontier`: what mitigations cost in score and what still leaks, plan by plan."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from coordinator.report.benchmarks.controls import control_table
from coordinator.report.benchmarks.frontier_plot import draw_frontier
from coordinator.report.benchmarks.outcomes import Measured, Outcome, outcome_of
from coordinator.report.benchmarks.page import environment_line, markdown_table
from coordinator.report.benchmarks.targets import Target, targets_for
from coordinator.report.quantities import DASH, gap
from coordinator.sweeps.bench_log import Record
from coordinator.sweeps.leakage import LEAKS

LEAK_NAMES = {
    "re_identification": "re-identification",
    "r2": "R²",
    "r2_single": "R², one epoch",
    "r2_stacked": "R², all epochs",
    "label_auc": "label AUC",
    "label_auc_server": "label AUC, server",
    "peer_r2": "R² at a party",
}
UTILITY_NAMES = {"auc": "AUC", "accuracy": "accuracy", "r_squared": "R²"}
_PLOTTED = ("re_identification", "r2", "label_auc")

_INTRODUCTION = """## Leakage over score (`tertium bench frontier`)

Each line is one network trained as its plan says but for the overrides of its name, and then attacked by attackers fitted afresh on
what every role received in that run; a defence is never judged by the net it trained against. Every leak is the strongest of its attacks,
chosen by its value on the rows it is judged on: it errs towards more leakage.

* **re-identification**: how often the row that the neutral server recovers is nearest to the true one among 100 of its class; chance is 0.01.
* **R²**: of the rows that the neutral server recovers, against the mean of all; beside it from the view of one epoch alone, and stacked from all.
* **label AUC**: of a feature holder that tells labels from ∂L/∂z₁; chance is 0.5. **label AUC, server**: of the neutral server, from ∂L/∂h_L.
* **R² at a party**: of the other parties' columns, recovered by a party with its own rows; in brackets, what its own columns tell without
  any view. With a defender h₁ goes to every party, which is why it is shown.
* **lost**: score of the plan as it is less this one's, paired by seed.

Each plan ends with the controls of its attacks.

In brackets are 95 % intervals: with one seed of the test rows or of the judged rows, with more over seeds (Student's t).
"""


def section(records: list[Record], plots: Path) -> str:
    """Markdown of every plan's newest sweep, with a plot a leak in ``plots``; "" without records."""
    if not records:
        return ""
    parts = [_INTRODUCTION]
    for plan in dict.fromkeys(record["plan"] for record in records):
        parts += _plan([record for record in records if record["plan"] == plan], plots)
    return "\n".join([*parts, f"{environment_line(records[-1])}\n"])


def newest_sweep(records: Sequence[Record]) -> list[Record]:
    """The runs of one plan that may stand beside each other: of the newest base plan and attacks, and of every variant as it
    was defined last."""
    last = records[-1]
    comparable = [record for record in records if all(record[key] == last[key] for key in ("base", "attacks"))]
    families = {record["variant"]: record["family"] for record in comparable}
    return [record for record in comparable if record["family"] == families[record["variant"]]]


def outcomes(sweep: Sequence[Record]) -> list[Outcome]:
    """One a variant, in the order they were first measured, the plain one first, whatever files have called it."""
    by_name: dict[str, list[Record]] = {}
    plain = [record for record in sweep if record["plain"]]
    for record in sweep:
        name = plain[-1]["variant"] if record["plain"] else record["variant"]
        by_name.setdefault(name, []).append(record)
    found = [outcome_of(name, runs, None if runs[-1]["plain"] else plain) for name, runs in by_name.items()]
    return sorted(found, key=lambda one: not one.plain)


def _plan(records: Sequence[Record], plots: Path) -> list[str]:
    sweep = newest_sweep(records)
    found = outcomes(sweep)
    name, attacks = sweep[-1]["plan"], sweep[-1]["attacks"]
    targets = targets_for(found[0].measure)
    facts = (
        f"attacks: {attacks['effort']}, {attacks['leaked_fraction']:.0%} of the training rows leaked; {found[0].utility.rows or DASH} test "
        f"rows; {_seeds_in_words(found)}"
    )
    parts = [f"### {name}: {len(found)} settings\n", f"{facts[0].upper()}{facts[1:]}.\n", variant_table(found, targets)]
    parts += [target_line(target, found) for target in targets]
    parts.append("")
    for leak in _PLOTTED:
        if any(leak in one.leaks for one in found):
            drawn = [_at_chance(leak, one, found) for one in found]
            file = f"frontier-{name}-{leak.replace('_', '-')}.png"
            draw_frontier(
                plots / file,
                drawn,
                leak,
                title=f"{name}: {LEAK_NAMES[leak]} over {UTILITY_NAMES[found[0].measure]}",
                x_label=f"{UTILITY_NAMES[found[0].measure]} on test rows (higher is better)",
                y_label=f"{LEAK_NAMES[leak]}, strongest attack (lower is better)",
                caption=facts,
            )
            parts.append(f"![{LEAK_NAMES[leak]} over score, {name}]({plots.name}/{file})\n")
    return [*parts, control_table(name, sweep)]


def _seeds_in_words(found: Sequence[Outcome]) -> str:
    fewest, most = (limit(len(one.seeds) for one in found) for limit in (min, max))
    if fewest == most:
        return f"{most} {'seed' if most == 1 else 'seeds'}"
    return f"{fewest} to {most} seeds a setting: compare scores by what was lost, which is paired by seed"


def _at_chance(leak: str, one: Outcome, found: Sequence[Outcome]) -> Outcome:
    """A role that was sent nothing of it is where one without a view is."""
    if leak not in one.unseen:
        return one
    chance = next(other.leaks[leak].baseline for other in found if leak in other.leaks)
    nothing = Measured(chance or 0.0, None, None, None, None, chance, None, ())
    return replace(one, leaks={**one.leaks, leak: nothing})


def variant_table(found: Sequence[Outcome], targets: Sequence[Target]) -> str:
    """Markdown, a line a setting."""
    head = ["setting", UTILITY_NAMES[found[0].measure], "lost", *(LEAK_NAMES[leak] for leak in LEAKS if leak != "r2")]
    rows = [
        [
            one.name,
            with_interval(one.utility),
            DASH if one.lost is None else gap(one.lost.mean),
            *(_leak(leak, one) for leak in LEAKS if leak != "r2"),
            *(target.verdict(one) for target in targets),
        ]
        for one in found
    ]
    return markdown_table([*head, *(target.name for target in targets)], rows)


def target_line(target: Target, found: Sequence[Outcome]) -> str:
    """The target, who meets it, and otherwise who comes closest at a score that it allows."""
    met = [one.name for one in found if target.verdict(one) == "met"]
    beyond = [one.name for one in found if target.verdict(one) == "nothing to stack"]
    aside = f" Nothing to stack, so neither met nor missed: {', '.join(beyond)}." if beyond else ""
    return _result(target, found, met) + aside


def _result(target: Target, found: Sequence[Outcome], met: Sequence[str]) -> str:
    if met:
        return f"* {target.sentence}: **met** by {', '.join(met)}."
    closest = target.closest(found)
    if closest is None:
        return f"* {target.sentence}: **missed**; no setting was measured that keeps the score."
    return f"* {target.sentence}: **missed**; of those that keep the score, {closest[0].name} leaks least, {closest[1]:.3f} too much."


def with_interval(one: Measured, digits: int = 3) -> str:
    """0.912 (0.900–0.924)."""
    if one.low is None or one.high is None:
        return f"{one.mean:.{digits}f}"
    return f"{one.mean:.{digits}f} ({one.low:.{digits}f}–{one.high:.{digits}f})"


def _leak(name: str, one: Outcome) -> str:
    if name not in one.leaks:
        return "nothing sent" if name in one.unseen else DASH
    leak = one.leaks[name]
    beside = f" [{leak.baseline:.3f}]" if name == "peer_r2" and leak.baseline is not None else ""
    return with_interval(leak) + beside
