"""What the events of a GAN run say: who trained what for how long, what the nets reached, what was found out about them."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coordinator.job_plan import GAN_JOBS
from coordinator.report.events import Event, ScoreRecord, of_kind, real_numbers, scores_of, time_of, whole_numbers
from coordinator.report.run_record import RunRecord

SERVER = "neutral-server"
OWN = "own"
"""By whose discriminators: each party's own on its own rows."""


@dataclass(frozen=True)
class GroupRecord:
    """Classes trained together; ``steps``: party -> steps an epoch."""

    classes: tuple[int, ...]
    steps: Mapping[str, int]


@dataclass(frozen=True)
class LossRecord:
    """Mean losses of an epoch: process -> net -> mean over classes."""

    epoch: int
    time: float
    means: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class PreviewRecord:
    epoch: int
    party: str
    path: Path


@dataclass(frozen=True)
class ClassifierRecord:
    """``source``: a party, "all" or "real"; ``party``: where it was tried; ``rows``: it was trained on."""

    source: str
    party: str
    rows: int
    accuracy: ScoreRecord


@dataclass(frozen=True)
class MembershipRecord:
    """One membership attack: ``by`` whose scores, on rows of ``label`` at ``party``; label "" is all classes together."""

    by: str
    party: str
    label: str
    accuracy: ScoreRecord
    chance: float
    auc: float | None
    members: int
    non_members: int

    @property
    def above_chance(self) -> float:
        return self.accuracy.value - self.chance


@dataclass(frozen=True)
class GanRecord:
    """Attributes:
    mode: "fakes", "updates" or "none".
    class_rows: party -> class -> training rows; missing: party -> classes it has no row of.
    membership: of each class; controls: the same by nets that must, and must not, find members; pooled: of both, all classes together.
    histograms: party -> class -> kind of rows -> counts in equal bins of the score from 0 to 1.
    forecast_bytes: link -> of one epoch, as forecast.
    """

    job: str
    mode: str
    policy: str
    groups: tuple[GroupRecord, ...]
    class_rows: Mapping[str, Mapping[str, int]]
    missing: Mapping[str, tuple[int, ...]]
    losses: tuple[LossRecord, ...]
    previews: tuple[PreviewRecord, ...]
    classifiers: tuple[ClassifierRecord, ...]
    membership: tuple[MembershipRecord, ...]
    controls: tuple[MembershipRecord, ...]
    pooled: tuple[MembershipRecord, ...]
    histograms: Mapping[str, Mapping[str, Mapping[str, tuple[int, ...]]]]
    forecast_bytes: Mapping[str, int]

    @property
    def parties(self) -> tuple[str, ...]:
        return tuple(self.class_rows)

    def newest_previews(self) -> tuple[PreviewRecord, ...]:
        """One a party, its last."""
        return tuple({preview.party: preview for preview in self.previews}.values())


def is_gan_run(record: RunRecord) -> bool:
    """By its summary, else by the event only such runs have."""
    return record.metrics.get("job") in GAN_JOBS or bool(of_kind(record.events, "schedule"))


def gan_record(record: RunRecord) -> GanRecord:
    """Of what was logged twice, as after a resume, the last counts."""
    events = record.events
    schedule = _last(events, "schedule")
    prepared = {str(event.get("party")): event for event in of_kind(events, "prepared")}
    return GanRecord(
        job=str(record.metrics.get("job") or "gan"),
        mode=record.protocol or "none",
        policy=str(schedule.get("policy") or ""),
        groups=tuple(
            GroupRecord(tuple(group.get("classes") or ()), whole_numbers(group.get("steps")))
            for group in schedule.get("groups") or ()
        ),
        class_rows={party: whole_numbers(event.get("classes")) for party, event in prepared.items()},
        missing={
            str(event.get("party")): tuple(event.get("classes") or ()) for event in of_kind(events, "classes_missing")
        },
        losses=_losses(events),
        previews=_previews(record),
        classifiers=_classifiers(events),
        membership=(attacks := _membership(events)),
        controls=(controls := _nested(_local_attacks(events).get("membership_controls"))),
        pooled=_pooled(attacks + controls, _local_attacks(events)),
        histograms=_histograms(events),
        forecast_bytes=whole_numbers(_last(events, "forecast").get("bytes")),
    )


def _losses(events: Sequence[Event]) -> tuple[LossRecord, ...]:
    found = {}
    for event in of_kind(events, "epoch"):
        logged = event.get("losses")
        if isinstance(logged, Mapping):
            found[int(event["epoch"])] = LossRecord(
                int(event["epoch"]),
                moment.timestamp() if (moment := time_of(event)) else 0.0,
                {str(process): _means(nets) for process, nets in logged.items() if isinstance(nets, Mapping)},
            )
    return tuple(found[epoch] for epoch in sorted(found))


def _previews(record: RunRecord) -> tuple[PreviewRecord, ...]:
    """Those whose files are here, oldest first."""
    found = {}
    for event in of_kind(record.events, "preview"):
        path = record.directory / str(event.get("file"))
        if path.resolve().is_relative_to(record.directory.resolve()) and path.is_file():
            key = int(event["epoch"]), str(event["party"])
            found[key] = PreviewRecord(*key, path)
    return tuple(found[key] for key in sorted(found))


def _classifiers(events: Sequence[Event]) -> tuple[ClassifierRecord, ...]:
    found = {}
    for event in of_kind(events, "classifier"):
        accuracy = scores_of({"accuracy": event.get("accuracy")}).get("accuracy")
        if accuracy is not None:
            key = str(event.get("source")), str(event.get("party"))
            found[key] = ClassifierRecord(*key, int(event.get("rows") or 0), accuracy)
    return tuple(found.values())


def _membership(events: Sequence[Event]) -> tuple[MembershipRecord, ...]:
    """Each party's attack on its own discriminators, and those of a local run, which has all of them."""
    own = {str(event.get("party")): event.get("classes") for event in of_kind(events, "membership")}
    local = _local_attacks(events).get("membership")
    return _nested({OWN: own, **(local if isinstance(local, Mapping) else {})})


def _local_attacks(events: Sequence[Event]) -> Mapping[str, Any]:
    found = _last(events, "gan_attacks").get("attacks")
    return found if isinstance(found, Mapping) else {}


def _nested(attacks: Any) -> tuple[MembershipRecord, ...]:
    """From by -> party -> class -> fields."""
    found = [
        _attack(str(by), str(party), str(label), fields)
        for by, parties in _items(attacks)
        for party, classes in _items(parties)
        for label, fields in _items(classes)
    ]
    return tuple(one for one in found if one is not None)


def _pooled(attacks: Sequence[MembershipRecord], local: Mapping[str, Any]) -> tuple[MembershipRecord, ...]:
    """As logged, with intervals; where only parties attacked, means over classes weighted by members."""
    logged = {
        (str(by), str(party)): _attack(str(by), str(party), "", fields)
        for by, parties in _items(local.get("membership_pooled"))
        for party, fields in _items(parties)
    }
    keys = dict.fromkeys((attack.by, attack.party) for attack in attacks)
    return tuple(
        logged.get(key) or _mean_attack([attack for attack in attacks if (attack.by, attack.party) == key])
        for key in keys
    )


def _mean_attack(attacks: Sequence[MembershipRecord]) -> MembershipRecord:
    members = sum(attack.members for attack in attacks)
    accuracy = sum(attack.accuracy.value * attack.members for attack in attacks) / members
    chance = sum(attack.chance * attack.members for attack in attacks) / members
    others = sum(attack.non_members for attack in attacks)
    first = attacks[0]
    score = ScoreRecord(accuracy, None, None, members)
    return MembershipRecord(first.by, first.party, "", score, chance, None, members, others)


def _attack(by: str, party: str, label: str, fields: Any) -> MembershipRecord | None:
    if not isinstance(fields, Mapping) or not isinstance(fields.get("accuracy"), (int, float)):
        return None
    members, others = int(fields.get("members") or 1), int(fields.get("non_members") or 0)
    accuracy = ScoreRecord(float(fields["accuracy"]), fields.get("low"), fields.get("high"), members)
    return MembershipRecord(by, party, label, accuracy, float(fields["chance"]), fields.get("auc"), members, others)


def _histograms(events: Sequence[Event]) -> dict[str, dict[str, dict[str, tuple[int, ...]]]]:
    """As the parties made them; those of a local run's attacks, which know other parties' rows too, count more."""
    logged = {str(event.get("party")): event.get("classes") for event in of_kind(events, "histograms")}
    local = _last(events, "gan_attacks").get("histograms")
    return {
        str(party): {
            str(label): {str(kind): tuple(int(count) for count in counts) for kind, counts in _items(kinds)}
            for label, kinds in _items(classes)
        }
        for party, classes in {**logged, **(local if isinstance(local, Mapping) else {})}.items()
    }


def _items(logged: Any) -> list[tuple[Any, Any]]:
    return list(logged.items()) if isinstance(logged, Mapping) else []


def _last(events: Sequence[Event], kind: str) -> Event:
    return next(reversed(of_kind(events, kind)), {})


def _means(nets: Mapping[str, Any]) -> dict[str, float]:
    """Over classes, net by net; what has no finite number is left out."""
    found = {
        str(net): real_numbers(list(values.values())) for net, values in nets.items() if isinstance(values, Mapping)
    }
    return {net: statistics.fmean(numbers) for net, numbers in found.items() if numbers}
