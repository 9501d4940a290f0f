"""The page's section on memory: a party's stated bound against its measured peak, and a server that does not grow."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from coordinator.report.benchmarks.page import environment_line, markdown_table
from coordinator.report.figure import DOTS_PER_INCH
from coordinator.report.plots import PLAIN, RELAYED, SPLIT, TF_FUNCTION
from coordinator.report.quantities import count, duration, payload
from coordinator.sweeps.bench_log import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLOT_NAME = "memory.png"
SERVER, COORDINATOR = "neutral-server", "coordinator"

_TEXT, _LINE, _PAPER = "#1f2733", "#d5dae1", "#ffffff"
_COLOURS = {SERVER: PLAIN, COORDINATOR: RELAYED}
_PARTY_COLOURS = (SPLIT, TF_FUNCTION)
_GROWTH_SHARE = 0.05  # of the server's peak: less is the allocator's doing

_INTRODUCTION = """## Memory: rows on disk

A table of {rows} rows × {columns} columns, made up, in Parquet ({size}), {epochs} epochs of batches of {batch} rows, `masked_sum`,
two parties with `storage = "disk"`. Every role is a process; its resident memory is read from `/proc` ten times a second, and the
peak is the kernel's own (`VmHWM`). MB are 10⁶ bytes.

A party's bound, stated before the run: **its idle daemon + fixed bytes + bytes a row × rows**. The bytes a row are for row
numbers (the split 8, an epoch's order 8 a training row, its places while rows are laid out 4) and at the label holder for labels
(5) and scoring; no column adds to them. Fixed are Arrow's batches and pages, buckets of rows and mini-batches.
"""


def section(records: list[Record], plots: Path) -> str:
    """Markdown of the newest record, and its plot in ``plots``; "" without records."""
    if not records:
        return ""
    record = records[-1]
    figure = draw_memory(record)
    figure.savefig(plots / PLOT_NAME, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    parts = [
        _INTRODUCTION.format(
            rows=count(record["rows"]),
            columns=record["columns"],
            size=payload(record["parquet_bytes"]),
            epochs=record["epochs"],
            batch=count(record["batch_rows"]),
        ),
        _party_table(record),
        _verdict(record) + "\n",
        _server_table(record),
        _growth(record) + "\n",
        _seconds_table(record),
        f"![Resident memory of every role over the run of all rows]({plots.name}/{PLOT_NAME})\n",
        environment_line(record) + "\n",
    ]
    return "\n".join(parts)


def draw_memory(record: Record) -> "Figure":
    """Resident MB over seconds, a line a role, for all rows; a party's bound as a dashed line in its colour."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    run = record["runs"][-1]
    figure = Figure(figsize=(7.2, 4.4), facecolor=_PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor=_PAPER)
    colours = iter(_PARTY_COLOURS)
    for role, figures in run["roles"].items():
        colour = _COLOURS.get(role) or next(colours)
        seconds, resident = zip(*figures["series"], strict=True)
        axes.plot(seconds, [value / 1e6 for value in resident], color=colour, linewidth=1.8, label=role)
        if "bound" in figures:
            axes.axhline(
                figures["bound"] / 1e6, color=colour, linewidth=1.2, linestyle=(0, (4, 3)), label=f"{role}, bound"
            )
    _mark_epochs(axes, run)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds since the run was submitted (s)")
    axes.set_ylabel("resident memory (MB)")
    axes.set_title(
        f"Memory of every role, {count(run['rows'])} rows", loc="left", fontsize=12, fontweight="bold", pad=10
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_LINE)
    axes.tick_params(colors=_TEXT, labelsize=9, length=0)
    axes.grid(visible=True, color=_LINE, linewidth=0.7, alpha=0.7)
    axes.set_axisbelow(True)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8.5, labelcolor=_TEXT)
    caption = f"{record['columns']} columns at 2 parties, {record['epochs']} epochs (grey lines: their ends), sampled every 0.1 s"
    figure.supxlabel(caption, fontsize=8, color=_TEXT, alpha=0.75, x=0.01, ha="left", parse_math=False)
    return figure


def _mark_epochs(axes: "Axes", run: dict[str, Any]) -> None:
    for name, seconds in run["marks"]:
        if name == "epoch":
            axes.axvline(seconds, color=_LINE, linewidth=1.0)


def _party_table(record: Record) -> str:
    lines = []
    for run in record["runs"]:
        for role, figures in run["roles"].items():
            if "bound" not in figures:
                continue
            lines.append(
                [
                    role,
                    count(run["rows"]),
                    _megabytes(figures["idle"]),
                    _megabytes(figures["fixed_bytes"]),
                    f"{figures['bytes_per_row']:.1f}",
                    _megabytes(figures["bound"]),
                    _megabytes(figures["peak"]),
                    f"{figures['peak'] / figures['bound']:.2f}",
                ]
            )
    head = ["party", "rows", "idle, MB", "fixed, MB", "bytes a row", "bound, MB", "measured peak, MB", "peak ÷ bound"]
    return markdown_table(head, lines)


def _verdict(record: Record) -> str:
    if record["within_bound"]:
        return "Every party stayed within its bound."
    over = [
        f"{role} at {count(run['rows'])} rows by {_megabytes(figures['peak'] - figures['bound'])} MB"
        for run in record["runs"]
        for role, figures in run["roles"].items()
        if figures["peak"] > figures.get("bound", figures["peak"])
    ]
    return f"**The bound was broken:** {', '.join(over)}."


def _server_table(record: Record) -> str:
    lines = [
        [
            role,
            count(run["rows"]),
            _megabytes(run["roles"][role]["after_first_epoch"]),
            _megabytes(run["roles"][role]["after_last_epoch"]),
            _megabytes(run["roles"][role]["peak"]),
        ]
        for role in (SERVER, COORDINATOR)
        for run in record["runs"]
    ]
    return markdown_table(["role", "rows", "after the first epoch, MB", "after the last epoch, MB", "peak, MB"], lines)


def _growth(record: Record) -> str:
    growth, peak = record["server_growth_bytes"], record["runs"][-1]["roles"][SERVER]["peak"]
    grows = max(growth.values()) > _GROWTH_SHARE * peak
    sentence = (
        f"Ten times the rows moved the neutral server's peak by {_signed(growth['with_rows'])} MB, "
        f"{record['epochs'] - 1} more epoch(s) its resident memory by {_signed(growth['with_epochs'])} MB"
    )
    return f"{sentence}: **it grows.**" if grows else f"{sentence}: it does not grow with either."


def _seconds_table(record: Record) -> str:
    lines = [
        [
            count(run["rows"]),
            ", ".join(duration(seconds) for seconds in run["epoch_seconds"]),
            "; ".join(
                f"{party} {', '.join(duration(seconds) for seconds in spent)}"
                for party, spent in run["rows_seconds"].items()
            ),
            f"{run['auc']:.4f}",
        ]
        for run in record["runs"]
    ]
    return markdown_table(["rows", "an epoch", "of it getting rows from disk", "AUC, test rows"], lines)


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f}"


def _signed(size: float) -> str:
    return f"{size / 1e6:+,.1f}"
