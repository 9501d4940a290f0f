"""The page's section on depth: secret layers against the same layers plain on the neutral server."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from coordinator.report.benchmarks.page import environment_line, markdown_table
from coordinator.report.figure import DOTS_PER_INCH, INKS
from coordinator.report.plots import PLAIN, RELAYED, SPLIT
from coordinator.report.quantities import duration, ratio, three_digits
from coordinator.sweeps.bench_log import Record, Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLOT_NAME = "depth.png"
_SECRET = RELAYED
_INK = INKS["light"]
_MARKERS = ("o", "s", "^", "D", "v")

_INTRODUCTION = """## Depth: what a hidden layer costs under secret sharing

The P²N² paper computes the first layer on shares and leaves the rest to the neutral server. What if more layers were secret? One
training step of a full batch, {parties} parties.

* **Protocols that run:** the plan as it is, and one secret layer, which is `beaver`. Their bytes are the sizes of their own messages
  (`tertium plan` forecasts the same), the ring time is that of the one triple `beaver` uses.
* **A cost model of a protocol that is not built:** two secret layers and more. Bytes are ring words over Z_2^64, counted product by
  product: a Beaver triple with seeded shares for each product of two secrets, the activation a polynomial of degree 3, truncation
  free (right for two parties; more would pay for it). "Masked once"
  opens every value once a step instead of once a product: the least we know how to send. Ring times are measured, on the shapes
  such a protocol would multiply.
* From two secret layers on, the gradient of the first is a secret too: XᵀG joins the ring, which with one secret layer is each
  party's own product in float32. With all layers secret nothing is left to a neutral server; h_L goes to the label holder alone.
* Ring times are one party's products, no other role beside it, both of a triple's: one of them needs no opening and can be made
  ahead. The dealer's are not in them. Plain times are the same products in float32 by TensorFlow, measured in turns with them.
  Neither waits for a network, and more secret layers also take more rounds. Opening X costs words once a run, in `beaver` as in
  the model, and is in no row.
"""


def section(records: list[Record], plots: Path) -> str:
    """Markdown of the newest record of each plan and number of parties, and its plot in ``plots``."""
    newest = list({(one["plan"], one["shape"]["parties"]): one for one in records}.values())
    if not newest:
        return ""
    figure = draw_depth(newest)
    figure.savefig(plots / PLOT_NAME, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    counts = sorted({record["shape"]["parties"] for record in newest})
    parts = [_INTRODUCTION.format(parties=" or ".join(map(str, counts)))]
    parts.append(f"![Bytes and ring time a step over the number of secret layers]({plots.name}/{PLOT_NAME})\n")
    parts += [_part(record) for record in newest]
    parts += [f"{line}\n" for line in dict.fromkeys(environment_line(record) for record in newest)]
    return "\n".join(parts)


def draw_depth(records: list[Record]) -> "Figure":
    """MB a step on the busiest link and milliseconds of ring products a step, over secret layers; a marker a plan."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), facecolor=_INK.paper, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    deepest = max(len(record["depths"]) for record in records)
    for record, marker in zip(records, _cycled(len(records)), strict=True):
        _draw_bytes(left, record, marker)
        _draw_times(right, record, marker)
    _finish(left, deepest, "Bytes", "MB a step, busiest link direction")
    _finish(right, deepest, "Products", "ms a step, one party")
    figure.supxlabel(_caption(records), fontsize=8, color=_INK.text, alpha=0.75, x=0.01, ha="left", parse_math=False)
    return figure


def _draw_bytes(axes: "Axes", record: Record, marker: str) -> None:
    depths = record["depths"]
    places = [depth["secret_layers"] for depth in depths]
    secret = [depth["busiest_bytes"] / 1e6 for depth in depths]
    least = [depth["least"]["busiest_bytes"] / 1e6 for depth in depths]
    server = record["server"]["busiest_bytes"] / 1e6
    # the plan as it is does not grow: whatever the neutral server computes, the same messages travel
    axes.plot(
        places, [server] * len(places), color=SPLIT, linewidth=1.8, marker=marker, markersize=4, label="on server"
    )
    axes.fill_between(places, least, secret, color=_SECRET, alpha=0.2, linewidth=0, label="masked once")
    axes.plot(places, secret, color=_SECRET, linewidth=1.8, marker=marker, markersize=5, label="on shares")
    _name_line(axes, places[-1], secret[-1], f"{record['plan']}\n{secret[-1]:.3g} MB", _SECRET, 1)
    _name_line(axes, places[-1], server, f"{record['plan']}\n{server:.3g} MB", SPLIT, -1)


def _draw_times(axes: "Axes", record: Record, marker: str) -> None:
    places = [depth["secret_layers"] for depth in record["depths"]]
    lines: tuple[tuple[str, str, str, Literal[-1, 1]], ...] = (
        ("plain_ms", PLAIN, "plain, TensorFlow", -1),
        ("ring_ms", _SECRET, "ring, on shares", 1),
    )
    for key, colour, label, side in lines:
        spreads = [Spread(**depth[key]) for depth in record["depths"]]
        middle = [spread.median for spread in spreads]
        below = [spread.median - spread.lowest for spread in spreads]
        above = [spread.highest - spread.median for spread in spreads]
        axes.errorbar(
            places,
            middle,
            yerr=(below, above),
            color=colour,
            linewidth=1.8,
            elinewidth=1,
            capsize=2.5,
            marker=marker,
            markersize=5,
            label=label,
        )
        _name_line(axes, places[-1], middle[-1], f"{record['plan']}\n{duration(middle[-1] / 1e3)}", colour, side)


def _name_line(axes: "Axes", place: float, height: float, text: str, colour: str, side: Literal[-1, 1]) -> None:
    """Beside the line's end, above (1) or below (-1) it: two lines that end together keep their names apart."""
    axes.annotate(
        text,
        (place, height),
        xytext=(6, -3 * side),
        textcoords="offset points",
        va="bottom" if side > 0 else "top",
        fontsize=8,
        color=colour,
        parse_math=False,
    )


def _finish(axes: "Axes", deepest: int, title: str, unit: str) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(low / 1.6, high * 1.8)  # room for the names above the highest line and below the lowest
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xticks(range(1, deepest + 1))
    axes.set_xlim(0.8, deepest + 0.75)  # room for the names at the lines' ends
    axes.set_facecolor(_INK.paper)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_INK.line)
    axes.tick_params(colors=_INK.text, labelsize=9, length=0, which="both")
    axes.grid(visible=True, color=_INK.line, linewidth=0.7, alpha=0.7)
    axes.set_axisbelow(True)
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=_INK.text, pad=26)
    axes.set_xlabel("secret layers (1 = beaver)", color=_INK.text, fontsize=9.5)
    axes.set_ylabel(unit, color=_INK.text, fontsize=9.5)
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))  # several plans, one entry a method
    axes.legend(
        once.values(),
        once.keys(),
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=3,
        frameon=False,
        fontsize=8.5,
        labelcolor=_INK.text,
        borderaxespad=0,
        columnspacing=1.0,
        handlelength=1.6,
    )


def _caption(records: list[Record]) -> str:
    shapes = [
        f"{one['plan']} {_shape(one)}, {one['shape']['rows']:,} rows, {one['shape']['parties']} parties"
        for one in records
    ]
    repeats = sorted({record["repeats"] for record in records})
    return (
        "; ".join(shapes)
        + f"\nmedian, lowest and highest of {' or '.join(map(str, repeats))} repeats; two secret layers and more: cost model"
    )


def _part(record: Record) -> str:
    shape, server, depths = record["shape"], record["server"], record["depths"]
    first, last, layers = depths[0], depths[-1], len(record["depths"])
    head = [
        "secret layers",
        "on the server",
        "MB, busiest link",
        "to the plan as it is",
        "MB, all links",
        "masked once, MB, all links",
        "ring ms",
        "same products plain, ms",
        "ring to plain",
    ]
    as_it_is = [
        f"{server['protocol']}, {server['ring_bits']}-bit ring, {server['cut_dtype']} at the cut: the plan as it is",
        _kept(0, layers),
        _megabytes(server["busiest_bytes"]),
        ratio(1.0),
        _megabytes(server["all_bytes"]),
        "–",
        "–",
        "–",
        "–",
    ]
    rows = [as_it_is, *(_row(depth, server, layers) for depth in depths)]
    found = [
        f"### {record['plan']}: {_shape(record)}, {shape['rows']:,} rows a step, {shape['parties']} parties\n",
        markdown_table(head, rows),
    ]
    if layers > 1:
        ring, plain = (last[key]["median"] for key in ("ring_ms", "plain_ms"))
        more = last["busiest_bytes"] / first["busiest_bytes"]
        least = last["least"]["busiest_bytes"] / first["busiest_bytes"]
        found.append(
            f"With every layer on shares the busiest link carries {more:.3g} times what it does with one ({least:.3g} times "
            f"masked once), and the ring takes {three_digits(ring / first['ring_ms']['median'])} times as long: {duration(ring / 1e3)}, where "
            f"the same products take {duration(plain / 1e3)} in the clear.\n"
        )
    return "\n".join(found)


def _row(depth: dict[str, Any], server: dict[str, Any], layers: int) -> list[str]:
    kind = "protocol `beaver`" if depth["kind"] == "protocol" else "cost model"
    return [
        f"{depth['secret_layers']}: {kind}",
        _kept(depth["secret_layers"], layers),
        _megabytes(depth["busiest_bytes"]),
        ratio(depth["busiest_bytes"] / server["busiest_bytes"]),
        _megabytes(depth["all_bytes"]),
        _megabytes(depth["least"]["all_bytes"]),
        *(_spread(depth[key]) for key in ("ring_ms", "plain_ms", "ring_to_plain")),
    ]


def _kept(secret_layers: int, layers: int) -> str:
    """Whose products the server computes; layer 1 is always the parties'."""
    first = max(secret_layers, 1) + 1
    if first > layers:
        return "the activation" if layers == 1 else "nothing"
    return f"layer {first}" if first == layers else f"layers {first} to {layers}"


def _shape(record: Record) -> str:
    shape = record["shape"]
    return f"{shape['columns']}-{shape['widths']}"


def _megabytes(count: float) -> str:
    return three_digits(count / 1e6)


def _spread(noted: dict[str, Any]) -> str:
    spread = Spread(**noted)
    return f"{three_digits(spread.median)} ({three_digits(spread.lowest)}–{three_digits(spread.highest)})"


def _cycled(count: int) -> list[str]:
    return [_MARKERS[number % len(_MARKERS)] for number in range(count)]
