"""The look that the benchmarks' plots share with a run's (coordinator/report/figure.py)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from coordinator.report.figure import DOTS_PER_INCH

_TEXT, _LINE = "#1f2733", "#d5dae1"


def save_figure(file: Path, draw: Callable[[Any], None], *, width: float = 9.0, height: float = 4.2) -> None:
    """Let ``draw`` fill one pair of axes, and write the figure as PNG; width and height in inches."""
    save_panels(file, lambda panels: draw(panels[0]), columns=1, width=width, height=height)


def save_panels(
    file: Path,
    draw: Callable[[list[Any]], None],
    *,
    columns: int,
    rows: int = 1,
    width: float = 9.0,
    height: float = 4.2,
) -> None:
    """As `save_figure`, of several axes side by side, row by row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="#ffffff", layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(_LINE)
        axes.tick_params(colors=_TEXT, labelsize=9, length=0)
        axes.grid(visible=True, color=_LINE, linewidth=0.7, alpha=0.7)
        axes.set_axisbelow(True)
    draw(panels)
    for axes in panels:
        axes.title.set(fontsize=12, fontweight="bold", color=_TEXT)
    figure.savefig(file, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
