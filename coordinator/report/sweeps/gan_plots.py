"""The figures of a GAN sweep; every method has one colour on all of them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coordinator.gan_plan import ALL, REAL
from coordinator.report.benchmarks.figure import save_figure, save_panels
from coordinator.report.benchmarks.frontier_plot import write_names
from coordinator.report.plots import PLAIN, RELAYED, SPLIT, TF_FUNCTION
from coordinator.report.sweeps.gan_records import (
    BOTH,
    PARTY_A,
    PARTY_B,
    Point,
    Sweep,
    accuracy,
    advantage,
    attack,
    chance,
    labels_attacked,
)
from coordinator.sweeps.gan_run import sample_rows
from coordinator.sweeps.gan_tasks import Method

_TEXT = "#1f2733"
_BOTH, _REAL = "#1e3a8a", "#6b7280"
COLOURS: Mapping[Method, str] = {"privgan": SPLIT, "gan": PLAIN, "gan_equal": TF_FUNCTION}
NAMES: Mapping[Method, str] = {
    "privgan": "privGAN",
    "gan": "GAN, the paper's steps",
    "gan_equal": "GAN, equal steps",
}
METHODS: tuple[Method, ...] = ("privgan", "gan", "gan_equal")
_SHARED = RELAYED
_ASIDE = 0.008


@dataclass(frozen=True)
class _Curve:
    name: str
    colour: str
    dashed: bool
    points: Sequence[tuple[float, Point]]


def fraction_values(sweep: Sweep) -> list[float]:
    """Fractions at which both parties of a privGAN have as many rows, or a GAN was trained."""
    found = {tuple(record["setting"]["fractions"]) for record in sweep.records if record["setting"]["skew"] == 0}
    return sorted({fractions[0] for fractions in found if len(set(fractions)) == 1})


def images(sweep: Sweep, caption: str) -> Callable[[Path], None] | None:
    """Fig. 4: a synthetic row of every class of party-a, by method and fraction."""
    cells: dict[tuple[int, int], Any] = {}
    fractions = fraction_values(sweep)
    for row, method in enumerate(METHODS):
        for column, fraction in enumerate(fractions):
            tile = _tile([record["samples"] for record in sweep.alike(method, fraction)])
            if tile is not None:
                cells[row, column] = tile
    if not cells:
        return None

    def draw(panels: list[Any]) -> None:
        for place, axes in enumerate(panels):
            row, column = divmod(place, len(fractions))
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            axes.spines[["left", "bottom"]].set_visible(False)
            if (row, column) in cells:
                axes.imshow(cells[row, column], cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="equal")
            if row == 0:
                axes.set_title(f"{fractions[column]:.3g}", color=_TEXT)
            if column == 0:
                axes.set_ylabel(NAMES[METHODS[row]].replace(", ", ",\n"), color=_TEXT, fontsize=9)
        _caption(panels[0], f"columns: fraction of the training rows at a party; one synthetic row a class\n{caption}")

    return lambda file: save_panels(
        file,
        draw,
        columns=len(fractions),
        rows=len(METHODS),
        width=max(7.5, 1.1 + 2.0 * len(fractions)),
        height=1.0 + 1.0 * len(METHODS),
    )


def grid(sweep: Sweep, caption: str) -> Callable[[Path], None] | None:
    """Fig. 5: accuracy by the parties' fractions, of rows from party-a, party-b, and both."""
    values = sorted({fraction for pair in sweep.settings("fractions") for fraction in pair if len(set(pair)) == 2})
    if not values:
        return None
    tables = [grid_table(sweep, values, source) for source in (PARTY_A, PARTY_B, ALL)]
    low, high = (float(end(table)) for end, table in ((np.nanmin, tables), (np.nanmax, tables)))

    def draw(panels: list[Any]) -> None:
        for axes, table, name in zip(panels, tables, (PARTY_A, PARTY_B, "both, half each"), strict=True):
            ticks = [f"{value:.3g}" for value in values]
            _heat(axes, table, ticks, ticks, low, high)
            axes.set_title(f"rows of {name}", color=_TEXT)
            axes.set_xlabel("fraction at party-a", color=_TEXT, fontsize=9.5)
            axes.set_ylabel("fraction at party-b", color=_TEXT, fontsize=9.5)
        _caption(panels[0], f"accuracy on real held-out rows of a classifier trained on synthetic rows\n{caption}")

    side = 1.3 + 0.5 * len(values)
    return lambda file: save_panels(file, draw, columns=3, width=max(9.0, 3.2 * side), height=max(3.8, side + 1.0))


def grid_table(sweep: Sweep, values: Sequence[float], source: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Accuracies float64[fraction of party-b, fraction of party-a]; NaN where nothing was trained. In a mirrored sweep a cell
    that was not trained is its mirror with the parties exchanged."""
    exchanged = {PARTY_A: PARTY_B, PARTY_B: PARTY_A}.get(source, source)
    table = np.full((len(values), len(values)), np.nan)
    for row, second in enumerate(values):
        for column, first in enumerate(values):
            point = accuracy(sweep.at("privgan", (first, second)), source)
            if point is None and sweep.described["mirrored"]:
                point = accuracy(sweep.at("privgan", (second, first)), exchanged)
            if point is not None:
                table[row, column] = point.value
    return table


def accuracy_curves(sweep: Sweep, caption: str) -> Callable[[Path], None] | None:
    """Fig. 6: accuracy over the fraction."""
    fractions = fraction_values(sweep)

    def along(method: Method, *sources: str) -> list[tuple[float, Point]]:
        return _along(fractions, lambda fraction: accuracy(sweep.alike(method, fraction), *sources))

    real = _along(
        fractions,
        lambda fraction: next(
            (found for method in METHODS if (found := accuracy(sweep.alike(method, fraction), REAL))), None
        ),
    )
    curves = [
        _Curve("privGAN, both parties", SPLIT, True, along("privgan", ALL)),
        _Curve("privGAN, party-a", SPLIT, False, along("privgan", PARTY_A)),
        _Curve("GANs, the paper's steps, both", PLAIN, True, along("gan", ALL)),
        _Curve("GAN, the paper's steps, party-a", PLAIN, False, along("gan", PARTY_A)),
        _Curve("GANs, equal steps, both", TF_FUNCTION, True, along("gan_equal", ALL)),
        _Curve("GAN, equal steps, party-a", TF_FUNCTION, False, along("gan_equal", PARTY_A)),
        _Curve("real rows of a party", _REAL, True, real),
    ]
    level = 1 / len(sweep.described["classes"])
    return _curves_figure(
        curves,
        "Accuracy of a classifier trained on synthetic rows",
        "fraction of the training rows at a party",
        "accuracy on real held-out rows",
        caption,
        lambda axes: _chance(axes, level),
    )


def attack_curves(sweep: Sweep, caption: str) -> Callable[[Path], None] | None:
    """Fig. 7: accuracy of the attack with a party's own discriminator, over the fraction, and chance."""
    fractions = fraction_values(sweep)

    def along(method: Method, by: str) -> list[tuple[float, Point]]:
        return _along(fractions, lambda fraction: attack(sweep.alike(method, fraction), by))

    curves = [_Curve(NAMES[method], COLOURS[method], False, along(method, "own")) for method in METHODS]
    curves.append(_Curve("privGAN, maximum over parties", _BOTH, True, along("privgan", "max")))
    curves.append(_Curve("privGAN, shared discriminator", _SHARED, True, along("privgan", "shared_max")))
    levels = [
        (fraction, level)
        for fraction in fractions
        if (level := next((c for m in METHODS if (c := chance(sweep.alike(m, fraction), "own"))), None)) is not None
    ]

    def mark(axes: Any) -> None:
        if levels:
            axes.plot(*zip(*levels, strict=True), color=_TEXT, linewidth=1.1, linestyle=(0, (4, 3)), label="chance")

    return _curves_figure(
        curves,
        "White-box membership attack, all classes",
        "fraction of the training rows at a party",
        "share of rows called members that are",
        f"a party's own rows, mean of both parties\n{caption}",
        mark,
    )


def attack_digits(sweep: Sweep, caption: str) -> Callable[[Path], None] | None:
    """Fig. 7 by class: what the attack gains over chance."""
    fractions, labels = fraction_values(sweep), labels_attacked(sweep.records)
    tables = {method: np.full((len(fractions), len(labels)), np.nan) for method in METHODS}
    for method, table in tables.items():
        for row, fraction in enumerate(fractions):
            for column, label in enumerate(labels):
                point = advantage(sweep.alike(method, fraction), "own", label)
                table[row, column] = np.nan if point is None else point.value
    if not labels or all(np.all(np.isnan(table)) for table in tables.values()):
        return None

    def draw(panels: list[Any]) -> None:
        for axes, (method, table) in zip(panels, tables.items(), strict=True):
            _heat(axes, table, labels, [f"{fraction:.3g}" for fraction in fractions], -0.3, 0.3, colours="coolwarm")
            axes.set_title(NAMES[method], color=_TEXT)
            axes.set_xlabel("class", color=_TEXT, fontsize=9.5)
            axes.set_ylabel("fraction at a party", color=_TEXT, fontsize=9.5)
        _caption(
            panels[0],
            f"attack accuracy of a party's own discriminator less chance, mean of both parties: 0 is private\n{caption}",
        )

    return lambda file: save_panels(
        file, draw, columns=3, width=3 * (1.2 + 0.42 * len(labels)), height=2.4 + 0.36 * len(fractions)
    )


def weights(sweep: Sweep, caption: str) -> Callable[[Path], None] | None:
    """Utility over what an attack gains, by lambda; a GAN of the same rows and steps beside them."""
    fraction = float(sweep.described["weights_fraction"])
    points = []
    for value in sweep.settings("weight"):
        runs = sweep.at("privgan", (fraction, fraction), weight=value)
        reached, leaked = accuracy(runs, *BOTH), advantage(runs, "own")
        if reached is not None and leaked is not None:
            points.append((f"λ = {value:g}", SPLIT, "o", leaked, reached))
    if len(points) < 2:
        return None
    for method in ("gan_equal", "gan"):
        runs = sweep.alike(method, fraction)
        reached, leaked = accuracy(runs, *BOTH), advantage(runs, "own")
        if reached is not None and leaked is not None:
            points.append((NAMES[method], COLOURS[method], "s", leaked, reached))

    def draw(axes: Any) -> None:
        for _, colour, marker, leaked, reached in points:
            axes.errorbar(
                leaked.value,
                reached.value,
                xerr=_bar(leaked),
                yerr=_bar(reached),
                color=colour,
                marker=marker,
                markersize=6,
                ecolor=(colour, 0.4),
                elinewidth=1,
            )
        axes.axvline(0, color=_TEXT, linewidth=1.1, linestyle=(0, (4, 3)), alpha=0.7)
        axes.margins(x=0.08, y=0.12)
        places = [(leaked.value, reached.value) for *_, leaked, reached in points]
        write_names(
            axes, [name for name, *_ in points], places, [place for place, one in enumerate(points) if one[1] == SPLIT]
        )
        _label(
            axes,
            f"Utility over attack, fraction {fraction:.3g} at each party",
            "attack accuracy less chance (lower is better)",
            "classifier's accuracy (higher is better)",
            f"rows of one party, mean of both; dashes: chance\n{caption}",
        )

    return lambda file: save_figure(file, draw, height=4.8)


def skews(sweep: Sweep, caption: str) -> Callable[[Path], None] | None:
    """Accuracy over the skew of labels: privGAN against each party's own GAN."""
    fraction = float(sweep.described["skews_fraction"])
    values = sweep.settings("skew")
    if len(values) < 2:
        return None

    def along(method: Method, *sources: str) -> list[tuple[float, Point]]:
        return _along(values, lambda skew: accuracy(sweep.at(method, (fraction, fraction), skew=skew), *sources))

    curves = [
        _Curve("privGAN, both parties", SPLIT, True, along("privgan", ALL)),
        _Curve("privGAN, a party alone", SPLIT, False, along("privgan", *BOTH)),
        _Curve("own GANs, both parties", TF_FUNCTION, True, along("gan_equal", ALL)),
        _Curve("own GAN, a party alone", TF_FUNCTION, False, along("gan_equal", *BOTH)),
        _Curve("real rows of a party", _REAL, True, along("privgan", REAL)),
    ]
    return _curves_figure(
        curves,
        f"Parties with different classes, fraction {fraction:.3g} at each",
        "share that a party lacks of the rows of half the classes",
        "accuracy on real held-out rows",
        caption,
        lambda axes: None,
        logarithmic=False,
    )


def _curves_figure(
    curves: Sequence[_Curve],
    title: str,
    x_label: str,
    y_label: str,
    caption: str,
    mark: Callable[[Any], None],
    *,
    logarithmic: bool = True,
) -> Callable[[Path], None] | None:
    drawn = [curve for curve in curves if curve.points]
    if not drawn:
        return None

    def draw(axes: Any) -> None:
        for place, curve in enumerate(drawn):
            aside = (place - (len(drawn) - 1) / 2) * _ASIDE  # so that bars of one value do not hide each other
            axes.errorbar(
                [x * math.exp(2 * aside) if logarithmic else x + aside / 2 for x, _ in curve.points],
                [point.value for _, point in curve.points],
                yerr=np.hstack([_bar(point) for _, point in curve.points]),
                color=curve.colour,
                linestyle="--" if curve.dashed else "-",
                marker="o",
                markersize=4.5,
                linewidth=1.6,
                elinewidth=1,
                capsize=2,
                label=curve.name,
            )
        mark(axes)
        if logarithmic:
            values = sorted({x for curve in drawn for x, _ in curve.points})
            axes.set_xscale("log")
            axes.set_xticks(values, [f"{value:.3g}" for value in values])
            axes.minorticks_off()
        axes.legend(frameon=False, fontsize=8.5, labelcolor=_TEXT, loc="center left", bbox_to_anchor=(1.01, 0.5))
        _label(axes, title, x_label, y_label, f"bars: 95 % intervals\n{caption}")

    return lambda file: save_figure(file, draw, width=10.0, height=4.6)


def _along(values: Sequence[float], look: Callable[[float], Point | None]) -> list[tuple[float, Point]]:
    return [(value, point) for value in values if (point := look(value)) is not None]


def _heat(
    axes: Any,
    table: np.ndarray[Any, np.dtype[np.float64]],
    x_ticks: Sequence[str],
    y_ticks: Sequence[str],
    low: float,
    high: float,
    colours: str = "viridis",
) -> None:
    axes.grid(visible=False)
    axes.imshow(table, origin="lower", cmap=colours, vmin=low, vmax=max(high, low + 1e-9), aspect="auto")
    axes.set_xticks(range(len(x_ticks)), x_ticks)
    axes.set_yticks(range(len(y_ticks)), y_ticks)
    for (row, column), value in np.ndenumerate(table):
        if not np.isnan(value):
            dark = colours == "viridis" and value < (low + high) / 2
            axes.text(
                column,
                row,
                f"{value:.2f}".replace("-0.00", "0.00"),
                ha="center",
                va="center",
                fontsize=8,
                color="w" if dark else _TEXT,
            )


def _tile(found: Sequence[Mapping[str, Any]]) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    """The first row of every class of party-a's sample, ten images in two lines."""
    sample = next((one[PARTY_A] for one in found if PARTY_A in one), None)
    if sample is None or not all(sample["image"]):
        return None
    height, width = sample["image"]
    rows, labels = sample_rows(sample).reshape(-1, height, width), sample["labels"]
    chosen = [rows[labels.index(label)] for label in sorted(set(labels))]
    line = -(-len(chosen) // 2)
    chosen += [np.zeros((height, width), np.float32)] * (2 * line - len(chosen))
    return np.vstack([np.hstack(chosen[:line]), np.hstack(chosen[line:])])


def _bar(point: Point) -> list[list[float]]:
    return [[max(0.0, point.value - point.low)], [max(0.0, point.high - point.value)]]


def _chance(axes: Any, level: float) -> None:
    axes.axhline(level, color=_TEXT, linewidth=1.1, linestyle=(0, (4, 3)), alpha=0.7, label="chance")


def _label(axes: Any, title: str, x_label: str, y_label: str, caption: str) -> None:
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=_TEXT, pad=10)
    axes.set_xlabel(x_label, color=_TEXT, fontsize=9.5)
    axes.set_ylabel(y_label, color=_TEXT, fontsize=9.5)
    _caption(axes, caption)


def _caption(axes: Any, caption: str) -> None:
    axes.figure.supxlabel(caption, fontsize=8, color=_TEXT, alpha=0.75, x=0.01, ha="left", parse_math=False)
