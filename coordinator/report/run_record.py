"""All that a run directory says about its run, read once: what pages, plots and logs are made from.

``metrics.json`` is the coordinator's summary and wins; what it leaves out is taken from the events, so that
a run that failed half way still has a report.
"""

import json
import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coordinator.report.events import (
    BaselineRecord,
    EpochRecord,
    EvaluationRecord,
    Event,
    ScoreRecord,
    baseline,
    epochs,
    evaluations,
    of_kind,
    read_events,
    real_numbers,
    scores_of,
    whole_numbers,
)
from kernel.errors import BadInputError

BASELINE_LOOPS = ("keras_fit", "tf_function")


@dataclass(frozen=True)
class PartyRecord:
    """A party and its counts; None where nothing was logged."""

    name: str
    rows: int | None
    train_rows: int | None
    test_rows: int | None
    columns: int | None


@dataclass(frozen=True)
class RunRecord:
    """A run as it was left. Seconds are those of single epochs, bytes those of the whole run by link."""

    directory: Path
    run: str
    events: tuple[Event, ...]
    metrics: Mapping[str, Any]
    epochs: tuple[EpochRecord, ...]
    evaluations: tuple[EvaluationRecord, ...]
    baseline: BaselineRecord | None
    scores: Mapping[str, ScoreRecord]
    baseline_scores: Mapping[str, ScoreRecord]
    epoch_seconds: tuple[float, ...]
    loop_seconds: Mapping[str, tuple[float, ...]]
    payload_bytes: Mapping[str, int]
    relayed_bytes: Mapping[str, int]
    rounds: int | None
    parties: tuple[PartyRecord, ...]
    network: Mapping[str, Any]
    protocol: str | None
    seed: int | None

    @property
    def method(self) -> str:
        """What its numbers are called in plots and logs: split, privgan, gan."""
        job = str(self.metrics.get("job") or "split_nn")
        return "split" if job == "split_nn" else job

    def ratio(self, loop: str) -> float | None:
        """Split epoch over plain epoch of ``loop``, by medians unless the coordinator wrote its own."""
        written = real_numbers(_part(self.metrics, "ratio").get(loop))
        if written:
            return written[0]
        plain = self.loop_seconds.get(loop, ())
        if not plain or not self.epoch_seconds or statistics.median(plain) <= 0:
            return None
        return statistics.median(self.epoch_seconds) / statistics.median(plain)

    def caption(self) -> str:
        """n, seed and protocol, for the foot of a plot."""
        parts = []
        if self.method == "split":
            trained = next((epoch.rows for epoch in reversed(self.epochs) if epoch.rows), None)
        else:  # parties have rows of their own, and an epoch draws as many as its steps take
            trained = sum(party.train_rows or 0 for party in self.parties)
        tested = next((score.n for score in self.scores.values() if score.n), None)
        counts = [f"{n:,} {kind} rows" for n, kind in ((trained, "training"), (tested, "test")) if n]
        if counts:
            parts.append("n = " + " and ".join(counts))
        if self.seed is not None:
            parts.append(f"seed {self.seed}")
        if self.protocol:
            parts.append(f"protocol {self.protocol}")
        return " · ".join([*parts, f"run {self.run}"])


def read_run(directory: Path) -> RunRecord:
    """Reads ``events.jsonl`` and ``metrics.json`` of a run directory; either may be absent.

    Raises:
      BadInputError: neither is there, or metrics.json is not a JSON object.
    """
    log, summary = directory / "events.jsonl", directory / "metrics.json"
    if not log.is_file() and not summary.is_file():
        raise BadInputError(
            f"{directory} holds neither events.jsonl nor metrics.json; a run directory was wanted. "
            "Give a directory under runs/."
        )
    events = read_events(log)
    metrics = _read_metrics(summary)
    trained, tested, plain = epochs(events), evaluations(events), baseline(events)
    network = _part(metrics, "network")
    seconds, summary_of_plain = _part(metrics, "seconds"), _part(metrics, "baseline")
    logged_loops = {
        "keras_fit": plain.keras_fit_seconds if plain else (),
        "tf_function": plain.tf_function_seconds if plain else (),
    }
    loops = {
        loop: real_numbers(_part(summary_of_plain, "seconds").get(loop)) or logged_loops[loop]
        for loop in BASELINE_LOOPS
    }
    sent: Counter[str] = Counter()
    for epoch in trained:
        sent.update(epoch.payload_bytes)
    rounds = metrics.get("rounds", sum(epoch.rounds or 0 for epoch in trained) or None)
    seed = network.get("seed", metrics.get("seed"))
    return RunRecord(
        directory=directory,
        run=str(metrics.get("run") or next((event["run"] for event in events if "run" in event), directory.name)),
        events=tuple(events),
        metrics=metrics,
        epochs=trained,
        evaluations=tested,
        baseline=plain,
        scores=scores_of(metrics.get("scores")) or (tested[-1].scores if tested else {}),
        baseline_scores=scores_of(summary_of_plain.get("scores")) or (plain.scores if plain else {}),
        epoch_seconds=real_numbers(seconds.get("epoch"))
        or tuple(epoch.seconds for epoch in trained if epoch.seconds is not None),
        loop_seconds={loop: found for loop, found in loops.items() if found},
        payload_bytes=whole_numbers(metrics.get("bytes")) or dict(sent),
        relayed_bytes=whole_numbers(metrics.get("relayed_bytes")),
        rounds=rounds if isinstance(rounds, int) else None,
        parties=_parties(events, metrics),
        network=network,
        protocol=str(metrics["protocol"]) if metrics.get("protocol") else None,
        seed=seed if isinstance(seed, int) else None,
    )


def _read_metrics(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path} is not JSON; remove it and make the report from the events alone.") from error
    if not isinstance(metrics, dict):
        raise BadInputError(f"{path} holds a JSON {type(metrics).__name__} and an object was wanted.")
    return metrics


def _parties(events: list[Event], metrics: Mapping[str, Any]) -> tuple[PartyRecord, ...]:
    """Names from metrics.json and the log, counts from the last ``prepared`` of each."""
    known: dict[str, Mapping[str, Any]] = {}
    for listed in metrics.get("parties") or ():
        fields = listed if isinstance(listed, Mapping) else {}
        known[str(fields.get("name", listed))] = fields
    for event in [*of_kind(events, "joined"), *of_kind(events, "prepared")]:
        name = str(event.get("party"))
        known[name] = {**known.get(name, {}), **event}
    return tuple(
        PartyRecord(
            name,
            _count(fields.get("rows")),
            _count(fields.get("train_rows")),
            _count(fields.get("test_rows")),
            _count(fields.get("columns")),
        )
        for name, fields in known.items()
    )


def _count(logged: object) -> int | None:
    """A count that was logged as a number or as the list of what is counted."""
    if isinstance(logged, (list, tuple)):
        return len(logged)
    return logged if isinstance(logged, int) else None


def _part(mapping: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = mapping.get(key)
    return part if isinstance(part, Mapping) else {}
