"""Plots of a GAN run: losses, accuracy by source, membership attacks beside chance, and discriminators' scores.

A party keeps its colour in every plot; what belongs to all parties or to the server is grey.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from coordinator.report.figure import INKS, Theme, canvas, finish, panels, whole_epochs
from coordinator.report.gan.gan_record import OWN, SERVER, GanRecord, MembershipRecord, gan_record
from coordinator.report.gan.words import by_words, source_words
from coordinator.report.run_record import RunRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTY_COLOURS = ("#3b82f6", "#e07b00", "#0d9f8c", "#a06cd5", "#d1495b", "#8a6d3b")
TOGETHER, REAL = "#6b7686", "#2f9e5b"
_KIND_COLOURS: Mapping[str, str] = {"train": "#d1495b", "holdout": "#3b82f6", "other": TOGETHER}
_KIND_WORDS: Mapping[str, str] = {
    "train": "its training rows",
    "holdout": "its held-out rows",
    "other": "other parties' rows",
}
_NETS: tuple[tuple[str, str], ...] = (("generator", "solid"), ("discriminator", "dashed"))


def draw_losses(record: RunRecord, theme: Theme = "light") -> "Figure | None":
    """Of every party's nets, means over classes, and of the shared discriminator beside what guessing origins would cost."""
    found = gan_record(record)
    if not found.losses:
        return None
    figure, axes = canvas(theme, height=4.4)
    for process in dict.fromkeys(name for losses in found.losses for name in losses.means):
        for net, style in _NETS if process != SERVER else (("shared_discriminator", "solid"),):
            points = [
                (losses.epoch, losses.means[process][net])
                for losses in found.losses
                if net in losses.means.get(process, {})
            ]
            if points:
                label = "shared discriminator" if process == SERVER else f"{process}, {net}"
                colour = TOGETHER if process == SERVER else party_colour(found, process)
                axes.plot(*zip(*points, strict=True), color=colour, linestyle=style, linewidth=1.8, label=label)
    if any(SERVER in losses.means for losses in found.losses):
        guess = math.log(max(len(found.parties), 2))
        axes.axhline(guess, color=INKS[theme].line, linestyle=(0, (4, 4)), label="an origin guessed", zorder=0)
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean loss over classes (nats)")
    whole_epochs(axes)
    return finish(figure, axes, theme, "Losses per epoch", record, legend="best")


def draw_accuracy(record: RunRecord, theme: Theme = "light") -> "Figure | None":
    """Of classifiers on real held-out rows, by whose rows they were trained on; whiskers: 95 % interval."""
    scores = {
        name.removeprefix("accuracy."): score for name, score in record.scores.items() if name.startswith("accuracy.")
    }
    if not scores:
        return None
    found = gan_record(record)
    figure, axes = canvas(theme, height=1.7 + 0.42 * len(scores))
    colours = [{"real": REAL, "all": TOGETHER}.get(source) or party_colour(found, source) for source in scores]
    values = [score.value for score in scores.values()]
    lows = [max(score.value - (score.value if score.low is None else score.low), 0) for score in scores.values()]
    highs = [max((score.value if score.high is None else score.high) - score.value, 0) for score in scores.values()]
    whiskers = {"ecolor": INKS[theme].text, "elinewidth": 0.9, "capsize": 2}
    axes.barh(range(len(scores)), values, color=colours, height=0.62, xerr=[lows, highs], error_kw=whiskers)
    axes.set_yticks(range(len(scores)), [source_words(source) for source in scores], parse_math=False)
    axes.invert_yaxis()
    for place, (value, high) in enumerate(zip(values, highs, strict=True)):
        axes.annotate(
            f"{value:.3f}",
            (value + high, place),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=INKS[theme].text,
        )
    axes.set_xlim(0, 1.08)
    axes.set_xlabel("accuracy on real held-out rows; whiskers: 95 % interval")
    axes.set_ylabel("classifier trained on")
    axes.grid(visible=False, axis="y")
    return finish(figure, axes, theme, "A classifier trained on synthetic rows", record, legend=None)


def draw_membership(record: RunRecord, theme: Theme = "light") -> "Figure | None":
    """Accuracy by class of the attacks by own discriminators and by the highest of all, and chance; the page's table has the others."""
    found = gan_record(record)
    shown = [attack for attack in found.membership if attack.by in _MARKERS]
    if not shown:
        return None
    figure, axes = canvas(theme, height=4.8)
    labels = sorted({attack.label for attack in shown}, key=_class_order)
    series = list(dict.fromkeys((attack.by, attack.party) for attack in shown))
    for number, (by, party) in enumerate(series):
        attacks = [attack for attack in shown if (attack.by, attack.party) == (by, party)]
        offset = 0.6 * ((number + 0.5) / len(series) - 0.5)
        places = [labels.index(attack.label) + offset for attack in attacks]
        colour = party_colour(found, party)
        axes.errorbar(
            places,
            [attack.accuracy.value for attack in attacks],
            yerr=[[_reach(attack, -1) for attack in attacks], [_reach(attack, 1) for attack in attacks]],
            fmt=_MARKERS[by],
            markersize=5,
            color=colour,
            elinewidth=0.9,
            label=f"{by_words(by)}, rows of {party}",
        )
    chance = {label: statistics.fmean(a.chance for a in shown if a.label == label) for label in labels}
    for place, label in enumerate(labels):
        axes.hlines(
            chance[label],
            place - 0.42,
            place + 0.42,
            color=INKS[theme].text,
            linewidth=1.4,
            label="chance" if place == 0 else "_nolegend_",
        )
    axes.set_xticks(range(len(labels)), labels, parse_math=False)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("class")
    axes.set_ylabel("share of those called members that are")
    axes.grid(visible=False, axis="x")
    finish(figure, axes, theme, "Membership attacks on discriminators", record, legend=None)
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8.5, labelcolor=INKS[theme].text)
    return figure


def draw_histograms(record: RunRecord, theme: Theme = "light") -> "Figure | None":
    """Scores of each party's discriminators, all classes together: a memory shows where training rows score apart."""
    found = gan_record(record)
    if not found.histograms:
        return None
    figure, every = panels(theme, len(found.histograms), height=3.4)
    for axes, (party, classes) in zip(every, found.histograms.items(), strict=True):
        for kind in dict.fromkeys(kind for kinds in classes.values() for kind in kinds):
            counts = _summed([kinds[kind] for kinds in classes.values() if kind in kinds])
            total, edges = max(sum(counts), 1), [place / len(counts) for place in range(len(counts) + 1)]
            colour = _KIND_COLOURS.get(kind, TOGETHER)
            axes.stairs(
                [count / total for count in counts],
                edges,
                color=colour,
                linewidth=1.6,
                label=_KIND_WORDS.get(kind, kind),
            )
        axes.set_title(party, fontsize=9.5, color=INKS[theme].text, pad=10, parse_math=False)
        axes.set_xlabel("score, 1: taken for real")
        axes.xaxis.label.set(color=INKS[theme].text, fontsize=9.5)
    every[0].set_ylabel("share of rows")
    figure.suptitle(
        "Scores of the discriminators", x=0.01, ha="left", fontsize=12, fontweight="bold", color=INKS[theme].text
    )
    return finish(figure, every[0], theme, "", record, legend="best")


GAN_DRAWINGS: Mapping[str, Callable[[RunRecord, Theme], "Figure | None"]] = {
    "losses": draw_losses,
    "accuracy": draw_accuracy,
    "membership": draw_membership,
    "histograms": draw_histograms,
}
_MARKERS: Mapping[str, str] = {OWN: "o", "max": "^"}


def party_colour(found: GanRecord, party: str) -> str:
    """By a party's place among those of the run."""
    parties = found.parties
    return PARTY_COLOURS[parties.index(party) % len(PARTY_COLOURS)] if party in parties else TOGETHER


def _reach(attack: MembershipRecord, side: int) -> float:
    end = attack.accuracy.high if side > 0 else attack.accuracy.low
    return 0.0 if end is None else max(side * (end - attack.accuracy.value), 0.0)


def _summed(counts: Sequence[Sequence[int]]) -> list[int]:
    return [sum(column) for column in zip(*counts, strict=True)]


def _class_order(label: str) -> tuple[int, str]:
    return (int(label), "") if label.lstrip("-").isdigit() else (0, label)
