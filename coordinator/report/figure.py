"""The look of a run's figures: one canvas and one ink for each theme.

Figures are drawn on Matplotlib's Agg canvas without pyplot: no window, no global state. Matplotlib is
imported when the first figure is drawn.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from coordinator.report.run_record import RunRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Theme = Literal["light", "dark"]
Corner = Literal["upper right", "lower right", "best"]

DOTS_PER_INCH = 144


@dataclass(frozen=True)
class Ink:
    """Colours of everything in a figure that is not data."""

    paper: str
    text: str
    line: str


INKS: Mapping[Theme, Ink] = {
    "light": Ink(paper="#ffffff", text="#1f2733", line="#d5dae1"),
    "dark": Ink(paper="#171b22", text="#dfe4ec", line="#363d49"),
}


def canvas(theme: Theme, *, height: float = 3.9) -> "tuple[Figure, Axes]":
    """Empty axes, 7.2 inches wide and ``height`` high."""
    figure, (axes,) = panels(theme, 1, height=height)
    return figure, axes


def panels(theme: Theme, count: int, *, height: float = 3.9) -> "tuple[Figure, list[Axes]]":
    """``count`` empty axes side by side, 7.2 inches together and ``height`` high; they share what their y axis says."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ink = INKS[theme]
    figure = Figure(figsize=(7.2, height), facecolor=ink.paper, layout="constrained")
    FigureCanvasAgg(figure)
    found = list(figure.subplots(1, count, sharey=True, squeeze=False)[0])
    for axes in found:
        axes.set_facecolor(ink.paper)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(ink.line)
        axes.tick_params(colors=ink.text, labelsize=9, length=0)
        axes.grid(visible=True, color=ink.line, linewidth=0.7, alpha=0.7)
        axes.set_axisbelow(True)
    return figure, found


def finish(
    figure: "Figure",
    axes: "Axes",
    theme: Theme,
    title: str,
    record: RunRecord,
    legend: Corner | None = "upper right",
) -> "Figure":
    """Title, legend, and the run's caption at the foot."""
    ink = INKS[theme]
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=ink.text, pad=10)
    axes.xaxis.label.set(color=ink.text, fontsize=9.5)
    axes.yaxis.label.set(color=ink.text, fontsize=9.5)
    if legend:
        axes.legend(loc=legend, frameon=False, fontsize=9, labelcolor=ink.text)
    figure.supxlabel(record.caption(), fontsize=8, color=ink.text, alpha=0.75, x=0.01, ha="left", parse_math=False)
    return figure


def whole_epochs(axes: "Axes") -> None:
    """Ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
