"""What the plots of the benchmarks share: the run report's colours, one line a protocol with its name beside it."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coordinator.report.plots import DOTS_PER_INCH, RELAYED, SPLIT
from coordinator.sweeps.bench_log import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PROTOCOL_COLOURS = {"masked_sum": SPLIT, "beaver": RELAYED}
TEXT, LINE, PAPER = "#1f2733", "#d5dae1", "#ffffff"


def latest_by_protocol(records: list[Record]) -> dict[str, Record]:
    """The newest record of each protocol; masked_sum first."""
    found = {record["protocol"]: record for record in records}
    return {
        name: found[name] for name in (*PROTOCOL_COLOURS, *sorted(set(found) - set(PROTOCOL_COLOURS))) if name in found
    }


def colour_of(protocol: str) -> str:
    return PROTOCOL_COLOURS.get(protocol, TEXT)


def new_canvas(title: str, x_label: str, y_label: str) -> "tuple[Figure, Axes]":
    """Axes of 1037 pixels' width with grid, title and labels with units."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor=PAPER)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.tick_params(colors=TEXT, labelsize=9, length=0, which="both")
    axes.grid(visible=True, color=LINE, linewidth=0.7, alpha=0.7)
    axes.set_axisbelow(True)
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=TEXT, pad=10)
    axes.set_xlabel(x_label, color=TEXT, fontsize=9.5)
    axes.set_ylabel(y_label, color=TEXT, fontsize=9.5)
    return figure, axes


def draw_series(axes: "Axes", x: list[float], spreads: list[dict[str, Any]], colour: str) -> None:
    """Medians, with a bar from the lowest to the highest value."""
    medians = [spread["median"] for spread in spreads]
    low = [spread["median"] - spread["lowest"] for spread in spreads]
    high = [spread["highest"] - spread["median"] for spread in spreads]
    axes.errorbar(x, medians, yerr=[low, high], color=colour, linewidth=1.8, marker="o", markersize=4, capsize=3)


def write_label(axes: "Axes", text: str, x: float, y: float, colour: str, *, offset: tuple[float, float]) -> None:
    """A name beside its line, in its colour; ``offset`` in points from (x, y)."""
    axes.annotate(text, (x, y), xytext=offset, textcoords="offset points", color=colour, fontsize=9, va="center")


def save(figure: "Figure", caption: str, file: Path) -> None:
    """With a caption below the axes: where the figures come from."""
    figure.supxlabel(caption, fontsize=8, color=TEXT, alpha=0.75, x=0.01, ha="left", parse_math=False)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    file.write_bytes(image.getvalue())
