"""What an attack's numbers mean, by stated rules; the page prints them.

How much is leaked is counted from what is reached without the view (0) to a perfect recovery (1):
share = (score - baseline) / (perfect - baseline), and for an error (baseline - score) / baseline. Of rows the baseline is the
leaked rows' mean, R² about 0: nobody is given a row's class, so what the class tells is part of the leak.

| verdict | when |
|---|---|
| untested | the positive control does no better than the baseline: this attacker fails where it must succeed |
| untested | the positive control comes less than half the way to perfect, and the share is below 10 % or the intervals meet: what a weak attacker misses may be there |
| unsound | the negative control beats the baseline by more than 5 % of the way: it finds something in noise |
| none found | the score's interval reaches the baseline's, or the share is below 2 % |
| slight | share below 10 % |
| noticeable | share below 50 % |
| severe | from 50 % |
"""

from dataclasses import dataclass
from typing import Literal

from coordinator.report.events import ScoreRecord
from coordinator.report.privacy.attack_record import AttackRecord

Word = Literal["untested", "unsound", "none found", "slight", "noticeable", "severe"]
ORDER: tuple[Word, ...] = ("untested", "unsound", "none found", "slight", "noticeable", "severe")
TONES = {
    "untested": "plain",
    "unsound": "plain",
    "none found": "good",
    "slight": "good",
    "noticeable": "warning",
    "severe": "bad",
}

NOISE, NOTHING, SLIGHT, NOTICEABLE, WORKS = 0.05, 0.02, 0.1, 0.5, 0.5
LIMITS = {"works": WORKS, "noise": NOISE, "nothing": NOTHING, "slight": SLIGHT, "noticeable": NOTICEABLE}
"""Shares, as the page states them."""

_PERFECT = 1.0


@dataclass(frozen=True)
class Verdict:
    """A word, and the share of the way from the baseline to a perfect recovery (may be negative)."""

    word: Word
    share: float

    @property
    def tone(self) -> str:
        return TONES[self.word]

    @property
    def rank(self) -> tuple[int, float]:
        """Worse is greater."""
        return ORDER.index(self.word), self.share

    @property
    def calls_for_advice(self) -> bool:
        return self.word in ("noticeable", "severe")


def verdict(attack: AttackRecord) -> Verdict:
    """By the rules above."""
    baseline, error = attack.baseline, attack.measure == "mse"
    share = _share(attack.score.value, baseline.value, error)
    if not _beats(attack.positive_control, baseline, error):
        return Verdict("untested", share)
    noise = _share(attack.negative_control.value, baseline.value, error)
    if noise > NOISE and _beats(attack.negative_control, baseline, error):
        return Verdict("unsound", share)
    works = _share(attack.positive_control.value, baseline.value, error) >= WORKS
    if not works and (share < SLIGHT or not _beats(attack.score, baseline, error)):
        return Verdict("untested", share)
    if share < NOTHING or not _beats(attack.score, baseline, error):
        return Verdict("none found", share)
    return Verdict("slight" if share < SLIGHT else "noticeable" if share < NOTICEABLE else "severe", share)


def _share(value: float, baseline: float, error: bool) -> float:
    room = baseline if error else _PERFECT - baseline
    if room <= 0:
        return 0.0  # nothing is left to be learnt: the baseline is perfect
    return (baseline - value if error else value - baseline) / room


def _beats(score: ScoreRecord, baseline: ScoreRecord, error: bool) -> bool:
    """Whether a score lies clearly on the better side: the intervals do not meet."""
    if error:
        return _high(score) < _low(baseline)
    return _low(score) > _high(baseline)


def _low(score: ScoreRecord) -> float:
    return score.value if score.low is None else score.low


def _high(score: ScoreRecord) -> float:
    return score.value if score.high is None else score.high
