"""The section on links: seconds of an epoch over the rate, beside the limit of the wire."""

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

PLOT = "bandwidth.png"
TARGETS = {"masked_sum": 1.15, "beaver": 1.2}
"""Epoch over wire limit at 100 and at 10 Mbit/s."""

_BEYOND = 2.5
"""How far right of the last rate a link without a limit stands, as a factor."""

_TOGETHER = 0.1

_TARGET_RATES = (10.0, 100.0)
_LOOPS = {"keras_fit": "`keras fit`", "tf_function": "one `tf.function` step a batch"}
_DEFINITION = """Every party reaches the coordinator and the neutral server over one access link of the given rate (each direction);
the servers' side is not limited. Wire limit: what the busiest party's link carries in an epoch, up and down together as
metered, over the rate: within a step in one piece the directions follow one another. The micro-batches of a step overlap, so
that both directions work at once and an epoch may stay below that limit. Headers of TCP, TLS and HTTP/2 are in the seconds
and not in the limit. Set-up (compilation, dealing, and `beaver`'s opening of X) happens once a run and stands apart.
"""


def section(records: list[Record], plots: Path) -> str:
    """Markdown of the newest record per line; draws ``bandwidth.png``."""
    latest = latest_by_line(records)
    draw_bandwidth(latest, plots / PLOT)
    parts = [
        "## Seconds over the rate of the links (`tertium bench bandwidth`)\n",
        _DEFINITION,
        f"![Seconds of an epoch over the rate]({plots.name}/{PLOT})\n",
    ]
    for name, record in latest.items():
        parts += [f"### {name}", _table(record), _sentences(record)]
    return "\n".join(parts)


def draw_bandwidth(latest: dict[str, Record], file: Path) -> None:
    """Both axes are logarithmic: a wire limit is a straight line there, and both ends can be read."""
    points = [point for record in latest.values() for point in record["points"]]
    rates = sorted({point["rate_mbps"] for point in points if point["rate_mbps"] is not None})
    beyond = _BEYOND * (rates[-1] if rates else 1.0)
    marks = {rate: f"{rate:g}" for rate in rates}
    if any(point["rate_mbps"] is None for point in points):
        marks[beyond] = "no limit"

    def draw(axes: Any) -> None:
        axes.set_xscale("log")
        axes.set_yscale("log")
        named: list[float] = []
        for name, record in latest.items():
            _draw_line(axes, name, record, beyond, named)
        axes.set_xticks(list(marks), list(marks.values()))
        axes.set_xticks([], minor=True)
        axes.set_xlim(right=beyond * 1.6)
        _mark_decades(axes)
        title = "An epoch follows the wire until computing takes over"
        some = next(iter(latest.values()))
        write_frame(axes, title, "rate of a party's link (Mbit/s)", "seconds per epoch (s)", some)

    save_figure(file, draw)


def _draw_line(axes: Any, name: str, record: Record, beyond: float, named: list[float]) -> None:
    """``named``: where a wire limit has its name already; limits that lie on one another share it."""
    colour, points, pieces = colour_of(record["protocol"]), record["points"], pieces_of(record)
    limited = sorted((one for one in points if one["rate_mbps"] is not None), key=lambda one: float(one["rate_mbps"]))
    free = [one["seconds"] for one in points if one["rate_mbps"] is None]
    x = [one["rate_mbps"] for one in limited]
    if limited:
        wire = [one["wire_seconds"] for one in limited]
        draw_points(axes, x, [one["seconds"] for one in limited], colour, pieces=pieces)
        axes.plot(x, wire, color=colour, linewidth=1.3, linestyle="--")
        # where the wire no longer limits, more pieces cost more: their line is the upper one of the two
        offset = (8.0, -5.0 if pieces == 1 else 5.0)
        write_label(axes, name, x[-1], limited[-1]["seconds"]["median"], colour, offset=offset)
        if not any(abs(wire[-1] / other - 1) < _TOGETHER for other in named):
            write_label(axes, "wire limit", x[-1], wire[-1], colour)
        named.append(wire[-1])
    if free:
        draw_points(axes, [beyond], free, colour, pieces=pieces)
        if not limited:
            write_label(axes, name, beyond, free[0]["median"], colour)


def _mark_decades(axes: Any) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _table(record: Record) -> str:
    head = [
        "Mbit/s",
        "seconds",
        "wire limit (s)",
        "× limit",
        "MB up + down",
        "link lets through (Mbit/s)",
        "set-up (s)",
        "set-up MB",
    ]
    return markdown_table(head, [_row(point) for point in record["points"]])


def _row(point: dict[str, Any]) -> list[str]:
    link, set_up = point["link"], point["set_up"]
    achieved = [one for ways in point["achieved_mbps"].values() for one in ways.values()]
    limited = point["rate_mbps"] is not None
    return [
        f"{point['rate_mbps']:g}" if limited else "no limit",
        str(Spread(**point["seconds"])),
        f"{point['wire_seconds']:.3f}" if limited else "",
        str(Spread(**point["over_wire"])) if limited else "",
        f"{link['up_bytes'] / 1e6:.3f} + {link['down_bytes'] / 1e6:.3f}",
        f"{min(achieved):.1f}–{max(achieved):.1f}",
        f"{set_up['seconds']:.2f}",
        f"{(set_up['up_bytes'] + set_up['down_bytes']) / 1e6:.3f}",
    ]


def _sentences(record: Record) -> str:
    said = [
        f"Busiest link: {record['points'][0]['link']['party']}. Links shaped by {record['shaping']}, delay {record['delay_ms']:g} ms each way."
    ]
    target = TARGETS.get(record["protocol"])
    for point in record["points"]:
        if target is not None and point["rate_mbps"] in _TARGET_RATES:
            found, link = point["over_wire"]["median"], point["link"]
            one_way = max(link["up_bytes"], link["down_bytes"]) / (link["up_bytes"] + link["down_bytes"])
            said.append(
                f"At {point['rate_mbps']:g} Mbit/s × {found:.3f} of the wire limit; target ≤ {target:g}: "
                f"{'met' if found <= target else 'missed'}; × {found / one_way:.3f} of what its busier direction needs alone."
            )
    for loop, seconds in record["baseline"]["seconds"].items():
        ratio = record.get("ratio", {}).get(loop)
        beside = "" if ratio is None else f"; the split network without a limit takes × {ratio:.2f}"
        said.append(f"Plain network, {_LOOPS.get(loop, loop)}: {Spread(**seconds)} s{beside}.")
    return "\n".join(f"* {one}" for one in [*said, environment_line(record)]) + "\n"
