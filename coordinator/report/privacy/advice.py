"""What to change in the plan, computed from what was found and from what the plan already does.

Every rule names its reason. Each remedy costs accuracy, and how much can only be measured: change one, run again, compare.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coordinator.report.privacy.attack_record import AttackRecord
from coordinator.report.privacy.verdict import Verdict
from coordinator.report.privacy.words import percent

LEAST_WIDTH = 2

Judged = Sequence[tuple[AttackRecord, Verdict]]


@dataclass(frozen=True)
class Advice:
    """One change: what to write into the plan (empty where nothing), what it does, and why here."""

    change: str
    what: str
    why: str


@dataclass(frozen=True)
class PlanFacts:
    """What the rules look at. ``protection`` and ``defender`` are the plan's sections, empty where absent."""

    widths: tuple[int, ...]
    columns: int | None
    loss: str
    epochs: int
    protection: Mapping[str, Any]
    defender: Mapping[str, Any]


def advice(judged: Judged, plan: PlanFacts) -> tuple[Advice, ...]:
    """The changes that follow, without repeats, those for the records first."""
    leaks = [(attack, found) for attack, found in judged if found.calls_for_advice]
    by_server = [attack for attack, _ in leaks if attack.role == "neutral-server" and attack.target == "rows"]
    given: list[Advice] = []
    if by_server:
        given += _about_rows(judged, by_server, plan)
    if labels := [attack for attack, _ in leaks if attack.target == "labels"]:
        given.append(_about_labels(labels, plan))
    if peers := [attack for attack, _ in leaks if attack.target == "peer block"]:
        given += _about_peers(peers, plan)
    if outputs := [attack for attack, _ in leaks if attack.role == "predictions"]:
        given.append(
            Advice("", "Give predictions out rounded, or as a class without its probability.", _reason(outputs))
        )
    return tuple(dict.fromkeys(given))


def _about_rows(judged: Judged, found: Sequence[AttackRecord], plan: PlanFacts) -> list[Advice]:
    """No rule adds a defender: the sum of its gradients shows rows to the neutral server (docs/decisions/0022)."""
    given: list[Advice] = []
    reason = _reason(found)
    if plan.defender:
        what = "Train without the defender: its gradients reach the neutral server, and neither noise nor a freeze covers them."
        given.append(Advice("", what, reason))
    width = plan.widths[0] if plan.widths else 0
    if width > LEAST_WIDTH:
        narrower = (max(LEAST_WIDTH, width // 2), *plan.widths[1:])
        over = f" for {plan.columns} columns" if plan.columns else ""
        given.append(
            Advice(
                f"[network] widths = {list(narrower)}",
                "Narrow the first layer: fewer numbers about each record reach the neutral server.",
                f"{reason} The first layer is {width} wide{over}.",
            )
        )
    if (gain := _stacking_gain(judged)) and not plan.protection.get("freeze_first_layer_after"):
        given.append(
            Advice(
                "[protection] freeze_first_layer_after = 1",
                "Freeze the first layer early: later epochs then repeat what the first ones showed.",
                gain,
            )
        )
    noise = plan.protection.get("z1_noise")
    if noise:
        given.append(
            Advice(
                f"[protection] z1_noise = {2 * float(noise):g}",
                "Add more noise to z₁.",
                f"{reason} The plan adds {float(noise):g} and it was not enough.",
            )
        )
    else:
        given.append(
            Advice(
                "[protection] z1_noise = 0.5, row_norm = 1.0, weight_norm = 1.0",
                "Add noise to z₁ inside the masks, with rows and weights bounded so that training cannot scale it away.",
                f"{reason} The plan adds no noise.",
            )
        )
    return given


def _stacking_gain(judged: Judged) -> str:
    """A sentence where a reader of all epochs clearly beats every reader of one; else empty."""
    for measure in ("re_identification", "r2"):
        rows = [one for one, _ in judged if (one.role, one.target, one.measure) == ("neutral-server", "rows", measure)]
        single = max((one for one in rows if one.epochs_seen <= 1), key=lambda one: one.score.value, default=None)
        many = max((one for one in rows if one.epochs_seen > 1), key=lambda one: one.score.value, default=None)
        if single is None or many is None or many.score.low is None or single.score.high is None:
            continue
        if many.score.low > single.score.high:
            return (
                f"Reading {many.epochs_seen} epochs together raised what is found from {percent(single.score.value)} to "
                f"{percent(many.score.value)}."
            )
    return ""


def _about_labels(found: Sequence[AttackRecord], plan: PlanFacts) -> Advice:
    reason, now = _reason(found), plan.protection.get("label_gradient", "none")
    if now == "marvell":
        power = float(plan.protection.get("marvell_power", 10.0))
        change, what = f"[protection] marvell_power = {2 * power:g}", "Raise the power of the label gradient's noise."
    elif now == "max_norm" and plan.loss == "binary":
        change, what = '[protection] label_gradient = "marvell"', "Use Marvell's noise instead of max-norm."
    elif now == "max_norm":
        change, what = "", "Max-norm noise was not enough. Treat the label as known to whoever receives a gradient."
    else:
        chosen = "marvell" if plan.loss == "binary" else "max_norm"
        change = f'[protection] label_gradient = "{chosen}"'
        what = "Protect the label's gradient with noise at the party that holds the label."
    return Advice(change, what, f"{reason} If the label itself is secret and this cannot be paid, do not train on it.")


def _about_peers(found: Sequence[AttackRecord], plan: PlanFacts) -> list[Advice]:
    if plan.defender:
        return [Advice("", "Train without the defender: h₁ then stays at the neutral server.", _reason(found))]
    widths = plan.widths
    if any(attack.role.startswith("label-holder") for attack in found) and widths and widths[-1] > LEAST_WIDTH:
        narrower = (*widths[:-1], max(LEAST_WIDTH, widths[-1] // 2))
        what = "Narrow the last hidden layer: h_L goes to the party with the label."
        return [Advice(f"[network] widths = {list(narrower)}", what, _reason(found))]
    change = f"epochs = {plan.epochs // 2}" if plan.epochs > 1 else ""
    what = "Train for fewer epochs: every gradient a party receives adds to what it knows."
    return [Advice(change, what, _reason(found))]


def _reason(found: Sequence[AttackRecord]) -> str:
    counted = len({(attack.role, attack.attack) for attack in found})
    return f"{counted} reader{'s' if counted > 1 else ''} found noticeably more than without the view."
