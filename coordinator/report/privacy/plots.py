"""Bars of every attack beside its baseline and controls, one figure for each measure, with 95 % intervals."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from coordinator.report.events import ScoreRecord
from coordinator.report.figure import INKS, Theme, canvas, finish
from coordinator.report.privacy.attack_record import MEASURES, AttackRecord, attacks_of
from coordinator.report.privacy.words import MEASURE_WORDS, attack_words, role_words
from coordinator.report.run_record import RunRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PREFIX = "leakage-"
ATTACK, BASELINE, CONTROL, NOISE = "#d1495b", "#8a94a3", "#e9b8bf", "#c9ced6"
_BARS = (
    ("attack", "score", ATTACK),
    ("without the view", "baseline", BASELINE),
    ("positive control: nothing protected", "positive_control", CONTROL),
    ("negative control: noise", "negative_control", NOISE),
)
_LOWEST = -0.25
"""A recovery worse than the average has a negative R² without bound; the axis ends here."""


def drawn_measures(record: RunRecord) -> list[str]:
    """Measures with a figure: those of the run's attacks on one scale up to 1, so not the squared error."""
    found = {attack.measure for attack in attacks_of(record)}
    return [measure for measure in MEASURES if measure in found and measure != "mse"]


def draw_leakage(measure: str, record: RunRecord, theme: Theme = "light") -> "Figure":
    """Groups of four bars, one group for each attack."""
    attacks = [attack for attack in attacks_of(record) if attack.measure == measure]
    figure, axes = canvas(theme, height=1.9 + 0.56 * len(attacks))
    for place, (label, field, colour) in enumerate(_BARS):
        scores = [_score(attack, field) for attack in attacks]
        _bars(axes, scores, place, label, colour, INKS[theme].text)
    axes.set_yticks(range(len(attacks)), [_name(attack) for attack in attacks], parse_math=False)
    axes.set_ylim(len(attacks) - 0.45, -0.55)
    lowest = min((attack.score.value for attack in attacks), default=0.0)
    axes.set_xlim(max(_LOWEST, min(0.0, lowest)), 1.04)
    axes.set_xlabel(f"{MEASURE_WORDS[measure]}, 1 is a perfect recovery; whiskers: 95 % interval")
    _mark_clipped(axes, attacks, INKS[theme].text)
    axes.grid(visible=False, axis="y")
    title = MEASURE_WORDS[measure]
    finish(figure, axes, theme, title[:1].upper() + title[1:], record, legend=None)
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8.5, labelcolor=INKS[theme].text)
    return figure


def _bars(axes: "Axes", scores: Sequence[ScoreRecord], place: int, label: str, colour: str, whiskers: str) -> None:
    values = [score.value for score in scores]
    lows = [score.value - (score.value if score.low is None else score.low) for score in scores]
    highs = [(score.value if score.high is None else score.high) - score.value for score in scores]
    axes.barh(
        [index + 0.19 * (place - 1.5) for index in range(len(scores))],
        values,
        height=0.17,
        color=colour,
        label=label,
        xerr=[[max(low, 0.0) for low in lows], [max(high, 0.0) for high in highs]],
        error_kw={"ecolor": whiskers, "elinewidth": 0.9, "capsize": 1.5},
    )


def _mark_clipped(axes: "Axes", attacks: Sequence[AttackRecord], ink: str) -> None:
    """The value beside every bar that runs out of the axis on the left."""
    left = axes.get_xlim()[0]
    for index, attack in enumerate(attacks):
        for place, (_, field, _) in enumerate(_BARS):
            value = _score(attack, field).value
            if value < left:
                at = (0.006, index + 0.19 * (place - 1.5))
                axes.text(
                    *at, f"◂ {value:.3g}", transform=axes.get_yaxis_transform(), va="center", fontsize=6.5, color=ink
                )


def _score(attack: AttackRecord, field: str) -> ScoreRecord:
    score: ScoreRecord = getattr(attack, field)
    return score


def _name(attack: AttackRecord) -> str:
    return f"{role_words(attack.role)}\n{attack_words(attack.attack)}"
