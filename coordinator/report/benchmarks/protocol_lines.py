"""What the plots over links and over sizes share: a protocol's colour, its line with its name beside it, a caption."""

from typing import Any

from coordinator.report.plots import RELAYED, SPLIT
from coordinator.sweeps.bench_log import Record

PROTOCOL_COLOURS = {"masked_sum": SPLIT, "beaver": RELAYED}
_TEXT = "#1f2733"


def pieces_of(record: Record) -> int:
    """Micro-batches of a step; records from before there were any had one."""
    return int(record.get("micro_batches", 1))


def latest_by_line(records: list[Record]) -> dict[str, Record]:
    """The newest record of each protocol and number of micro-batches, by the line's name; masked_sum first.

    Of those over the rows of the newest record only: lines of one plot share their table.
    """
    table = records[-1].get("generated_rows") if records else None
    alike = [record for record in records if record.get("generated_rows") == table]
    found = {(record["protocol"], pieces_of(record)): record for record in alike}
    order = [*PROTOCOL_COLOURS, *sorted({protocol for protocol, _ in found} - set(PROTOCOL_COLOURS))]
    return {
        protocol if pieces == 1 else f"{protocol}, {pieces} micro-batches": found[protocol, pieces]
        for protocol, pieces in sorted(found, key=lambda line: (order.index(line[0]), line[1]))
    }


def colour_of(protocol: str) -> str:
    return PROTOCOL_COLOURS.get(protocol, _TEXT)


def draw_points(
    axes: Any, x: list[float], spreads: list[dict[str, Any]], colour: str, *, line: str = "-", pieces: int = 1
) -> None:
    """Medians, with a bar from the lowest to the highest value; squares where a step came in several ``pieces``."""
    medians = [spread["median"] for spread in spreads]
    low = [spread["median"] - spread["lowest"] for spread in spreads]
    high = [spread["highest"] - spread["median"] for spread in spreads]
    look = {"linestyle": line, "linewidth": 1.8, "marker": "o" if pieces == 1 else "s", "markersize": 4, "capsize": 3}
    axes.errorbar(x, medians, yerr=[low, high], color=colour, **look)


def write_label(axes: Any, text: str, x: float, y: float, colour: str, *, offset: tuple[float, float] = (8, 0)) -> None:
    """A name beside its line, in its colour; ``offset`` in points from (x, y)."""
    axes.annotate(text, (x, y), xytext=offset, textcoords="offset points", color=colour, fontsize=9, va="center")


def write_frame(axes: Any, title: str, x_label: str, y_label: str, record: Record) -> None:
    """Title, axes with units, and below them where the figures come from."""
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=_TEXT, pad=10)
    axes.set_xlabel(x_label, color=_TEXT, fontsize=9.5)
    axes.set_ylabel(y_label, color=_TEXT, fontsize=9.5)
    caption = (
        f"plan {record['plan']}, {record['parties']} parties, {record['points'][-1]['rows']:,} {'made-up ' if record.get('generated_rows') else ''}rows; median of "
        f"{record['points'][0]['seconds']['n']} epochs, bars lowest to highest; links shaped by {record['shaping']}"
    )
    axes.figure.supxlabel(caption, fontsize=8, color=_TEXT, alpha=0.75, x=0.01, ha="left", parse_math=False)
