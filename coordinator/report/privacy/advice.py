"""What to change in the plan, computed from what was found and from what the plan already does.

Every rule names its reason. What costs no score comes first; every other remedy costs some, and how much can only be
measured: change one, run again, compare.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coordinator.report.privacy.attack_record import AttackRecord
from coordinator.report.privacy.plan_facts import PlanFacts
from coordinator.report.privacy.verdict import Verdict
from coordinator.report.privacy.words import at_cut, attack_words, percent, role_words
from coordinator.report.quantities import three_digits
from kernel.gaussian_accounting import local_privacy
from kernel.protection import ProtectionSpec

_BOTH_SHARED = ('gradient = "shared"', 'weights = "shared"')
_NEED_OPEN_WEIGHTS = ("row_norm", "weight_norm", "freeze_first_layer_after")
_INTERVAL = 16.0
"""Advised for the cut: z of a network whose rows and weights start at unit scale stays inside for some epochs, of most."""
LEAST_WIDTH = 2
NARROW = 16
"""The widest first layer that is advised, however many columns there are."""
_COLUMNS_A_UNIT = 4
"""A first layer that is to hide anything has at most one unit for this many columns."""
_DEEPEST = 4
"""From this cut on, one more layer is not advised."""
_BEFORE = ("It sees the first layer's output itself.", "Layers on shares before the cut: {}.")
_SUMMED = "label_summed"
_NAMED = 3
"""Readers that a reason names."""

Judged = Sequence[tuple[AttackRecord, Verdict]]


@dataclass(frozen=True)
class Advice:
    """One change: what to write into the plan (empty where nothing), what it does, and why here."""

    change: str
    what: str
    why: str


def advice(judged: Judged, plan: PlanFacts) -> tuple[Advice, ...]:
    """The changes that follow, without repeats: what costs no score first, then those for the records."""
    leaks = [(attack, found) for attack, found in judged if found.calls_for_advice]
    by_server = [attack for attack, _ in leaks if attack.role == "neutral-server" and attack.target == "rows"]
    peers = [attack for attack, _ in leaks if attack.target == "peer block"]
    given: list[Advice] = []
    if plan.defender and (peers or by_server):
        given.append(_without_defender([*by_server, *peers]))
    if outputs := [attack for attack, _ in leaks if attack.role == "predictions"]:
        given.append(
            Advice("", "Give predictions out rounded, or as a class without its probability.", _reason(outputs))
        )
    if by_server:
        given += _about_rows(judged, by_server, plan)
    if labels := [attack for attack, _ in leaks if attack.target == "labels"]:
        given += _about_labels(labels, plan)
    if peers and not plan.defender:
        given.append(_about_peers(peers, plan))
    return tuple(dict.fromkeys(given))


def _without_defender(found: Sequence[AttackRecord]) -> Advice:
    return Advice(
        "",
        "Train without the defender, that is, without [defender]: h₁ then stays at the neutral server, and that server no "
        "longer reads the sum of the defenders' gradients, which neither noise nor a freeze covers. The score that the "
        "defender cost comes back.",
        f"{_reason(found)} The defender did not prevent it.",
    )


def _about_rows(judged: Judged, found: Sequence[AttackRecord], plan: PlanFacts) -> list[Advice]:
    """No rule adds a defender: the sum of its gradients shows rows to the neutral server (docs/decisions/0022)."""
    given: list[Advice] = []
    reason = _reason(found)
    width = plan.widths[0] if plan.widths else 0
    what = "the first layer" if plan.cut == 1 else "the cut"
    if (
        (gain := _stacking_gain(judged))
        and plan.protection.get("freeze_first_layer_after") is None
        and not plan.on_shares
    ):
        given.append(
            Advice(
                "[protection] freeze_first_layer_after = 1",
                "Freeze the first layer early: later epochs then repeat what the first ones showed.",
                gain,
            )
        )
    if width > LEAST_WIDTH:
        over = f" for {plan.columns} columns" if plan.columns else ""
        given.append(
            Advice(
                f"[network] widths = {[_narrow(plan), *plan.widths[1:]]}",
                f"Narrow {what} far below the number of columns: fewer numbers about each record reach the neutral "
                "server. Alone it seldom suffices: of MNIST's 784 columns, 16 units still gave 9 records in 10 away, with "
                "noise beside them 3 in 10.",
                f"{reason} {what[:1].upper()}{what[1:]} is {width} wide{over}.",
            )
        )
    given.append(_noise(reason, plan))
    if plan.cut < _DEEPEST:
        given.append(_deeper(reason, plan))
    return given


def _noise(reason: str, plan: PlanFacts) -> Advice:
    noise = plan.protection.get("z1_noise")
    if noise:
        return Advice(
            f"[protection] z1_noise = {2 * float(noise):g}",
            f"Add more noise to {at_cut('z₁', plan.cut)}.{_promise(plan, 2 * float(noise), plan.protection)}",
            f"{reason} The plan adds {float(noise):g} and it was not enough.",
        )
    if not plan.bounds_weights:
        interval = float(plan.protection.get("cut_interval") or _INTERVAL)
        return Advice(
            f"[protection] z1_noise = 0.5, cut_interval = {interval:g}",
            f"Add noise to {at_cut('z₁', plan.cut)} inside the shares, with a proof on shares that no unit of it leaves the interval, so that training "
            "cannot scale the noise away; the run stops where one does, and then needs a wider one or smaller steps."
            f"{_promise(plan, 0.5, {'cut_interval': interval})}",
            f"{reason} The plan adds no noise.",
        )
    # Standardised columns make rows of about sqrt(columns): a smaller bound would shrink nearly every row.
    norm = math.sqrt(max(plan.party_columns, default=plan.columns or 1))
    bounds = {"row_norm": float(f"{norm:.3g}"), "weight_norm": 1.0}
    return Advice(
        f"[protection] z1_noise = 0.5, row_norm = {bounds['row_norm']:g}, weight_norm = 1.0",
        "Add noise to z₁ inside the masks, with rows and weights bounded so that training cannot scale it away. "
        "row_norm is the length of a typical row of standardised columns, the root of a party's number of them; where "
        "columns are scaled to 0 and 1 rows are shorter, and a bound nearer to them promises more."
        f"{_promise(plan, 0.5, bounds)}",
        f"{reason} The plan adds no noise.",
    )


def _deeper(reason: str, plan: PlanFacts) -> Advice:
    seen = at_cut("z₁", plan.cut + 1)
    return Advice(
        f'{_beaver(plan)}[[secret_layers]] width = {plan.widths[0] if plan.widths else NARROW}, activation = "square"',
        f"Move the cut one layer deeper: that layer is computed on shares, and the neutral server sees {seen} instead, which is not "
        "linear in the records. Breast cancer, 8 units wide: a linear reader of all epochs found 88 % of what makes a record differ "
        "from the average, with a squared layer of 8 before the cut the best found 23 %. It costs rounds and bytes in every step, "
        "which `tertium plan` forecasts, and weights on shares take sgd or momentum."
        f"{_without(plan)}",
        f"{reason} {_BEFORE[min(plan.secret_layers, 1)].format(plan.secret_layers)}",
    )


def _without(plan: PlanFacts) -> str:
    """A sentence where the plan has what cannot be had on shares."""
    kept = [name for name in _NEED_OPEN_WEIGHTS if plan.protection.get(name) is not None]
    noise = "; z1_noise then needs cut_interval" if plan.protection.get("z1_noise") else ""
    return f" It cannot be had together with {', '.join(kept)}{noise}." if kept else ""


def _beaver(plan: PlanFacts) -> str:
    return "" if plan.protocol == "beaver" else '[first_layer] protocol = "beaver", '


def _narrow(plan: PlanFacts) -> int:
    """Half as wide, and no wider than ``NARROW`` units or a fraction of the columns."""
    most = plan.columns // _COLUMNS_A_UNIT if plan.columns else NARROW
    return max(LEAST_WIDTH, min(plan.widths[0] // 2, NARROW, most))


def _promise(plan: PlanFacts, noise: float, bounds: Mapping[str, Any]) -> str:
    """What that noise is worth formally, in a sentence; empty where the bounds are not known."""
    rows, weights, interval = (float(bounds.get(name) or 0.0) for name in ("row_norm", "weight_norm", "cut_interval"))
    frozen = plan.protection.get("freeze_first_layer_after")
    spec = ProtectionSpec(
        row_norm=rows,
        weight_norm=weights,
        cut_interval=interval,
        freeze_first_layer_after=None if frozen is None else int(frozen),
    )
    reach = spec.reach(plan.widths[0] if plan.widths else 1)
    if not 0 < reach < math.inf:
        return ""
    found = local_privacy(noise, reach, spec.releases(range(1, plan.epochs + 1)))
    return (
        f" Over {plan.epochs} epoch{'s' if plan.epochs > 1 else ''} that is ε = {three_digits(found.epsilon)} at "
        f"δ = {found.delta:g} ({found.relation}, weights as given): the larger ε, the less is promised, and only attacks "
        "tell what it is worth."
    )


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


def _about_labels(found: Sequence[AttackRecord], plan: PlanFacts) -> list[Advice]:
    freeze = plan.protection.get("freeze_first_layer_after")
    parties = [attack for attack in found if attack.role.startswith("feature-holder")]
    # what a party reads under Marvell is in the derivatives of the hidden layers, which no noise on labels touches
    beyond_noise = len(parties) == len(found) and plan.protection.get("label_gradient") == "marvell" and freeze != 0
    given = [*_shared(parties, plan)] + ([] if beyond_noise else [_noisy_labels(found, plan)])
    if parties and freeze != 0 and not plan.on_shares:
        given.append(
            Advice(
                "[protection] freeze_first_layer_after = 0",
                "Or keep the first layer as it starts: no ∂L/∂z₁ is sent once it is frozen, so a party without the label "
                "receives nothing of it. The neutral server still does.",
                _reason(parties),
            )
        )
    return given


def _shared(parties: Sequence[AttackRecord], plan: PlanFacts) -> list[Advice]:
    """What keeps a gradient from parties altogether, without a price in score."""
    summed = [one for one in parties if one.attack == _SUMMED]
    opened = [one for one in parties if one.attack != _SUMMED]
    if opened and plan.gradient == "open":
        asked = ", ".join([*(['protocol = "beaver"'] if plan.protocol != "beaver" else []), *_BOTH_SHARED])
        gradient = at_cut("∂L/∂z₁", plan.cut)
        return [
            Advice(
                f"[first_layer] {asked}",
                f"Share the gradient and the first layer's weights: of {gradient} a party then has a share, which is uniform, and learns no "
                "gradient at all. The score stays; a step takes more rounds and bytes, which `tertium plan` forecasts, and weights on shares "
                "take sgd or momentum. The neutral server still reads the label from ∂L/∂h_L."
                f"{_without(plan)}",
                _reason(parties),
            )
        ]
    if summed and plan.weights == "own":
        return [
            Advice(
                '[first_layer] weights = "shared"',
                "Keep the first layer's weights as shares: their gradient, summed over a step's rows, is then told to nobody. Larger batches "
                f"tell less of each row, but over many steps enough.{_without(plan)}",
                _reason(summed),
            )
        ]
    return []


def _noisy_labels(found: Sequence[AttackRecord], plan: PlanFacts) -> Advice:
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
        if chosen == "max_norm":
            what += " Max-norm evens out the length only: the direction still gives most labels away."
    return Advice(change, what, f"{reason} If the label itself is secret and this cannot be paid, do not train on it.")


def _about_peers(found: Sequence[AttackRecord], plan: PlanFacts) -> Advice:
    widths = plan.widths
    if any(attack.role.startswith("label-holder") for attack in found) and widths and widths[-1] > LEAST_WIDTH:
        narrower = (*widths[:-1], max(LEAST_WIDTH, widths[-1] // 2))
        what = "Narrow the last hidden layer: h_L goes to the party with the label."
        return Advice(f"[network] widths = {list(narrower)}", what, _reason(found))
    change = f"epochs = {plan.epochs // 2}" if plan.epochs > 1 else ""
    what = "Train for fewer epochs: every gradient a party receives adds to what it knows."
    return Advice(change, what, _reason(found))


def _reason(found: Sequence[AttackRecord]) -> str:
    """Who found it and by which readers: "The neutral server found noticeably more than without the view, by “…”."."""
    told = []
    for role in dict.fromkeys(attack.role for attack in found):
        readers = list(dict.fromkeys(attack_words(attack.attack) for attack in found if attack.role == role))
        named = ", ".join(f"“{reader}”" for reader in readers[:_NAMED])
        more = f" and {len(readers) - _NAMED} more" if len(readers) > _NAMED else ""
        told.append(f"{role_words(role)} found noticeably more than without the view, by {named}{more}.")
    return " ".join(told)
