"""The look that the benchmarks' plots share with a run's (coordinator/report/figure.py)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from coordinator.report.figure import DOTS_PER_INCH

_TEXT, _LINE = "#1f2733", "#d5dae1"


def save_figure(file: Path, draw: Callable[[Any], None], *, width: float = 9.0, height: float = 4.2) -> None:
    """Let ``draw`` fill one pair of axes, and write the figure as PNG; width and height in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="#ffffff", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_LINE)
    axes.tick_params(colors=_TEXT, labelsize=9, length=0)
    axes.grid(visible=True, color=_LINE, linewidth=0.7, alpha=0.7)
    axes.set_axisbelow(True)
    draw(axes)
    axes.title.set(fontsize=12, fontweight="bold", color=_TEXT)
    figure.savefig(file, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
