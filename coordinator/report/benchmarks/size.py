"""The section on data size: seconds of an epoch over its rows at one rate, and the line through them."""

from pathlib import Path
from typing import Any

from coordinator.report.benchmarks.figure import save_figure
from coordinator.report.benchmarks.page import environment_line, markdown_table
from coordinator.report.benchmarks.protocol_lines import (
    colour_of,
    draw_points,
    latest_by_line,
    pieces_of,
    write_frame,
    write_label,
)
from coordinator.sweeps.bench_log import Record, Spread

PLOT = "size.png"
TARGET_R_SQUARED = 0.99


def section(records: list[Record], plots: Path) -> str:
    """Markdown of the newest record per line; draws ``size.png``."""
    latest = latest_by_line(records)
    draw_size(latest, plots / PLOT)
    parts = [
        "## Seconds over the number of rows (`tertium bench size`)\n",
        "The first rows of every table, at one rate of the parties' links; seconds = a + b · rows by least squares over the "
        "medians. Rows are those an epoch trains.\n",
        f"![Seconds of an epoch over its rows]({plots.name}/{PLOT})\n",
    ]
    for name, record in latest.items():
        rows = [
            [f"{one['rows']}", f"{one['fraction']:g}", str(Spread(**one["seconds"])), _limit(one)]
            for one in record["points"]
        ]
        parts += [
            f"### {name}",
            markdown_table(["rows", "share", "seconds", "× wire limit"], rows),
            _sentences(record),
        ]
    return "\n".join(parts)


def draw_size(latest: dict[str, Record], file: Path) -> None:
    """Points, their spread, and the fitted line from zero rows on."""

    def draw(axes: Any) -> None:
        for name, record in latest.items():
            colour, fit = colour_of(record["protocol"]), record["fit"]
            points = sorted(record["points"], key=lambda one: int(one["rows"]))
            draw_points(
                axes,
                [one["rows"] for one in points],
                [one["seconds"] for one in points],
                colour,
                line="none",
                pieces=pieces_of(record),
            )
            last = points[-1]["rows"]
            ends = [fit["intercept_seconds"] + fit["slope_us_per_row"] * 1e-6 * rows for rows in (0, last)]
            axes.plot([0, last], ends, color=colour, linewidth=1.3)
            write_label(axes, f"{name}, R² = {fit['r_squared']:.4f}", last, ends[1], colour)
        axes.set_xlim(0, 1.45 * axes.get_xlim()[1])
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        rates = " and ".join(dict.fromkeys(_rate(record) for record in latest.values()))
        some = next(iter(latest.values()))
        write_frame(
            axes, f"An epoch grows with its rows, {rates}", "rows trained in an epoch", "seconds per epoch (s)", some
        )

    save_figure(file, draw)


def _rate(record: Record) -> str:
    return "links without a limit" if record["rate_mbps"] is None else f"links of {record['rate_mbps']:g} Mbit/s"


def _limit(point: Record) -> str:
    return str(Spread(**point["over_wire"])) if "over_wire" in point else ""


def _sentences(record: Record) -> str:
    fit = record["fit"]
    verdict = "met" if fit["r_squared"] >= TARGET_R_SQUARED else "missed"
    said = [
        f"seconds = {fit['intercept_seconds']:.4f} + {fit['slope_us_per_row']:.4f} µs · rows; R² = {fit['r_squared']:.5f} "
        f"(target ≥ {TARGET_R_SQUARED}: {verdict}), {_rate(record)} shaped by {record['shaping']}.",
        *(
            f"Plain network, {loop}, at the largest size: {Spread(**seconds)} s."
            for loop, seconds in record["baseline"]["seconds"].items()
        ),
        environment_line(record),
    ]
    return "\n".join(f"* {one}" for one in said) + "\n"
