"""Records of attacked runs as points over seeds: what a setting scores, what that costs, and what it leaks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from coordinator.sweeps.bench_log import Record
from coordinator.sweeps.leakage import LEAKS
from coordinator.sweeps.seed_mean import SeedMean, seed_mean


@dataclass(frozen=True)
class Measured:
    """A score or a leak over seeds.

    Attributes:
      mean: over seeds; low, high: 95 %, over seeds by Student's t, and of one seed alone over its rows.
      own_low, own_high: the mean ends of single seeds' intervals over their rows; None where none was logged.
      baseline: what is reached without the view, mean over seeds; None for a score.
      rows: that one seed was judged on; values: one a seed; attacks: which were the strongest.
    """

    mean: float
    low: float | None
    high: float | None
    own_low: float | None
    own_high: float | None
    baseline: float | None
    rows: int | None
    values: tuple[float, ...]
    attacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """One setting of a plan over its seeds.

    Attributes:
      plain: it is what the others are held against; measure: the utility's name.
      lost: utility that it costs, paired by seed; None for the plain setting and without one.
      leaks: by name of `LEAKS`; those that no attack measured are absent. unseen: of them those of which the role was sent
        nothing in any run.
    """

    name: str
    plain: bool
    measure: str
    seeds: tuple[int, ...]
    utility: Measured
    lost: SeedMean | None
    leaks: Mapping[str, Measured]
    unseen: frozenset[str] = frozenset()


def outcome_of(name: str, records: Sequence[Record], plain: Sequence[Record] | None) -> Outcome:
    """Of the runs of one setting, newest last; of a seed that was run again the newest counts.

    Args:
      plain: the runs it is held against; None where it is the plain setting itself or there is none.
    """
    by_seed = newest_by_seed(records)
    reference = newest_by_seed(plain or ())
    losses = [
        reference[seed]["utility"]["value"] - record["utility"]["value"]
        for seed, record in by_seed.items()
        if seed in reference
    ]
    leaks = {}
    for leak in LEAKS:
        found = [record["leakage"][leak] for record in by_seed.values() if record.get("leakage", {}).get(leak)]
        if found:
            leaks[leak] = measured(found)
    return Outcome(
        name=name,
        plain=plain is None,
        measure=records[-1]["utility"]["measure"],
        seeds=tuple(sorted(by_seed)),
        utility=measured([record["utility"] for record in by_seed.values()]),
        lost=seed_mean(losses) if losses else None,
        leaks=leaks,
        unseen=frozenset.intersection(*(frozenset(record.get("unseen", ())) for record in by_seed.values())),
    )


def newest_by_seed(records: Iterable[Record]) -> dict[int, Record]:
    return {record["seed"]: record for record in records}


def measured(found: Sequence[Mapping[str, object]]) -> Measured:
    """Of one entry {value, low, high, n, …} a seed."""
    values = [number for one in found if (number := _number(one["value"])) is not None]
    over_seeds, own_low, own_high = seed_mean(values), _mean(found, "low"), _mean(found, "high")
    alone = over_seeds.n == 1
    rows = _number(found[-1].get("n"))
    return Measured(
        mean=over_seeds.mean,
        low=own_low if alone else over_seeds.low,
        high=own_high if alone else over_seeds.high,
        own_low=own_low,
        own_high=own_high,
        baseline=_mean(found, "baseline"),
        rows=None if rows is None else round(rows),
        values=tuple(values),
        attacks=tuple(dict.fromkeys(str(one["attack"]) for one in found if "attack" in one)),
    )


def _mean(found: Sequence[Mapping[str, object]], key: str) -> float | None:
    values = [_number(one.get(key)) for one in found]
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
