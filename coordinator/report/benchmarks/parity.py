"""The page's section on parity: scores of the split network beside the plain one, over seeds."""

from pathlib import Path
from statistics import median, stdev

from coordinator.report.benchmarks.page import environment_line, markdown_table
from coordinator.report.quantities import DASH, gap, score
from coordinator.sweeps.bench_log import Record

_INTRODUCTION = """## Parity: the split network against the plain one

Both start from the same weights and see the same batches; a gap (split less plain) is what fixed point, masks and the type of the
tensors at the cut cost. Scores are of the test rows, the training loss is the last epoch's mean. Medians over seeds. The spread
over seeds of the split score itself is what a gap is to be judged by: it is what another start of the same network changes.
"""


def section(records: list[Record], plots: Path) -> str:
    """Markdown: a row per plan, protocol, ring, type at the cut and score, over the newest record of each seed.

    Args:
      records: of `run_parity`, oldest first; plots: unused, this section is a table.
    """
    if not records:
        return ""
    families: dict[str, dict[int, Record]] = {}
    for record in records:  # a family's seed that was run again counts once, as it came out last
        families.setdefault(record["family"], {})[record["seed"]] = record
    rows = [row for family in families.values() for row in _rows(list(family.values()))]
    head = [
        "plan",
        "protocol",
        "ring, f",
        "at the cut",
        "measured",
        "seeds",
        "split",
        "plain",
        "largest gap, either way",
        "sd of gap",
        "sd of split",
    ]
    return "\n".join([_INTRODUCTION, markdown_table(head, rows), f"{environment_line(records[-1])}\n"])


def _rows(family: list[Record]) -> list[list[str]]:
    one = family[-1]
    found = []
    measured = {
        name: [record["scores"][name] for record in family if name in record["scores"]] for name in one["scores"]
    }
    measured["training loss"] = [record["training_loss"] for record in family]
    for name, scores in measured.items():
        split, plain, gaps = ([each[key] for each in scores] for key in ("split", "plain", "gap"))
        found.append(
            [
                one["plan"],
                f"`{one['protocol']}`",
                f"{one['ring_bits']} bits, f = {one['fractional_bits']}",
                one["cut_dtype"],
                name,
                str(len(scores)),
                score(median(split)),
                score(median(plain)),
                gap(max(map(abs, gaps))).lstrip("+"),
                _deviation(gaps),
                _deviation(split),
            ]
        )
    return found


def _deviation(values: list[float]) -> str:
    """The sample's standard deviation, with n - 1; a dash for one value."""
    return f"{stdev(values):.1e}" if len(values) > 1 else DASH
