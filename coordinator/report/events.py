"""The event log of a run, ``events.jsonl``: one JSON object a line, appended and never rewritten.

Every line has ``time`` (ISO 8601), ``event`` (its kind) and ``run``. A process killed while it writes
leaves a torn line; whoever resumes appends behind it. Reading therefore drops what is torn and keeps what
follows on the same line.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kernel.errors import BadInputError

Event = dict[str, Any]


@dataclass(frozen=True)
class ScoreRecord:
    """A score as it was logged: value, ends of the 95 % interval (None when not logged), rows behind it."""

    value: float
    low: float | None
    high: float | None
    n: int | None


@dataclass(frozen=True)
class RocRecord:
    """A thinned ROC curve, rates in [0, 1], both of one length."""

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]


@dataclass(frozen=True)
class EpochRecord:
    """One pass over the rows; ``payload_bytes`` by link, "sender>receiver"."""

    epoch: int
    loss: float | None
    seconds: float | None
    rows: int | None
    rounds: int | None
    time: datetime | None
    payload_bytes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluationRecord:
    epoch: int
    scores: Mapping[str, ScoreRecord]
    roc: RocRecord | None
    time: datetime | None


@dataclass(frozen=True)
class BaselineRecord:
    """The plain net on the joined rows: losses an epoch, scores, seconds an epoch of both training loops."""

    losses: tuple[float, ...]
    scores: Mapping[str, ScoreRecord]
    roc: RocRecord | None
    keras_fit_seconds: tuple[float, ...]
    tf_function_seconds: tuple[float, ...]


def read_events(path: Path) -> list[Event]:
    """All whole events of the log, in order.

    Args:
      path: ``events.jsonl``; a file that does not exist yet holds no events.

    Raises:
      BadInputError: a line is whole JSON and yet no event: it is another file.
    """
    if not path.is_file():
        return []
    events = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        found = _event_of_line(line.decode("utf-8", errors="replace").strip())
        if found is None:
            continue
        if not isinstance(found, dict) or not isinstance(found.get("event"), str):
            raise BadInputError(
                f"line {number} of {path} is JSON without an 'event'; an event log was wanted. "
                "Point to a run directory that the coordinator wrote."
            )
        events.append(found)
    return events


def epochs(events: Sequence[Event]) -> tuple[EpochRecord, ...]:
    """The epochs in order; one that was repeated after a resume counts as it was last."""
    found: dict[int, EpochRecord] = {}
    for event in of_kind(events, "epoch"):
        number = _whole(event.get("epoch"))
        if number is not None:
            found[number] = EpochRecord(
                number,
                _real(event.get("loss")),
                _real(event.get("seconds")),
                _whole(event.get("rows")),
                _whole(event.get("rounds")),
                time_of(event),
                whole_numbers(event.get("bytes")),
            )
    return tuple(found[number] for number in sorted(found))


def evaluations(events: Sequence[Event]) -> tuple[EvaluationRecord, ...]:
    """The evaluations by epoch; a repeated one counts as it was last."""
    found: dict[int, EvaluationRecord] = {}
    for event in of_kind(events, "evaluated"):
        number = _whole(event.get("epoch")) or 0
        found[number] = EvaluationRecord(
            number, scores_of(event.get("scores")), roc_of(event.get("roc")), time_of(event)
        )
    return tuple(found[number] for number in sorted(found))


def baseline(events: Sequence[Event]) -> BaselineRecord | None:
    """The last baseline that was logged, or None."""
    logged = of_kind(events, "baseline")
    if not logged:
        return None
    event = logged[-1]
    return BaselineRecord(
        real_numbers(event.get("losses")),
        scores_of(event.get("scores")),
        roc_of(event.get("roc")),
        real_numbers(event.get("keras_fit_seconds")),
        real_numbers(event.get("tf_function_seconds")),
    )


def of_kind(events: Sequence[Event], kind: str) -> list[Event]:
    """The events of one kind, in order."""
    return [event for event in events if event["event"] == kind]


def time_of(event: Event) -> datetime | None:
    """When it happened, with a zone (UTC when the log names none); None when there is no readable time."""
    try:
        moment = datetime.fromisoformat(event["time"])
    except (KeyError, TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def scores_of(logged: object) -> dict[str, ScoreRecord]:
    """Scores by name from ``{name: {value, low, high, n}}``; those without a finite value are left out."""
    if not isinstance(logged, Mapping):
        return {}
    found = {}
    for name, fields in logged.items():
        value = _real(fields.get("value")) if isinstance(fields, Mapping) else None
        if value is not None:
            found[str(name)] = ScoreRecord(
                value, _real(fields.get("low")), _real(fields.get("high")), _whole(fields.get("n"))
            )
    return found


def roc_of(logged: object) -> RocRecord | None:
    """A ROC curve of two points or more, or None."""
    if not isinstance(logged, Mapping):
        return None
    false_rate = real_numbers(logged.get("false_positive_rate"))
    true_rate = real_numbers(logged.get("true_positive_rate"))
    return RocRecord(false_rate, true_rate) if len(false_rate) == len(true_rate) > 1 else None


def real_numbers(logged: object) -> tuple[float, ...]:
    """The finite numbers of a logged list, or of one logged number."""
    if isinstance(logged, (int, float)):
        logged = [logged]
    if not isinstance(logged, Sequence):
        return ()
    return tuple(value for value in map(_real, logged) if value is not None)


def whole_numbers(logged: object) -> dict[str, int]:
    """Counts by name from a logged mapping."""
    if not isinstance(logged, Mapping):
        return {}
    counts = {str(name): _whole(count) for name, count in logged.items()}
    return {name: count for name, count in counts.items() if count is not None}


def _event_of_line(line: str) -> object:
    """The JSON value of a line; for a torn line the event appended behind the tear, or None."""
    if not line:
        return None
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        pass
    start = line.find("{", 1)
    while start > 0:
        try:
            found = json.loads(line[start:])
        except json.JSONDecodeError:
            pass
        else:
            if isinstance(found, dict) and "event" in found:
                return found
        start = line.find("{", start + 1)
    return None


def _real(logged: object) -> float | None:
    if isinstance(logged, bool) or not isinstance(logged, (int, float)) or not math.isfinite(logged):
        return None
    return float(logged)


def _whole(logged: object) -> int | None:
    number = _real(logged)
    return None if number is None else int(number)
