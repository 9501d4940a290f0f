"""The page's part on the paper's Fig. 7: images recovered by the paper's attacker and by fresh ones, over the weight λ."""

from collections.abc import Sequence
from pathlib import Path

from coordinator.report.benchmarks.page import markdown_table
from coordinator.report.quantities import DASH
from coordinator.sweeps.bench_log import Record
from coordinator.sweeps.leakage import SERVER

PAPER_ATTACKER = "paper_attacker"
_FRESH_WORDS = "strongest fresh"
_MEASURES = (("mse", "MSE"), ("ssim", "SSIM"), ("re_identification", "re-identification"))

_INTRODUCTION = """#### Images recovered from h₁ over λ (the paper's Fig. 7)

The paper's attacker is a decoder of its architecture, fitted on the leaked rows; fresh attackers are fitted on the same rows after training, and of
each measure the strongest is told. An error is to be held against that of the mean image of a class: an attacker at or above it has recovered nothing
but the class. Of the pictures the first line is the originals.
"""


def image_part(records: Sequence[Record], plots: Path) -> str:
    """Markdown of the newest run of every weight and seed whose rows are images; "" without any."""
    newest = {(record["weight"], record["seed"]): record for record in records if "picture" in record}
    shown = [newest[key] for key in sorted(newest)]
    if not shown:
        return ""
    head = ["λ", "seed", "accuracy", "MSE of the class mean"]
    head += [f"{words}, {who}" for _, words in _MEASURES for who in ("the paper's", _FRESH_WORDS)]
    rows = [_row(record) for record in shown]
    pictures = [
        f"![Images recovered at λ = {record['weight']:g}, seed {record['seed']}]({plots.name}/{record['picture']})\n"
        for record in shown
        if (plots / record["picture"]).is_file()
    ]
    return "\n".join([_INTRODUCTION, markdown_table(head, rows), *pictures])


def _row(record: Record) -> list[str]:
    by_server = [one for one in record["controls"] if one["role"] == SERVER and one["target"] == "rows"]
    # Records from before the class mean had its own place have it as the baseline.
    classes = [one.get("class_mean", one["baseline"]) for one in by_server if one["measure"] == "mse"]
    cells = [f"{record['weight']:g}", str(record["seed"]), f"{record['utility']['value']:.3f}", _shown(classes[:1])]
    for measure, _ in _MEASURES:
        of_it = [one for one in by_server if one["measure"] == measure]
        paper = [one["value"] for one in of_it if one["attack"] == PAPER_ATTACKER]
        fresh = [one["value"] for one in of_it if one["attack"] != PAPER_ATTACKER]
        best = min if measure == "mse" else max
        cells += [_shown(paper), _shown([best(fresh)] if fresh else [])]
    return cells


def _shown(values: Sequence[float | None]) -> str:
    return DASH if not values or values[0] is None else f"{values[0]:.3g}"
