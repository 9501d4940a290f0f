"""Points of a GAN sweep's figures, looked up in its records; a value over several seeds is their mean."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coordinator.sweeps.bench_log import Record
from coordinator.sweeps.gan_tasks import Method
from coordinator.sweeps.seed_mean import seed_mean

PARTY_A, PARTY_B = "party-a", "party-b"
BOTH = (PARTY_A, PARTY_B)
POOLED = "pooled"
_AXES_ONLY = ("about", "weights_fraction", "skews_fraction", "mirrored")


@dataclass(frozen=True)
class Point:
    """A value with its 95 % interval: of one seed over the ``n`` rows it was measured on, of several over seeds."""

    value: float
    low: float
    high: float
    n: int
    seeds: int


@dataclass(frozen=True)
class Sweep:
    """The records of one sweep that may stand beside each other, and what failed."""

    records: tuple[Record, ...]
    failed: tuple[Record, ...]

    @property
    def described(self) -> Mapping[str, Any]:
        described: Mapping[str, Any] = self.records[-1]["sweep"]
        return described

    @property
    def weight(self) -> float:
        """Lambda of all figures but the frontier."""
        return float(self.described["weight"])

    @property
    def seeds(self) -> list[int]:
        return sorted({record["setting"]["seed"] for record in self.records})

    def settings(self, key: str) -> list[Any]:
        """The values on an axis of the records, ascending."""
        return sorted({_frozen(record["setting"][key]) for record in self.records})

    def at(
        self,
        method: Method,
        fractions: tuple[float, ...],
        *,
        weight: float | None = None,
        skew: float = 0.0,
    ) -> list[Record]:
        """One record a seed of this setting, or none; ``weight`` None is the sweep's own."""
        wanted = 0.0 if method != "privgan" else self.weight if weight is None else weight
        return [
            record
            for record in self.records
            if record["setting"]["method"] == method
            and tuple(record["setting"]["fractions"]) == fractions
            and record["setting"]["weight"] == wanted
            and record["setting"]["skew"] == skew
        ]

    def alike(self, method: Method, fraction: float) -> list[Record]:
        """`at` this fraction at both parties."""
        return self.at(method, (fraction, fraction))


def newest_sweep(records: Sequence[Record]) -> Sweep | None:
    """Of the last record's settings, each task as it was trained last; None without a task that was trained."""
    trained = [record for record in records if "failed" not in record]
    if not trained:
        return None
    family = _family(trained[-1])
    kept = {record["key"]: record for record in trained if _family(record) == family}
    failed = {
        record["key"]: record
        for record in records
        if "failed" in record and _family(record) == family and record["key"] not in kept
    }
    return Sweep(tuple(kept.values()), tuple(failed.values()))


def accuracy(records: Sequence[Record], *sources: str) -> Point | None:
    """Of the classifiers of the sources, averaged over them; None where none was tried."""
    found = [[record["accuracy"][source] for source in sources if source in record["accuracy"]] for record in records]
    return _point([_mean(scores, "value", scores[0]["n"] if scores else 0) for scores in found if scores])


def attack(records: Sequence[Record], by: str, label: str = POOLED, parties: Sequence[str] = BOTH) -> Point | None:
    """Accuracy of the membership attack with these scores on the parties' rows of a class; None where it was not made."""
    found = [_attacks(record, by, label, parties) for record in records]
    return _point([_mean(one, "accuracy", one[0]["members"]) for one in found if one])


def chance(records: Sequence[Record], by: str, label: str = POOLED, parties: Sequence[str] = BOTH) -> float | None:
    """What blind calling reaches in `attack`."""
    found = [one["chance"] for record in records for one in _attacks(record, by, label, parties)]
    return sum(found) / len(found) if found else None


def advantage(records: Sequence[Record], by: str, label: str = POOLED, parties: Sequence[str] = BOTH) -> Point | None:
    """`attack` less `chance`."""
    point, level = attack(records, by, label, parties), chance(records, by, label, parties)
    if point is None or level is None:
        return None
    return Point(point.value - level, point.low - level, point.high - level, point.n, point.seeds)


def labels_attacked(records: Iterable[Record]) -> list[str]:
    found = {
        label
        for record in records
        for parties in record["membership"].values()
        for classes in parties.values()
        for label in classes
        if label != POOLED
    }
    return sorted(found, key=int)


def _attacks(record: Record, by: str, label: str, parties: Sequence[str]) -> list[Mapping[str, Any]]:
    found = record["membership"].get(by, {})
    return [found[party][label] for party in parties if label in found.get(party, {})]


def _mean(scores: Sequence[Mapping[str, Any]], key: str, n: int) -> Point:
    """Of scores that were measured on the same number of rows; the interval is that of one of them."""
    value, low, high = (sum(score[one] for score in scores) / len(scores) for one in (key, "low", "high"))
    return Point(value, low, high, n, 1)


def _point(seeds: Sequence[Point]) -> Point | None:
    if not seeds:
        return None
    if len(seeds) == 1:
        return seeds[0]
    mean = seed_mean([one.value for one in seeds])
    low, high = (mean.mean if end is None else end for end in (mean.low, mean.high))
    return Point(mean.mean, low, high, seeds[0].n, len(seeds))


def _family(record: Record) -> str:
    described = {key: value for key, value in record["sweep"].items() if key not in _AXES_ONLY}
    return json.dumps(described, sort_keys=True)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
