"""The section on data size: seconds of an epoch over its rows at one rate, and the line through them."""

from pathlib import Path

from coordinator.report.benchmarks.canvas import (
    colour_of,
    draw_series,
    latest_by_protocol,
    new_canvas,
    save,
    write_label,
)
from coordinator.report.benchmarks.page import environment_line, markdown_table
from coordinator.sweeps.bench_log import Record, Spread

PLOT = "size.png"
TARGET_R_SQUARED = 0.99


def section(records: list[Record], plots: Path) -> str:
    """Markdown of the newest record per protocol; draws ``size.png``."""
    latest = latest_by_protocol(records)
    draw_size(latest, plots / PLOT)
    parts = [
        "## Seconds over the number of rows",
        "The first rows of every table, at one rate of the parties' links; seconds = a + b · rows by least squares over the "
        "medians. Rows are those an epoch trains.\n",
        f"![Seconds of an epoch over its rows]({plots.name}/{PLOT})\n",
    ]
    for protocol, record in latest.items():
        rows = [
            [f"{one['rows']}", f"{one['fraction']:g}", str(Spread(**one["seconds"])), _limit(one)]
            for one in record["points"]
        ]
        parts += [
            f"### {protocol}",
            markdown_table(["rows", "share", "seconds", "× wire limit"], rows),
            _sentences(record),
        ]
    return "\n".join(parts)


def draw_size(latest: dict[str, Record], file: Path) -> None:
    """Points, their spread, and the fitted line to zero rows."""
    rates = " and ".join(dict.fromkeys(_rate(record) for record in latest.values()))
    figure, axes = new_canvas(
        f"An epoch grows linearly with its rows, {rates}", "rows trained in an epoch", "seconds per epoch (s)"
    )
    for protocol, record in latest.items():
        colour, fit = colour_of(protocol), record["fit"]
        points = sorted(record["points"], key=lambda one: int(one["rows"]))
        draw_series(axes, [one["rows"] for one in points], [one["seconds"] for one in points], colour)
        axes.lines[-1].set_linestyle("none")  # the line is the fit's
        last = points[-1]["rows"]
        ends = [fit["intercept_seconds"] + fit["slope_us_per_row"] * 1e-6 * row for row in (0, last)]
        axes.plot([0, last], ends, color=colour, linewidth=1.3)
        write_label(axes, f"{protocol}, R² = {fit['r_squared']:.4f}", last, ends[1], colour, offset=(-150, 8))
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    record = next(iter(latest.values()))
    counted = record["points"][0]["seconds"]["n"]
    caption = f"plan {record['plan']}, {record['parties']} parties; median of {counted} epochs, bars lowest to highest; links shaped by {record['shaping']}"
    save(figure, caption, file)


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
