"""The page's section on depth: layers on shares over masked_sum with an open gradient, forecast and measured."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coordinator.report.benchmarks.page import environment_line, markdown_table
from coordinator.report.benchmarks.protocol_lines import draw_points, write_label
from coordinator.report.figure import DOTS_PER_INCH, INKS
from coordinator.report.plots import RELAYED, SPLIT
from coordinator.report.quantities import ratio, three_digits
from coordinator.sweeps.bench_log import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = INKS["light"]
_COLOURS = {"open": RELAYED, "shared": "#0f8b6d"}
_SIDE = {"open": -6, "shared": 6}
"""Points below or above a line's end: names of lines that end together keep apart."""
_INTRODUCTION = """## Depth: what a layer costs on shares (`tertium bench depth`)

With i layers on shares the parties compute layers 1 … i together: 1 … i − 1 with bias and activation, layer i is the cut, whose output z_i
goes to the neutral server with all above. Every variant has the same layers, batches and optimizer and is trained with every role as
its own process; layers on shares have the activation in the table, since shares compute polynomials only. Forecasts are what
`tertium plan` says before anything is sent. Bytes are those of all links: what parties open goes up to the relay and down again, and counts twice.

* **masked_sum, open** is the default protocol: one layer, ∂L/∂z₁ in the clear to every party. Ratios are to it, within a repetition.
* **open**: every party sees ∂L/∂z_i. With i = 1 that is `beaver`.
* **shared**: the server sends ∂L/∂z_i as shares; no party sees it.
* **no server**: i = L, the label head and its loss on shares, too; the coordinator forwards the sealed envelopes.
"""


def section(records: list[Record], plots: Path) -> str:
    """Markdown of the newest record of each plan, number of parties and kind of rows, and its plot in ``plots``; "" without any.

    Records from when more than one layer on shares was a cost model are passed over: they timed products, not epochs.
    """
    measured = [record for record in records if "variants" in record]
    newest = list({(one["plan"], one["shape"]["parties"], one["rows_are"]): one for one in measured}.values())
    if not newest:
        return ""
    parts, drawn = [_INTRODUCTION], Counter[str]()
    for record in newest:
        drawn[record["plan"]] += 1
        number = drawn[record["plan"]]
        name = f"depth-{record['plan']}{'' if number == 1 else f'-{number}'}.png"
        figure = draw_depth(record)
        figure.savefig(plots / name, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
        parts += [
            _head(record),
            _table(record),
            *(f"{name} stopped: {sentence}.\n" for name, sentence in record["stopped"].items()),
            f"![Seconds and bytes over depth, {record['plan']}]({plots.name}/{name})\n",
        ]
    parts += [f"{line}\n" for line in dict.fromkeys(environment_line(record) for record in newest)]
    return "\n".join(parts)


def draw_depth(record: Record) -> "Figure":
    """Seconds an epoch and MB a step over i, a line for each form of the gradient; the forecast as crosses."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 4.0), facecolor=_INK.paper, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    reference, *_ = record["variants"]
    deepest = max(variant["depth"] for variant in record["variants"])
    left.axhline(reference["seconds"]["median"], color=SPLIT, linewidth=1.8)
    right.axhline(_megabytes(reference, record), color=SPLIT, linewidth=1.8)
    for axes, height in ((left, reference["seconds"]["median"]), (right, _megabytes(reference, record))):
        write_label(axes, reference["name"], 1.0, height, SPLIT, offset=(0, -8))
    for form in dict.fromkeys(variant["gradient"] for variant in record["variants"][1:]):
        variants = [one for one in record["variants"] if one["gradient"] == form and not one["reference"]]
        places, colour = [float(one["depth"]) for one in variants], _COLOURS[form]
        draw_points(left, places, [one["seconds"] for one in variants], colour)
        sent = [_megabytes(one, record) for one in variants]
        right.plot(places, sent, color=colour, linewidth=1.8, marker="o", markersize=4)
        right.plot(
            places, [_megabytes(one, record, "forecast") for one in variants], "x", color=_INK.text, markersize=7
        )
        for axes, height in ((left, variants[-1]["seconds"]["median"]), (right, sent[-1])):
            write_label(axes, form, places[-1], height, colour, offset=(8, _SIDE[form]))
    _finish(left, deepest, "Time", "seconds an epoch")
    _finish(right, deepest, "Bytes (×: forecast)", "MB a step, all links")
    figure.supxlabel(_caption(record), fontsize=8, color=_INK.text, alpha=0.75, x=0.01, ha="left", parse_math=False)
    return figure


def _finish(axes: "Axes", deepest: int, title: str, unit: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(low / 1.4, high * 1.2)  # room for the name below the reference's line
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xticks(range(1, deepest + 1))
    axes.set_xlim(0.9, deepest + 0.5)  # room for the names at the lines' ends
    axes.set_facecolor(_INK.paper)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_INK.line)
    axes.tick_params(colors=_INK.text, labelsize=9, length=0, which="both")
    axes.grid(visible=True, color=_INK.line, linewidth=0.7, alpha=0.7)
    axes.set_axisbelow(True)
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=_INK.text)
    axes.set_xlabel("i, layers computed on shares", color=_INK.text, fontsize=9.5)
    axes.set_ylabel(unit, color=_INK.text, fontsize=9.5)


def _head(record: Record) -> str:
    shape = record["shape"]
    return (
        f"### {record['plan']}: {shape['columns']}-{shape['widths']}, {shape['rows']:,} {record['rows_are']} rows, "
        f"{record['steps']} steps of {shape['batch_rows']:,}, {shape['parties']} parties\n"
    )


def _table(record: Record) -> str:
    head = [
        "variant",
        "on shares",
        "seconds an epoch",
        "over masked_sum",
        "MB a step, all links",
        "forecast",
        "MB a step, busiest link",
        "rounds a step",
        "forecast",
    ]
    return markdown_table(head, [_row(variant, record) for variant in record["variants"]])


def _row(variant: dict[str, Any], record: Record) -> list[str]:
    steps = record["steps"]
    return [
        variant["name"],
        ", ".join(variant["activations"]) or "–",
        _spread(variant["seconds"]),
        ratio(1.0) if variant["reference"] else f"{_spread(variant['over_reference'])} ×",
        three_digits(_megabytes(variant, record)),
        three_digits(_megabytes(variant, record, "forecast")),
        three_digits(variant["busiest_bytes"]["measured"] / steps / 1e6),
        *(f"{variant['rounds'][key] / steps:.4g}" for key in ("measured", "forecast")),
    ]


def _megabytes(variant: dict[str, Any], record: Record, key: str = "measured") -> float:
    """A step's, on all links."""
    count: float = variant["all_bytes"][key] / record["steps"] / 1e6
    return count


def _spread(noted: dict[str, float]) -> str:
    low, middle, high = (three_digits(noted[key]) for key in ("lowest", "median", "highest"))
    return f"{middle} ({low}–{high})"


def _caption(record: Record) -> str:
    shape = record["shape"]
    return (
        f"plan {record['plan']}, {shape['columns']}-{shape['widths']}, {shape['rows']:,} {record['rows_are']} rows, {shape['parties']} parties; "
        f"median, lowest and highest of {record['repeats']} × {record['epochs']} epochs"
    )
