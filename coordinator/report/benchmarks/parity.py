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
On shares: i is the number of layers whose products the parties compute together; what is before the cut has its activation there too,
and the plain network has the same activation. Where nothing else is said the gradient at the cut is open and first-layer weights
are the parties' own.
"""


def section(records: list[Record], plots: Path) -> str:
    """Markdown: a row per plan, protocol, parties, what is on shares, ring, type at the cut and score, over the newest record of each seed.

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
        "parties",
        "on shares",
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
    if losses := [record["training_loss"] for record in family if "training_loss" in record]:
        measured["training loss"] = losses
    for name, scores in measured.items():
        split, plain, gaps = ([each[key] for each in scores] for key in ("split", "plain", "gap"))
        found.append(
            [
                one["plan"],
                f"`{one['protocol']}`",
                str(one.get("parties", DASH)),
                _on_shares(one),
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


def _on_shares(record: Record) -> str:
    """Such as "i = 2: 8 square; gradient, weights"; records of older versions know i = 1 alone."""
    layers = record.get("secret_layers", [])
    shared = [name for name in ("gradient", "weights") if record.get(name) == "shared"]
    found = f"i = {len(layers) + 1}" + (": " if layers or shared else "")
    found += "; ".join([", ".join(map(_layer, layers))] * bool(layers) + [", ".join(shared)] * bool(shared))
    return found if record.get("server", True) else f"{found}; no server"


def _layer(layer: Record) -> str:
    approximates = f" {layer['approximates']} to ±{layer['interval']:g}" if layer["approximates"] else ""
    return f"{layer['width']} {layer['activation']}{approximates}"


def _deviation(values: list[float]) -> str:
    """The sample's standard deviation, with n - 1; a dash for one value."""
    return f"{stdev(values):.1e}" if len(values) > 1 else DASH
