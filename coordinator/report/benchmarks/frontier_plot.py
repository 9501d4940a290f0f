"""Leakage over score: a labelled point a setting, the frontier through those that no other beats, and chance."""

from collections.abc import Sequence
from itertools import combinations
from math import hypot
from pathlib import Path
from statistics import fmean
from typing import Any

from coordinator.report.benchmarks.figure import save_figure
from coordinator.report.benchmarks.outcomes import Measured, Outcome
from coordinator.report.plots import PLAIN, SPLIT
from coordinator.sweeps.pareto import frontier

_TEXT, _QUIET = "#1f2733", "#8a94a3"
_MARGIN = 1.03
"""Where names begin, in widths of the axes."""


def draw_frontier(
    file: Path,
    outcomes: Sequence[Outcome],
    leak: str,
    *,
    title: str,
    x_label: str,
    y_label: str,
    caption: str,
) -> None:
    """One PNG; outcomes on which ``leak`` was not measured are left out, at least one is needed."""
    shown = [one for one in outcomes if leak in one.leaks]
    points = [(one.utility.mean, one.leaks[leak].mean) for one in shown]
    best = frontier(points)

    def draw(axes: Any) -> None:
        for place, (one, (x, y)) in enumerate(zip(shown, points, strict=True)):
            colour = PLAIN if one.plain else SPLIT if place in best else _QUIET
            axes.errorbar(
                x,
                y,
                xerr=_bars(one.utility),
                yerr=_bars(one.leaks[leak]),
                color=colour,
                marker="s" if one.plain else "o",
                markersize=6,
                ecolor=(colour, 0.45),
                elinewidth=1,
                zorder=3,
            )
        steps = [points[place] for place in best]
        axes.step(*zip(*steps, strict=True), where="pre", color=SPLIT, linewidth=1.6, alpha=0.6, zorder=2)
        _mark_chance(axes, shown, leak)
        axes.margins(x=0.06, y=0.08)
        write_names(axes, [one.name for one in shown], points, best)
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=_TEXT, pad=10)
        axes.set_xlabel(x_label, color=_TEXT, fontsize=9.5)
        axes.set_ylabel(y_label, color=_TEXT, fontsize=9.5)
        what = (
            f"{caption}\nbars: 95 % intervals; line: settings that no other beats in both; square: the plan as it is; "
            "dashes: without the view"
        )
        axes.figure.supxlabel(what, fontsize=8, color=_TEXT, alpha=0.75, x=0.01, ha="left", parse_math=False)

    save_figure(file, draw, width=10.0, height=max(4.6, 1.6 + 0.24 * len(shown)))


def _bars(one: Measured) -> list[list[float]] | None:
    if one.low is None or one.high is None:
        return None
    return [[max(0.0, one.mean - one.low)], [max(0.0, one.high - one.mean)]]


def _mark_chance(axes: Any, shown: Sequence[Outcome], leak: str) -> None:
    """What an attacker without the view reaches; the mean where settings differ a little."""
    known = [level for one in shown if (level := one.leaks[leak].baseline) is not None]
    if known:
        axes.axhline(fmean(known), color=_TEXT, linewidth=1.1, linestyle=(0, (4, 3)), alpha=0.7, zorder=1)


def write_names(axes: Any, names: Sequence[str], points: Sequence[tuple[float, float]], best: Sequence[int]) -> None:
    """Names in a column to the right, each with a thin line to its point; neither names nor lines cross. Those of the ``best``
    points have their colour."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    axes.set(xlim=(left, right), ylim=(bottom, top))
    places = [((x - left) / (right - left), (y - bottom) / (top - bottom)) for x, y in points]
    heights = untangled(places, spread_apart([y for _, y in places], 1.0 / max(len(points), 18)))
    for place, (name, point, height) in enumerate(zip(names, points, heights, strict=True)):
        axes.annotate(
            name,
            xy=point,
            xytext=(_MARGIN, height),
            textcoords="axes fraction",
            va="center",
            fontsize=8.5,
            color=SPLIT if place in best else _TEXT,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": _QUIET,
                "linewidth": 0.6,
                "alpha": 0.6,
                "relpos": (0, 0.5),
                "shrinkA": 2,
                "shrinkB": 3,
            },
        )


def spread_apart(heights: Sequence[float], least: float) -> list[float]:
    """Heights in [0, 1], moved as little upwards or downwards as keeps neighbours ``least`` apart, in their order.

    ``least`` times one less than their number must fit into 1.
    """
    order = sorted(range(len(heights)), key=lambda place: heights[place])
    moved, floor = list(heights), 0.0
    for place in order:
        moved[place] = floor = max(heights[place], floor)
        floor += least
    ceiling = 1.0
    for place in reversed(order):
        moved[place] = ceiling = min(moved[place], ceiling)
        ceiling -= least
    return moved


def untangled(places: Sequence[tuple[float, float]], heights: Sequence[float]) -> list[float]:
    """The same heights, exchanged among the places until no exchange of two shortens the lines from places to names.

    Where two lines crossed, exchanging their ends would shorten them (the triangle inequality), so none cross.
    """
    found = list(heights)

    def length(place: int, height: float) -> float:
        x, y = places[place]
        return hypot(_MARGIN - x, height - y)

    swapped = True
    while swapped:
        swapped = False
        for one, other in combinations(range(len(found)), 2):
            now = length(one, found[one]) + length(other, found[other])
            if length(one, found[other]) + length(other, found[one]) < now - 1e-9:
                found[one], found[other] = found[other], found[one]
                swapped = True
    return found
