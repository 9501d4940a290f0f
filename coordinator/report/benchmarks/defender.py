"""The page's section on `bench defender`: a plan's score over the defender's weight λ, and what each λ leaks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coordinator.report.benchmarks.figure import save_figure
from coordinator.report.benchmarks.frontier import LEAK_NAMES, UTILITY_NAMES, with_interval
from coordinator.report.benchmarks.image_readers import image_part
from coordinator.report.benchmarks.outcomes import Measured, Outcome, outcome_of
from coordinator.report.benchmarks.page import environment_line, markdown_table
from coordinator.report.plots import PLAIN, RELAYED, SPLIT, TF_FUNCTION
from coordinator.report.quantities import DASH, gap
from coordinator.sweeps.bench_log import Record

COLOURS: Mapping[str, str] = {"adversarial": SPLIT, "literal": RELAYED}
LEAKS = ("re_identification", "r2", "peer_r2")
_LEAK_COLOURS: Mapping[str, str] = {"re_identification": PLAIN, "r2": SPLIT, "peer_r2": TF_FUNCTION}
_TEXT = "#1f2733"

_INTRODUCTION = """## Score over the defender's weight (`tertium bench defender`)

The paper's Fig. 8. λ = 0 has the defender on without weight. `adversarial`: the defender net lowers its distance to the rows and the
network raises it; `literal`: as the paper's Eq. 3–4 are written, where the net raises it too. The interval over seeds is Student's, 95 %; what
one seed's test rows leave open is beside it. Lost is the score at λ = 0, of the same seed, less this one's. Leaks are those
of attackers fitted afresh (see the section on leakage over score).
"""


def section(records: list[Record], plots: Path) -> str:
    """Markdown of the newest sweep of every plan and objective, with plots; "" without records."""
    if not records:
        return ""
    parts = [_INTRODUCTION]
    for plan in dict.fromkeys(record["plan"] for record in records):
        curves = curves_of([record for record in records if record["plan"] == plan])
        name = f"defender-{plan}.png"
        _draw_scores(plots / name, plan, curves)
        for objective, curve in curves.items():
            parts += [f"### {plan}, `{objective}`\n", curve_table(curve)]
            of_it = [record for record in records if (record["plan"], record["objective"]) == (plan, objective)]
            parts.append(image_part(of_it, plots))
            if any(one.leaks for one in curve.values()):
                leaks = f"defender-{plan}-{objective}-leakage.png"
                _draw_leaks(plots / leaks, plan, objective, curve)
                parts.append(f"![Leakage over λ, {plan}, {objective}]({plots.name}/{leaks})\n")
        parts.append(f"![Score over λ, {plan}]({plots.name}/{name})\n")
    return "\n".join([*parts, f"{environment_line(records[-1])}\n"])


def curves_of(records: Sequence[Record]) -> dict[str, dict[float, Outcome]]:
    """By objective and rising λ, of one plan: the newest family of each objective.

    A run that was attacked stays when its seed is run again without attacks; attacks of another effort do not mix.
    """
    found = {}
    for objective in sorted({record["objective"] for record in records}, key=list(COLOURS).index):
        of_it = [record for record in records if record["objective"] == objective]
        family = [record for record in of_it if record["family"] == of_it[-1]["family"]]
        attacked = [record for record in family if "attacks" in record]
        if attacked:
            efforts = attacked[-1]["attacks"]
            family = [one for one in family if "attacks" not in one] + [
                one for one in attacked if one["attacks"] == efforts
            ]
        weights = sorted({record["weight"] for record in family})
        unweighted = [record for record in family if record["weight"] == 0]
        found[objective] = {
            weight: outcome_of(
                weight_name(weight),
                [record for record in family if record["weight"] == weight],
                unweighted if weight else None,
            )
            for weight in weights
        }
    return found


def weight_name(weight: float) -> str:
    """0, 1e-05, 0.1, 100."""
    return f"{weight:g}"


def curve_table(curve: Mapping[float, Outcome]) -> str:
    """Markdown, a line a λ."""
    outcomes = list(curve.values())
    leaks = [leak for leak in LEAKS if any(leak in one.leaks for one in outcomes)]
    head = ["λ", "seeds", f"{UTILITY_NAMES[outcomes[0].measure]}, mean over seeds", "of one seed", "lost"]
    rows = [
        [
            one.name,
            str(len(one.seeds)),
            with_interval(one.utility, 4) if len(one.seeds) > 1 else f"{one.utility.mean:.4f}",
            own_interval(one.utility),
            lost(one),
            *(with_interval(one.leaks[leak]) if leak in one.leaks else DASH for leak in leaks),
        ]
        for one in outcomes
    ]
    return markdown_table([*head, *(LEAK_NAMES[leak] for leak in leaks)], rows)


def own_interval(one: Measured) -> str:
    """The mean ends of single seeds' intervals over their test rows."""
    return DASH if one.own_low is None or one.own_high is None else f"{one.own_low:.4f}–{one.own_high:.4f}"


def lost(one: Outcome) -> str:
    if one.lost is None:
        return DASH
    if one.lost.low is None or one.lost.high is None:
        return gap(one.lost.mean)
    return f"{gap(one.lost.mean)} ({gap(one.lost.low)} to {gap(one.lost.high)})"


def _draw_scores(file: Path, plan: str, curves: Mapping[str, Mapping[float, Outcome]]) -> None:
    """λ on an axis of names, for 0 has no logarithm; a curve an objective."""
    names = _axis(curves)
    first = next(iter(next(iter(curves.values())).values()))

    def draw(axes: Any) -> None:
        for number, (objective, curve) in enumerate(curves.items()):
            apart = 0.08 * (number - (len(curves) - 1) / 2)
            _curve(
                axes,
                [names.index(one.name) + apart for one in curve.values()],
                [one.utility for one in curve.values()],
                COLOURS[objective],
                objective,
            )
        measure = UTILITY_NAMES[first.measure]
        _frame(axes, names, f"{plan}: {measure} over the defender's weight", f"{measure} on test rows")
        _caption(axes, [one.utility for curve in curves.values() for one in curve.values()], "test rows")

    save_figure(file, draw)


def _draw_leaks(file: Path, plan: str, objective: str, curve: Mapping[float, Outcome]) -> None:
    shown = {weight: one for weight, one in curve.items() if one.leaks}
    names = _axis({objective: shown})
    leaks = [leak for leak in LEAKS if any(leak in one.leaks for one in shown.values())]

    def draw(axes: Any) -> None:
        for number, leak in enumerate(leaks):
            apart = 0.08 * (number - (len(leaks) - 1) / 2)
            with_it = [one for one in shown.values() if leak in one.leaks]
            places = [names.index(one.name) + apart for one in with_it]
            _curve(axes, places, [one.leaks[leak] for one in with_it], _LEAK_COLOURS[leak], LEAK_NAMES[leak])
        axes.set_ylim(top=max(1.02, axes.get_ylim()[1]))
        title = f"{plan}: what fresh attackers recover over the defender's weight ({objective})"
        _frame(axes, names, title, "strongest attack (lower is better)")
        _caption(axes, [one.leaks[leaks[0]] for one in shown.values() if leaks[0] in one.leaks], "judged rows")

    save_figure(file, draw)


def _axis(curves: Mapping[str, Mapping[float, Outcome]]) -> list[str]:
    return [weight_name(weight) for weight in sorted({weight for curve in curves.values() for weight in curve})]


def _curve(axes: Any, places: Sequence[float], values: Sequence[Measured], colour: str, label: str) -> None:
    means = [one.mean for one in values]
    ends = [(one.mean if one.low is None else one.low, one.mean if one.high is None else one.high) for one in values]
    bars = [
        [max(0.0, mean - low) for mean, (low, _) in zip(means, ends, strict=True)],
        [max(0.0, high - mean) for mean, (_, high) in zip(means, ends, strict=True)],
    ]
    look = {"linewidth": 1.6, "marker": "o", "markersize": 5, "capsize": 3, "elinewidth": 1.2}
    axes.errorbar(places, means, yerr=bars, color=colour, label=label, **look)
    seeds = [(place, value) for place, one in zip(places, values, strict=True) for value in one.values]
    if len(seeds) > len(values):
        axes.plot(*zip(*seeds, strict=True), "_", color=colour, markersize=11, alpha=0.6)


def _frame(axes: Any, names: Sequence[str], title: str, y_label: str) -> None:
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=_TEXT, pad=10)
    axes.set_xticks(range(len(names)), names)
    axes.set_xlabel("weight λ of the defender", color=_TEXT, fontsize=9.5)
    axes.set_ylabel(y_label, color=_TEXT, fontsize=9.5)
    axes.legend(frameon=False, fontsize=9, labelcolor=_TEXT)


def _caption(axes: Any, shown: Sequence[Measured], what: str) -> None:
    seeds = max(len(one.values) for one in shown)
    rows = "" if shown[0].rows is None else f"n = {shown[0].rows:,} {what} · "
    bars = "over seeds (Student's t); dashes: single seeds" if seeds > 1 else f"over {what}"
    text = f"{rows}{seeds} {'seed' if seeds == 1 else 'seeds'} · bars: 95 % interval {bars}"
    axes.figure.supxlabel(text, fontsize=8, color=_TEXT, alpha=0.75, x=0.01, ha="left", parse_math=False)
