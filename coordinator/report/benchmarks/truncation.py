"""The error of truncation on shares beside its stated bound, over numbers of parties."""

import math
from pathlib import Path
from typing import Any

from coordinator.report.benchmarks.figure import save_panels
from coordinator.report.benchmarks.page import PLOT_DIRECTORY, environment_line
from coordinator.report.plots import PLAIN, RELAYED, SPLIT, TF_FUNCTION
from coordinator.sweeps.bench_log import Record

PLOT_NAME = "truncation.png"
_COLOURS = (SPLIT, TF_FUNCTION, RELAYED)
_TEXT = "#1f2733"


def section(records: list[Record], plots: Path) -> str:
    """Of the newest measurement."""
    measured = records[-1]["measured"]
    draw_truncation(measured, plots / PLOT_NAME)
    return (
        "## Truncation on shares (`tertium bench truncation`)\n\n"
        f"{truncation_sentence(measured)}\n\n"
        f"![Error of truncation beside its bound]({PLOT_DIRECTORY}/{PLOT_NAME})\n\n{environment_line(records[-1])}\n"
    )


def truncation_sentence(records: list[Record]) -> str:
    """What was measured, in a sentence; ``records`` of `measure_truncation`, one a number of parties."""
    values, outside = sum(one["values"] for one in records), sum(one["outside"] for one in records)
    largest = max(one["largest"] for one in records)
    # the error of a uniform value is triangular on (-1, 1): variance 1/6
    wide = max(abs(one["mean"]) / math.sqrt(1 / (6 * one["values"])) for one in records)
    return (
        f"{values:,} values below 2^62 truncated by {records[0]['shift']} bits among {_parties(records)} parties: {outside} outside "
        f"the bound of one unit of the last bit, the largest error {largest:.5f} of it; the mean is at most {wide:.1f} standard errors from 0."
    )


def draw_truncation(records: list[Record], file: Path) -> None:
    """Left the error's density with the triangle it should be and the bound; right how often the last bit is up over what is cut off."""

    def draw(panels: list[Any]) -> None:
        errors, ups = panels
        for record, colour in zip(records, _COLOURS, strict=False):
            _draw_errors(errors, record, colour)
            _draw_ups(ups, record, colour)
        errors.plot([-1, 0, 1], [0, 1, 0], color=PLAIN, linewidth=1.3, linestyle="--", label="1 - |error|: expected")
        for place in (-1, 1):
            errors.axvline(place, ymax=0.78, color=_TEXT, linewidth=1.3)  # below the legend
        errors.annotate(
            "stated bound", (1, 1.0), xytext=(5, 0), textcoords="offset points", va="top", fontsize=8, color=_TEXT
        )
        errors.set(xlim=(-1.45, 1.45), ylim=(0, 1.3))
        ups.plot([0, 1], [0, 1], color=PLAIN, linewidth=1.3, linestyle="--", label="expected")
        ups.set(xlim=(0, 1), ylim=(0, 1))
        _name(errors, "Error of a truncation", "y - x / 2^t (units of the last bit, 2^-f)", "density")
        _name(ups, "How often it is rounded up", "part that is cut off, (x mod 2^t) / 2^t", "share rounded up")
        errors.figure.supxlabel(
            _caption(records), fontsize=8, color=_TEXT, alpha=0.75, x=0.01, ha="left", parse_math=False
        )

    save_panels(file, draw, columns=2, width=9.6, height=4.4)


def _draw_errors(axes: Any, record: Record, colour: str) -> None:
    counts, bins = record["counts"], len(record["counts"])
    edges = [-1 + 2 * place / bins for place in range(bins + 1)]
    axes.stairs(
        [count * bins / 2 / record["values"] for count in counts],
        edges,
        color=colour,
        linewidth=1.3,
        label=_label(record),
    )


def _draw_ups(axes: Any, record: Record, colour: str) -> None:
    """Each part's share and twice its standard error."""
    parts = len(record["of"])
    shares = [up / max(1, of) for up, of in zip(record["ups"], record["of"], strict=True)]
    errors = [2 * math.sqrt(p * (1 - p) / max(1, of)) for p, of in zip(shares, record["of"], strict=True)]
    places = [(part + 0.5) / parts for part in range(parts)]
    axes.errorbar(
        places,
        shares,
        yerr=errors,
        color=colour,
        linestyle="none",
        marker="o",
        markersize=3.5,
        elinewidth=1,
        capsize=2,
        label=_label(record),
    )


def _name(axes: Any, title: str, x_label: str, y_label: str) -> None:
    axes.set_title(title, loc="left", pad=10)
    axes.set_xlabel(x_label, color=_TEXT, fontsize=9.5, parse_math=False)
    axes.set_ylabel(y_label, color=_TEXT, fontsize=9.5)
    axes.legend(loc="upper left", frameon=False, fontsize=8, labelcolor=_TEXT)


def _label(record: Record) -> str:
    return f"{record['parties']} parties"


def _parties(records: list[Record]) -> str:
    *others, last = [str(one["parties"]) for one in records]
    return f"{', '.join(others)} and {last}" if others else last


def _caption(records: list[Record]) -> str:
    one = records[0]
    return (
        f"{one['values']:,} uniform values |x| < 2^62 for each number of parties, t = {one['shift']} bits; fresh masks of the dealer; "
        "bars: two standard errors"
    )
