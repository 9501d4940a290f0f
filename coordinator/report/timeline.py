"""What happened in a run, in the words of its page: a line an event, neighbours alike folded."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from coordinator.report.events import Event, of_kind, scores_of, time_of
from coordinator.report.quantities import DASH, count, duration, score

SILENT = frozenset({"progress", "epoch", "traffic", "histograms"})
FOLDED = frozenset({"barrier", "evaluated", "preview", "classifier", "membership"})


@dataclass(frozen=True)
class Moment:
    """A line of the page; ``after`` is time since the first event, ``tone`` plain, good, warning or bad."""

    after: str
    time: str
    kind: str
    sentence: str
    tone: str


@dataclass(frozen=True)
class Outcome:
    """How a run stands, in a word and a sentence; ``tone`` as in ``Moment``."""

    word: str
    sentence: str
    tone: str


def timeline(events: Sequence[Event]) -> tuple[Moment, ...]:
    """The moments of a run, without epochs and progress; neighbouring barriers or evaluations are folded."""
    start = next((moment for moment in map(time_of, events) if moment), None)
    told = [event for event in events if event["event"] not in SILENT]
    return tuple(
        _moment(kind, group, start)
        for _, stretch in groupby(told, key=lambda event: "" if event["event"] in FOLDED else event["event"])
        for kind, group in _folded(list(stretch))
    )


def outcome(events: Sequence[Event]) -> Outcome:
    """How the run stands by its last word: done, failed, paused, or not finished."""
    for event in reversed(events):
        kind = event["event"]
        if kind == "done":
            return Outcome("done", f"Finished in {duration(event.get('seconds'))}.", "good")
        if kind == "failed":
            return Outcome("failed", _reason(event), "bad")
        if kind == "paused":
            return Outcome("paused", _reason(event), "warning")
        if kind == "resumed":
            break
    last = len(of_kind(events, "epoch"))
    return Outcome("not finished", f"The log ends after {last} epochs without a last word.", "warning")


def _folded(stretch: list[Event]) -> Iterable[tuple[str, list[Event]]]:
    """A stretch of barriers and evaluations as one group a kind; other events one by one."""
    if stretch[0]["event"] not in FOLDED:
        return [(event["event"], [event]) for event in stretch]
    by_kind: dict[str, list[Event]] = {}
    for event in stretch:
        by_kind.setdefault(event["event"], []).append(event)
    return by_kind.items()


def _moment(kind: str, group: list[Event], start: datetime | None) -> Moment:
    at = time_of(group[-1])
    after = f"+{duration((at - start).total_seconds())}" if at and start else DASH
    tone = {"done": "good", "failed": "bad", "paused": "warning", "unscored": "warning", "resumed": "good"}.get(
        kind, "plain"
    )
    return Moment(after, at.isoformat(sep=" ", timespec="seconds") if at else "", kind, _sentence(kind, group), tone)


def _sentence(kind: str, group: list[Event]) -> str:
    event = group[-1]
    sentences: dict[str, Callable[[], str]] = {
        "submitted": lambda: f"Plan {str(event.get('plan_hash', DASH))[:16]} submitted.",
        "joined": lambda: f"{event.get('party', DASH)} joined.",
        "prepared": lambda: (
            f"{event.get('party', DASH)} prepared {_counted(event.get('train_rows'))} training and "
            f"{_counted(event.get('test_rows'))} test rows."
        ),
        "generation": lambda: f"Generation {event.get('generation', DASH)} from barrier {event.get('barrier', DASH)}.",
        "barrier": lambda: _span("Barrier", "Barriers", "barrier", group) + " held by every role.",
        "evaluated": lambda: _span("Scores after epoch", "Last scores of epochs", "epoch", group) + _values(event),
        "unscored": lambda: f"Trained to its end, and not scored on test rows: {_reason(event)}",
        "baseline": lambda: "The plain net was trained on the joined rows for comparison.",
        "recorded": lambda: "What each role received was kept, as --record asked.",
        "attacks": lambda: f"What the roles received was attacked in {duration(event.get('seconds'))}.",
        "attacks_failed": lambda: _reason(event),
        "schedule": lambda: f"Models are trained in {_groups(event)}, with policy {event.get('policy', DASH)}.",
        "classes_missing": lambda: (
            f"{event.get('party', DASH)} has no row of class {', '.join(str(one) for one in event.get('classes') or ())}."
        ),
        "preview": lambda: (
            _span("Synthetic rows after epoch", "Synthetic rows after epochs", "epoch", group) + " kept."
        ),
        "classifier": lambda: f"Classifiers tried on real held-out rows, {len(group)} of them.",
        "membership": lambda: f"Discriminators attacked at {', '.join(str(one.get('party', DASH)) for one in group)}.",
        "gan_attacks": lambda: "Membership attacked with everybody's discriminators and the shared one.",
        "sampled": lambda: f"{_counted(event.get('rows'))} synthetic rows of {event.get('party', DASH)} sampled.",
        "paused": lambda: _reason(event),
        "resumed": lambda: (
            f"Resumed as generation {event.get('generation', DASH)} from barrier {event.get('barrier', DASH)}."
        ),
        "predicted": lambda: f"{event.get('party', DASH)} received {_counted(event.get('rows'))} predictions.",
        "done": lambda: f"Done in {duration(event.get('seconds'))}.",
        "failed": lambda: _reason(event),
    }
    sentence = sentences.get(kind)
    return sentence() if sentence is not None else ""


def _span(one: str, many: str, key: str, group: list[Event]) -> str:
    first, last = group[0].get(key, DASH), group[-1].get(key, DASH)
    return f"{one} {last}" if len(group) == 1 else f"{many} {first} to {last}"


def _groups(event: Event) -> str:
    groups = len(event.get("groups") or ())
    return "1 group" if groups == 1 else f"{groups} groups"


def _values(event: Event) -> str:
    found = ", ".join(f"{name} {score(record.value)}" for name, record in scores_of(event.get("scores")).items())
    return f": {found}." if found else "."


def _reason(event: Event) -> str:
    return str(event.get("sentence") or event.get("reason") or "No reason was logged.")


def _counted(logged: Any) -> str:
    return count(logged if isinstance(logged, int) else None)
