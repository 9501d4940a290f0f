"""What a run gave away: of all attacks on it, the strongest by who runs it and what it is after."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from coordinator.report.privacy.attack_record import AttackRecord

Figures = dict[str, Any]

SERVER, FEATURE_HOLDER = "neutral-server", "feature-holder"
_PARTIES = (FEATURE_HOLDER, "label-holder")


def _rows(attack: AttackRecord, measure: str) -> bool:
    return attack.role == SERVER and attack.target == "rows" and attack.measure == measure


LEAKS: Mapping[str, Callable[[AttackRecord], bool]] = {
    "re_identification": lambda attack: _rows(attack, "re_identification"),
    "r2": lambda attack: _rows(attack, "r2"),
    "r2_single": lambda attack: _rows(attack, "r2") and attack.epochs_seen <= 1,
    "r2_stacked": lambda attack: _rows(attack, "r2") and attack.epochs_seen > 1,
    "label_auc": lambda attack: (
        attack.role.startswith(FEATURE_HOLDER) and attack.target == "labels" and attack.measure == "auc"
    ),
    "label_auc_server": lambda attack: attack.role == SERVER and attack.target == "labels" and attack.measure == "auc",
    "peer_r2": lambda attack: (
        attack.role.startswith(_PARTIES) and attack.target == "peer block" and attack.measure == "r2"
    ),
}
"""Which attacks a leak is the strongest of. ``r2_single`` reads one epoch of the server's view, ``r2_stacked`` all of them.
``label_auc`` is a feature holder's, ``label_auc_server`` the server's, ``peer_r2`` any party's on the columns of the others."""


def leakage_of(attacks: Iterable[AttackRecord]) -> dict[str, Figures | None]:
    """By leak: value, low, high, n, baseline, and the attack and role that reached it; None where no attack applies.

    The strongest is chosen by its value on the rows it is judged on, so it errs towards more leakage.
    """
    listed = list(attacks)
    return {name: _strongest([attack for attack in listed if belongs(attack)]) for name, belongs in LEAKS.items()}


def _strongest(attacks: list[AttackRecord]) -> Figures | None:
    if not attacks:
        return None
    best = max(attacks, key=lambda attack: attack.score.value)
    return {
        "value": best.score.value,
        "low": best.score.low,
        "high": best.score.high,
        "n": best.score.n,
        "baseline": best.baseline.value,
        "attack": best.attack,
        "role": best.role,
    }
