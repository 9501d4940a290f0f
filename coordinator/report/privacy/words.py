"""Attacks in words that need no knowledge of machine learning."""

from collections.abc import Callable

from coordinator.report.events import ScoreRecord
from coordinator.report.privacy.attack_record import AttackRecord

_ROLES = {
    "neutral-server": "The neutral server",
    "feature-holder": "A party without the label",
    "label-holder": "The party with the label",
    "predictions": "Whoever receives predictions",
}
_TARGETS = {
    "rows": "the records",
    "labels": "the label",
    "peer block": "the other parties' columns",
}
_ATTACKS = {
    "inverse_ridge": "linear reader, last epoch",
    "inverse_mlp": "neural reader, last epoch",
    "stacked_ridge": "linear reader, all epochs together",
    "stacked_mlp": "neural reader, all epochs together",
    "paper_attacker": "the P²N² paper's own reader",
    "gram": "equations from successive steps",
    "label_norm": "length of the gradient",
    "label_direction": "direction of the gradient",
    "label_line": "whether gradients lie on one line",
    "label_ridge": "linear reader of the gradient",
    "label_summed": "gradient of its own weights, step by step",
    "peer_block": "linear reader of h₁, own part taken out",
    "peer_block_mlp": "neural reader of h₁, own part taken out",
    "equality_solving": "equations from predictions",
}
MEASURE_WORDS = {
    "re_identification": "right record among 100",
    "ssim": "likeness of images (SSIM)",
    "r2": "detail recovered (R²)",
    "mse": "mean squared error",
    "auc": "label told (AUC)",
}
RECEIVED_WORDS = {
    "share": "masked shares of z₁; their sum over the parties is z₁",
    "head_gradient": "∂L/∂h_L, the gradient of the label head",
    "cut_activation": "h_L, the last hidden activation",
    "cut_gradient": "∂L/∂z₁, the gradient of the first layer",
    "defender_share": "masked shares of the defenders' gradients at h₁; their sum over the parties is readable",
    "first_activation": "h₁, the first activation, revealed for the defender",
    "gradient_share": "its share of ∂L/∂z₁: uniform words",
    "first_gradient": "shares of the gradient of its own first-layer weights, a sum over the rows of a step",
    "output": "shares of the network's outputs on rows it is evaluated on; their sum, with its own, is the output",
}
_SUMMED = "label_summed"
_CUT_ONLY = {
    "cut_gradient": "∂L/∂z₁, the gradient at the cut",
    "first_activation": "h₁, the first activation above the cut, revealed for the defender",
}
"""In the place of those above where the first layer that the neutral server sees is not the first."""
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def role_words(role: str) -> str:
    """ "feature-holder party-b" → "A party without the label (party-b)"."""
    for name, words in _ROLES.items():
        if role == name:
            return words
        if role.startswith(name):
            return f"{words} ({role.removeprefix(name).strip(' :/-()')})"
    return role


def received_words(kind: str, cut: int) -> str:
    """What a kind of message holds; ``cut`` is the number of the first layer that the neutral server sees."""
    if cut == 1 or kind == "first_gradient":
        return RECEIVED_WORDS.get(kind, kind)
    return at_cut(_CUT_ONLY.get(kind, RECEIVED_WORDS.get(kind, kind)), cut)


def at_cut(text: str, cut: int) -> str:
    """ "z₁" and "h₁" as those of layer ``cut``."""
    number = str(cut).translate(_SUBSCRIPTS)
    return text.replace("z₁", f"z{number}").replace("h₁", f"h{number}")


def target_words(target: str) -> str:
    return _TARGETS.get(target, target)


def attack_words(attack: str) -> str:
    return _ATTACKS.get(attack, attack.replace("_", " "))


def sentence(attack: AttackRecord) -> str:
    """What the result means for a person whose record was trained on."""
    found, plain = attack.score, attack.baseline
    peers = attack.target == "peer block"
    without = "from its own columns alone" if peers else "without this view"
    known = attack.class_mean
    if attack.measure == "re_identification":
        guess = f"{without} it would be" if peers else "guessing would be"
        whose = "of the other parties' records" if peers else "records"
        return (
            f"Of 100 {whose} of the same class, the reader picks the right one in {percent(found.value)} of cases"
            f"{interval(found)}; {guess} {percent(plain.value)}."
        )
    if attack.measure == "auc":
        alone = (
            "from its own columns and the leaked labels alone it would be"
            if attack.attack == _SUMMED
            else "guessing would be"
        )
        return (
            f"Shown one record of either class, the reader tells which is which in {percent(found.value)} of cases"
            f"{interval(found)}; {alone} {percent(plain.value)}."
        )
    if attack.measure == "ssim":
        return (
            f"Recovered images are like the originals to {found.value:.2f}{interval(found, as_percent=False)}, where 1 is "
            f"equal; {without} {plain.value:.2f}{_class_alone(known, '{:.2f}'.format)}."
        )
    if attack.measure == "mse":
        alone = _class_alone(known, "by {:.3g}".format)
        return f"Recovered values are off by {found.value:.3g} (mean square); {without} by {plain.value:.3g}{alone}."
    return (
        f"The reader recovers {percent(max(found.value, 0.0))} of what makes a record differ from the average"
        f"{interval(found)}; {without} {percent(max(plain.value, 0.0))}"
        f"{_class_alone(known, lambda value: percent(max(value, 0.0)))}."
    )


def _class_alone(known: ScoreRecord | None, words: Callable[[float], str]) -> str:
    """Nobody is given a record's class; what it alone would tell helps to read what was recovered."""
    return "" if known is None else f", and from the record's class alone, if it were known, {words(known.value)}"


def remarks(note: str) -> tuple[str, ...]:
    """The parts of a result's note that are about its attack; what the baseline is, the page says once for all."""
    parts = (part.strip() for part in note.split(";"))
    return tuple(part for part in parts if part and not part.startswith("baseline:"))


def shown(measure: str, score: ScoreRecord) -> str:
    """A value with its interval, for a table."""
    if measure == "re_identification":
        return percent(score.value) + interval(score)
    if score.low is None or score.high is None or score.low == score.high:
        return f"{score.value:.3f}"
    return f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})"


def percent(value: float) -> str:
    """0.27 → "27 %"; near the ends with one digit more."""
    if 0.1 <= value < 0.995 or value in (0.0, 1.0):
        return f"{100 * value:.0f} %"
    return f"{100 * value:.1f} %"


def interval(score: ScoreRecord, *, as_percent: bool = True) -> str:
    """ " (24 % to 30 %)", or nothing where there is none."""
    if score.low is None or score.high is None or score.low == score.high:
        return ""
    if as_percent:
        return f" ({percent(score.low)} to {percent(score.high)})"
    return f" ({score.low:.2f} to {score.high:.2f})"
