"""The life of a run in sentences."""

from typing import Any

import pytest

from coordinator.report.timeline import outcome, timeline


def test_barriers_and_evaluations_between_other_events_are_folded(
    sample_events: list[dict[str, Any]],
) -> None:
    told = [(moment.kind, moment.sentence) for moment in timeline(sample_events)]
    assert told[-9:] == [
        ("barrier", "Barriers 1 to 6 held by every role."),
        ("evaluated", "Scores after epoch 4: auc 0.9420."),
        ("paused", "party-b was silent for 5 s; waiting for it to return."),
        ("resumed", "Resumed as generation 1 from barrier 6."),
        ("barrier", "Barriers 7 to 12 held by every role."),
        ("evaluated", "Last scores of epochs 8 to 12: auc 0.9660."),
        ("baseline", "The plain net was trained on the joined rows for comparison."),
        ("predicted", "party-a received 56,962 predictions."),
        ("done", "Done in 42.7 s."),
    ]
    assert told[2] == ("prepared", "party-a prepared 227,845 training and 56,962 test rows.")


def test_times_count_from_the_first_event() -> None:
    moments = timeline(
        [
            {"event": "submitted", "time": "2026-01-01T00:00:00+00:00"},
            {"event": "joined", "party": "a", "time": "2026-01-01T01:01:33+01:00"},
            {"event": "joined", "party": "b"},
        ]
    )
    assert [moment.after for moment in moments] == ["+0 ms", "+1 min 33 s", "–"]


@pytest.mark.parametrize(
    ("kinds", "word"),
    [
        (["epoch", "done"], "done"),
        (["done", "predicted"], "done"),
        (["epoch", "paused"], "paused"),
        (["paused", "resumed", "epoch"], "not finished"),
        (["paused", "resumed", "failed"], "failed"),
        ([], "not finished"),
    ],
)
def test_a_run_stands_by_its_last_word(kinds: list[str], word: str) -> None:
    assert outcome([{"event": kind} for kind in kinds]).word == word


def test_a_failure_is_told_in_its_own_sentence() -> None:
    found = outcome([{"event": "failed", "reason": "fixed_point", "sentence": "z1 reaches 40213.7."}])
    assert (found.sentence, found.tone) == ("z1 reaches 40213.7.", "bad")
