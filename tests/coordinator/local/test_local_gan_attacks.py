"""What a local run of GANs notes of its attacks, and what its metrics and page read of that."""

import json

import pytest

from coordinator.local import gan_attacks
from coordinator.report.gan.gan_record import gan_record
from coordinator.report.run_record import read_run
from coordinator.run_store import RunRecord
from kernel.errors import TertiumError

PLAN = """
name = "t"
job = "privgan"
epochs = 1
[[parties]]
name = "party-a"
table = "digits"
columns = ["pixel_0_0"]
label = "target"
[[parties]]
name = "party-b"
table = "digits"
columns = ["pixel_0_0"]
label = "target"
"""
ATTACK = {"accuracy": 0.5, "low": 0.4, "high": 0.6, "chance": 0.2, "auc": 0.7, "members": 200, "non_members": 800}
FOUND = {
    "barrier": 1,
    "seconds": 2.0,
    "attacks": {
        "membership": {"max": {"party-a": {"3": ATTACK}}, "own": {"party-a": {"3": ATTACK}}},
        "membership_pooled": {"max": {"party-a": ATTACK}},
        "membership_controls": {"noise": {"party-a": {"3": ATTACK}}},
    },
    "histograms": {"party-a": {"3": {"train": [1, 2], "holdout": [3, 4], "other": [5, 6]}}},
}


@pytest.fixture
def record(tmp_path):
    return RunRecord.create(tmp_path / "run-1", PLAN)


def test_results_are_noted_and_stand_in_metrics_and_report(record, monkeypatch):
    asked = []

    def evaluate_run(_record, _federation, command, options, **_):
        asked.append((command, options))
        return FOUND

    monkeypatch.setattr(gan_attacks, "evaluate_run", evaluate_run)
    record.note("membership", party="party-a", by="own", classes={"3": ATTACK | {"accuracy": 0.1}})
    record.note("histograms", party="party-a", classes={"3": {"train": [9, 9], "holdout": [9, 9]}})
    gan_attacks.attack_gans(record, None)
    assert asked == [(("attacks", "gan"), ())]
    metrics = json.loads((record.directory / "metrics.json").read_text())
    assert metrics["privacy"]["attacks"] == FOUND["attacks"]
    page = gan_record(read_run(record.directory))
    assert {(one.by, one.party, one.label, one.accuracy.value) for one in page.membership} == {
        ("own", "party-a", "3", 0.5),
        ("max", "party-a", "3", 0.5),
    }
    assert page.histograms == {"party-a": {"3": {"train": (1, 2), "holdout": (3, 4), "other": (5, 6)}}}


def test_a_failure_is_noted_and_raised(record, monkeypatch):
    def evaluate_run(*_, **__):
        raise TertiumError("attacking the discriminators failed: no memory")

    monkeypatch.setattr(gan_attacks, "evaluate_run", evaluate_run)
    with pytest.raises(TertiumError, match="no memory"):
        gan_attacks.attack_gans(record, None)
    last = RunRecord.load(record.directory).events[-1]
    assert (last["event"], last["sentence"]) == ("attacks_failed", "attacking the discriminators failed: no memory")
