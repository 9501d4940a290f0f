"""The page's table of controls: what every attack reaches where nothing is protected, and on noise, over all runs of a sweep."""

from collections.abc import Iterable, Sequence
from typing import Any

from coordinator.report.benchmarks.page import markdown_table
from coordinator.report.privacy.attack_record import MEASURES
from coordinator.report.privacy.words import MEASURE_WORDS, attack_words, role_words, target_words
from coordinator.sweeps.bench_log import Record

_INTRODUCTION = """#### Controls of the attacks on {plan}, lowest and highest of {runs} runs

Positive: the attack on a made view of the same rows in which nothing is protected; it must succeed. Negative: on independent noise of the same
shape; it must reach no more than without the view.
"""


def control_table(plan: str, sweep: Sequence[Record]) -> str:
    """Markdown, a line for each measure of each attack; "" where no run has noted its controls."""
    noted = [record["controls"] for record in sweep if "controls" in record]
    if not noted:
        return ""
    head = ["attack", "by", "after", "measure", "runs", "reached", "without the view", "positive", "negative"]
    by_measure: dict[tuple[str, str, str, str], list[dict[str, Any]]] = {}
    for one in (one for controls in noted for one in controls):
        # runs differ in which attack of a role is the first to be run, not in who runs it
        key = (one["role"].partition(" ")[0], one["attack"], one["target"], one["measure"])
        by_measure.setdefault(key, []).append(one)
    rows = [
        [
            attack_words(attack),
            role_words(role),
            target_words(target),
            MEASURE_WORDS[measure],
            str(len(found)),
            *(_range(one[name] for one in found) for name in ("value", "baseline", "positive", "negative")),
        ]
        for (role, attack, target, measure), found in sorted(by_measure.items(), key=lambda item: _place(*item[0]))
    ]
    return f"{_INTRODUCTION.format(plan=plan, runs=len(noted))}\n{markdown_table(head, rows)}"


def _place(role: str, attack: str, target: str, measure: str) -> tuple[str, str, str, int]:
    return role, target, attack, MEASURES.index(measure)


def _range(values: Iterable[float]) -> str:
    listed = list(values)
    low, high = f"{min(listed):.3g}", f"{max(listed):.3g}"
    return low if low == high else f"{low} to {high}"
