"""The privacy page's content, from the run's metrics and events, for the template."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coordinator.report import quantities
from coordinator.report.privacy import words
from coordinator.report.privacy.advice import Advice, Judged, advice
from coordinator.report.privacy.attack_record import (
    MEASURES,
    AttackRecord,
    attacks_of,
    circumstances,
    failure,
    skipped_of,
)
from coordinator.report.privacy.plan_facts import PlanFacts
from coordinator.report.privacy.verdict import Verdict, verdict
from coordinator.report.run_record import RunRecord
from coordinator.secret_section import forms_on_shares

_LINEAR = {"inverse_mlp": "inverse_ridge", "stacked_mlp": "stacked_ridge", "peer_block_mlp": "peer_block"}
"""What a network corrects (`party/assessment/inverse_models.py`)."""
_SHOWN = 0.0005


@dataclass(frozen=True)
class Finding:
    """What one role could learn of one thing, by its strongest reader.

    Attributes:
      who, what: in words; sentences: one for each measure, of the strongest reader by that measure.
    """

    who: str
    what: str
    verdict: Verdict
    reader: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class PrivacySection:
    """Attributes:
    failure: why attacks could not be run; empty where they were, or were not wanted.
    table: (who, reader, measure, result, without the view, positive control, negative control, verdict).
    skipped: what could not be measured, a sentence each.
    received: (role, what, messages, numbers, bytes).
    price: what defender and protection cost in score, beside what is still read; empty where the plan has neither.
    """

    failure: str
    setting: str
    findings: tuple[Finding, ...]
    advice: tuple[Advice, ...]
    table: tuple[tuple[str, str, str, str, str, str, str, Verdict], ...]
    notes: tuple[str, ...]
    skipped: tuple[str, ...]
    received: tuple[tuple[str, str, str, str, str], ...]
    recording: str
    local_dp: str
    price: str
    image_lines: tuple[str, ...]


def privacy_section(record: RunRecord) -> PrivacySection:
    """Everything the page says of attacks; empty lists where none was run."""
    judged = [(attack, verdict(attack)) for attack in attacks_of(record)]
    logged = circumstances(record)
    lines, found, facts = logged.get("image"), findings(judged), _plan_facts(record, logged)
    return PrivacySection(
        failure=failure(record),
        setting=_setting(judged, logged),
        findings=found,
        advice=advice(judged, facts),
        table=tuple(_line(attack, found) for attack, found in judged if attack.measure != "mse"),
        notes=tuple(
            dict.fromkeys(
                f"{words.attack_words(one.attack)}: {remark}."
                for one, _ in judged
                for remark in words.remarks(one.note)
            )
        )
        + _nothing_beyond(judged),
        skipped=tuple(dict.fromkeys(_skipped(*line) for line in skipped_of(record))),
        received=_received(logged, facts.cut),
        recording=_recording(logged),
        local_dp=_local_dp(record),
        price=_price(record, found),
        image_lines=tuple(str(line) for line in lines) if isinstance(lines, list) else (),
    )


def findings(judged: Judged) -> tuple[Finding, ...]:
    """One for each role and target, worst first."""
    groups: dict[tuple[str, str], list[tuple[AttackRecord, Verdict]]] = {}
    for attack, found in judged:
        groups.setdefault((attack.role, attack.target), []).append((attack, found))
    told = []
    for (role, target), group in groups.items():
        worst, its_verdict = max(group, key=lambda one: one[1].rank)
        strongest = [
            max((one for one in group if one[0].measure == measure), key=lambda one: one[1].rank, default=None)
            for measure in MEASURES
            if measure != "mse"
        ]
        sentences = tuple(words.sentence(one[0]) for one in strongest if one is not None)
        reader = words.attack_words(worst.attack)
        told.append(Finding(words.role_words(role), words.target_words(target), its_verdict, reader, sentences))
    return tuple(sorted(told, key=lambda finding: finding.verdict.rank, reverse=True))


def _line(attack: AttackRecord, found: Verdict) -> tuple[str, str, str, str, str, str, str, Verdict]:
    scores = (attack.score, attack.baseline, attack.positive_control, attack.negative_control)
    result, without, positive, negative = (words.shown(attack.measure, score) for score in scores)
    if attack.class_mean is not None:
        without = f"{without}; class known {attack.class_mean.value:.3f}"
    who = f"{words.role_words(attack.role)} → {words.target_words(attack.target)}"
    measure = words.MEASURE_WORDS[attack.measure]
    return who, words.attack_words(attack.attack), measure, result, without, positive, negative, found


def _setting(judged: Judged, logged: Mapping[str, Any]) -> str:
    """On what the numbers rest."""
    if not judged:
        return ""
    leaked = max(attack.leaked_rows for attack, _ in judged)
    rows = _whole(logged.get("rows"))
    of = f" of {rows:,} training rows" if rows else ""
    epochs = logged.get("epochs")
    recorded = _whole(logged.get("recorded_epochs"))
    seen = f", reading {_epochs_read(epochs, recorded)}" if isinstance(epochs, list) else ""
    effort = logged.get("effort")
    named = f" Effort: {effort}." if isinstance(effort, str) else ""
    return (
        f"Readers were trained afresh on {leaked:,} leaked rows{of} at most{seen}, and judged on rows they were never "
        f"given.{named}{_not_recorded(recorded, _whole(logged.get('trained_epochs')))}"
    )


def _epochs_read(epochs: Sequence[object], recorded: int | None) -> str:
    """ "20 epochs"; "5 of 8 epochs (the first and the last 4)"."""
    count = len(epochs)
    if recorded is None or recorded <= count:
        return f"{count} epoch{'s' if count > 1 else ''}"
    last = "the last" if count <= 2 else f"the last {count - 1}"
    return f"{count} of {recorded} epochs ({last if count == 1 else f'the first and {last}'})"


def _not_recorded(recorded: int | None, trained: int | None) -> str:
    if recorded is None or trained is None or recorded >= trained:
        return ""
    return (
        f" Only {recorded} of {trained} epochs are whole in the recording, which ends at 2 GiB a role: what was received in the others "
        "is in no number here, so these numbers are too low rather than too high."
    )


def _skipped(role: str, attack: str, sentence: str) -> str:
    whose = [words.role_words(role)] if role else []
    return f"{', '.join([*whose, *([words.attack_words(attack)] if attack else [])])}: {sentence}.".removeprefix(": ")


def _nothing_beyond(judged: Judged) -> tuple[str, ...]:
    """Of every network that ended where it had started, at the linear reader: two equal lines are no mistake."""
    values: dict[tuple[str, str], dict[str, float]] = {}
    for one, _ in judged:
        values.setdefault((one.role, one.attack), {})[one.measure] = one.score.value
    return tuple(
        f"{words.role_words(role)}, {words.attack_words(attack)}: it starts from what the linear reader finds and found nothing beyond it, so "
        "their lines are alike."
        for (role, attack), found in values.items()
        if (linear := _LINEAR.get(attack)) and (role, linear) in values and _alike(found, values[role, linear])
    )


def _alike(found: Mapping[str, float], linear: Mapping[str, float]) -> bool:
    return found.keys() == linear.keys() and all(abs(found[one] - linear[one]) < _SHOWN for one in found)


def _received(logged: Mapping[str, Any], cut: int) -> tuple[tuple[str, str, str, str, str], ...]:
    rows = []
    for role, kinds in _mapping(logged.get("received")).items():
        for kind, counted in _mapping(kinds).items():
            counts = _mapping(counted)
            rows.append(
                (
                    str(role),
                    words.received_words(str(kind), cut),
                    quantities.count(_whole(counts.get("messages"))),
                    quantities.count(_whole(counts.get("numbers"))),
                    quantities.payload(_whole(counts.get("bytes"))),
                )
            )
    return tuple(rows)


def _recording(logged: Mapping[str, Any]) -> str:
    size = _whole(logged.get("recorded_bytes"))
    if not size:
        return ""
    fate = "kept, as --record asked" if logged.get("kept") else "deleted when the attacks were done"
    return f"What the roles received was on this machine's disk during the run, {quantities.payload(size)}, and was {fate}."


def _local_dp(record: RunRecord) -> str:
    """The guarantee of the noise on z₁, with its relation and what it is conditional on; empty without one."""
    found = _mapping(_mapping(record.metrics.get("privacy")).get("local_dp"))
    numbers = [found.get(name) for name in ("noise", "epsilon", "delta", "releases")]
    if not all(isinstance(number, int | float) for number in numbers):
        return ""
    noise, epsilon, delta, releases = numbers
    at = words.at_cut("z₁", _whole(found.get("layer")) or 1)
    whose = "" if found.get("whole_row") else " of a party"
    return (
        f"Noise of {noise:g} on {at} gives each training row{whose} local differential privacy of ε = {epsilon:.3g} at "
        f"δ = {delta:g} over {releases} releases; relation: {found.get('relation', quantities.DASH)}; given: "
        f"{found.get('given', quantities.DASH)}. A large ε promises little: the attacks above show what it is worth here."
    )


def _price(record: RunRecord, found: Sequence[Finding]) -> str:
    """What the plan's mitigations cost against the plain network of this run, and what is read in spite of them."""
    on = [name for name in ("defender", "protection") if record.network.get(name)]
    if not on:
        return ""
    measures = " and ".join(f"[{name}]" for name in on)
    name = next(iter(record.scores), None)
    plain = record.baseline_scores.get(name) if name else None
    if name is None or plain is None:
        cost = f"What {measures} cost in score is not known: this run has no scores, or no plain network beside it."
    else:
        split = record.scores[name].value
        cost = (
            f"With {measures} the network scores {name.replace('_', ' ')} {quantities.score(split)}; the plain network of "
            f"this report, which has none of it, {quantities.score(plain.value)} ({quantities.gap(split - plain.value)})."
        )
    if not found:
        return f"{cost} What is read in spite of it was not measured."
    strongest: dict[str, Finding] = {}
    for one in found:  # worst first
        strongest.setdefault(one.what, one)
    told = [
        f"of {what}, {one.who[:1].lower()}{one.who[1:]} by “{one.reader}” ({one.verdict.word}: {one.sentences[0].rstrip('.')})"
        for what, one in strongest.items()
        if one.sentences
    ]
    return f"{cost} What the strongest readers recover in spite of that: {'; '.join(told)}."


def _plan_facts(record: RunRecord, logged: Mapping[str, Any]) -> PlanFacts:
    """From the run's plan where it is there, else from the summary."""
    path = record.directory / "plan.toml"
    plan = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    widths, first = record.network.get("widths"), _mapping(plan.get("first_layer"))
    gradient, weights = forms_on_shares(plan)
    return PlanFacts(
        widths=tuple(width for width in widths if isinstance(width, int)) if isinstance(widths, Sequence) else (),
        columns=_whole(logged.get("columns")),
        loss=str(record.network.get("loss", "")),
        epochs=_whole(record.network.get("epochs")) or 1,
        protection=_mapping(plan.get("protection")),
        defender=_mapping(plan.get("defender")),
        party_columns=tuple(party.columns for party in record.parties if party.columns),
        protocol=str(first.get("protocol", "masked_sum")),
        gradient=gradient,
        weights=weights,
        secret_layers=len(plan.get("secret_layers", [])),
    )


def _mapping(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}


def _whole(found: object) -> int | None:
    return found if isinstance(found, int) and not isinstance(found, bool) else None
