"""The event log: torn lines, repeated epochs, absent fields."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.report.events import (
    RocRecord,
    ScoreRecord,
    baseline,
    epochs,
    evaluations,
    of_kind,
    read_events,
    time_of,
)
from kernel.errors import BadInputError

LINES = [
    json.dumps({"time": f"2026-01-01T00:00:0{i}+00:00", "event": "barrier", "run": "é", "barrier": i}) for i in range(3)
]


def test_a_torn_last_line_is_dropped(sample_run: Path, sample_events: list[dict[str, Any]]) -> None:
    assert read_events(sample_run / "events.jsonl") == sample_events


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 400))
def test_wherever_the_kill_cuts_the_log_all_whole_lines_are_read(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    whole = ("\n".join(LINES) + "\n").encode()
    log = tmp_path_factory.mktemp("cut") / "events.jsonl"
    log.write_bytes(whole[:cut])
    complete = whole[: cut + 1].count(b"\n") if cut < len(whole) else len(LINES)
    assert [event["barrier"] for event in read_events(log)] == list(range(complete))


def test_an_event_appended_behind_a_tear_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    nested = json.dumps({"time": "2026-01-01T00:00:09+00:00", "event": "epoch", "run": "r", "bytes": {"a>b": 3}})
    log.write_text(LINES[0] + "\n" + LINES[1][:30] + nested + "\n" + LINES[2][:12] + "\n" + LINES[2] + "\n")
    assert [event["event"] for event in read_events(log)] == ["barrier", "epoch", "barrier"]


def test_a_log_that_does_not_exist_holds_nothing_and_another_file_is_refused(tmp_path: Path) -> None:
    assert read_events(tmp_path / "events.jsonl") == []
    (tmp_path / "other.jsonl").write_text(LINES[0] + "\n[1, 2]\n")
    with pytest.raises(BadInputError, match="line 2"):
        read_events(tmp_path / "other.jsonl")


def test_an_epoch_repeated_after_a_resume_counts_once_as_it_was_last() -> None:
    events = [
        {
            "event": "epoch",
            "epoch": 1,
            "loss": 0.5,
            "seconds": 1.0,
            "rows": 10,
            "bytes": {"a>b": 7},
            "rounds": 3,
        },
        {"event": "epoch", "epoch": 2, "loss": 0.4},
        {"event": "resumed", "generation": 1, "barrier": 1},
        {"event": "epoch", "epoch": 2, "loss": 0.3},
    ]
    found = epochs(events)
    assert [(epoch.epoch, epoch.loss) for epoch in found] == [(1, 0.5), (2, 0.3)]
    assert (found[0].payload_bytes, found[0].rounds, found[0].rows) == ({"a>b": 7}, 3, 10)
    assert found[1].seconds is None


def test_evaluations_and_baseline_are_typed() -> None:
    curve = {"false_positive_rate": [0, 0.5, 1], "true_positive_rate": [0.2, 0.9, 1]}
    scores = {"auc": {"value": 0.9, "low": 0.8, "high": 0.95, "n": 40}, "broken": {"value": float("nan")}}
    events = [
        {"event": "evaluated", "epoch": 3, "scores": scores, "roc": curve},
        {"event": "evaluated", "epoch": 1, "scores": {"accuracy": {"value": 1}}},
        {"event": "baseline", "losses": [0.7, None, 0.5], "scores": scores, "keras_fit_seconds": 0.25},
    ]
    first, last = evaluations(events)
    assert first.scores == {"accuracy": ScoreRecord(1.0, None, None, None)}
    assert last.scores == {"auc": ScoreRecord(0.9, 0.8, 0.95, 40)}
    assert last.roc == RocRecord((0.0, 0.5, 1.0), (0.2, 0.9, 1.0))
    assert first.roc is None
    plain = baseline(events)
    assert plain is not None
    assert (plain.losses, plain.keras_fit_seconds, plain.tf_function_seconds) == ((0.7, 0.5), (0.25,), ())
    assert baseline(of_kind(events, "evaluated")) is None


def test_times_always_have_a_zone() -> None:
    plain, zulu = time_of({"time": "2026-01-01T00:00:00"}), time_of({"time": "2026-01-01T00:00:00Z"})
    assert plain == zulu
    assert plain is not None
    assert time_of({"time": "yesterday"}) is None
    assert time_of({}) is None
