"""A run directory read once: the summary wins, the events fill in."""

import statistics
from pathlib import Path
from typing import Any

import pytest

from coordinator.report.run_record import PartyRecord, read_run
from kernel.errors import BadInputError


def test_the_summary_is_taken_as_the_coordinator_wrote_it(sample_run: Path) -> None:
    record = read_run(sample_run)
    assert record.run == "fraud-20260302-1"
    assert list(record.scores) == ["auc", "accuracy", "log_loss"]
    assert (record.ratio("keras_fit"), record.ratio("tf_function")) == (1.23, 3.57)
    assert record.rounds == 138 * 12
    assert record.parties == tuple(PartyRecord(name, 284_807, 227_845, 56_962, 14) for name in ("party-a", "party-b"))
    assert record.caption() == (
        "n = 227,845 training rows and 56,962 test rows · seed 7 · protocol masked_sum · run fraud-20260302-1"
    )


def test_without_a_summary_the_events_tell_the_same(write_run: Any, sample_events: list[dict[str, Any]]) -> None:
    record = read_run(write_run(sample_events))
    assert record.run == "fraud-20260302-1"
    assert record.payload_bytes["party-a>neutral-server"] == 7_300_000 * 12
    assert record.rounds == 138 * 12
    assert record.scores["auc"].value == pytest.approx(0.966)
    assert record.baseline_scores["auc"].value == 0.96604
    assert record.ratio("tf_function") == pytest.approx(statistics.median(record.epoch_seconds) / 0.021)
    assert len(record.epoch_seconds) == 12
    assert record.protocol is None
    assert "seed" not in record.caption()


def test_columns_listed_by_name_are_only_counted(write_run: Any) -> None:
    prepared = {"event": "prepared", "party": "a", "rows": 3, "columns": ["age", "income"]}
    assert read_run(write_run([prepared])).parties == (PartyRecord("a", 3, None, None, 2),)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"neither events\.jsonl nor metrics\.json"):
        read_run(tmp_path)
    (tmp_path / "metrics.json").write_text("[]")
    with pytest.raises(BadInputError, match="list and an object was wanted"):
        read_run(tmp_path)
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(BadInputError, match="not JSON"):
        read_run(tmp_path)
