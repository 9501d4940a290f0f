"""What a sweep does with a run that an earlier one left: trains it afresh, goes on from its barrier, or attacks it only."""

from pathlib import Path

import pytest
from gan_sweep_files import small_sweep

from coordinator.run_store import RunRecord
from coordinator.sweeps import gan_run
from coordinator.sweeps.gan_tasks import gan_tasks
from kernel.run_state import RunState

TASK = gan_tasks(small_sweep())[0]
ACCURACY = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 10}
DONE = (RunState.READY, RunState.TRAINING, RunState.DONE)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of the training and of the attacks, which are not run."""
    found: list[str] = []

    def train(text, plan, run, runs, *, resume, **_):
        found.append(f"train, resume {resume}, left {sorted(path.name for path in (runs / run).glob('*'))}")
        record = RunRecord.load(runs / run) if resume else RunRecord.create(runs / run, text)
        finish(record)

    def attack(record, federation):
        found.append("attack")
        record.note("gan_attacks", attacks={})

    monkeypatch.setattr(gan_run, "train_here", train)
    monkeypatch.setattr(gan_run, "attack_gans", attack)
    return found


def finish(record: RunRecord) -> None:
    record.note("classifier", source="all", party="party-a", accuracy=ACCURACY)
    (record.directory / "roles").mkdir(exist_ok=True)


def left(runs: Path, *, barrier: int | None = None, states: tuple[RunState, ...] = ()) -> RunRecord:
    record = RunRecord.create(runs / f"{TASK.plan.name}-{TASK.key[:12]}", TASK.text)
    if barrier is not None:
        record.note("barrier", barrier=barrier)
    for state in states:
        record.move(state)
    return record


def test_a_new_task_is_trained_and_its_roles_are_removed(tmp_path: Path, calls: list[str]):
    figures = gan_run.train_task(TASK, tmp_path)
    assert calls == ["train, resume False, left []"]
    assert figures["accuracy"]["all"]["value"] == 0.5
    assert sorted(path.name for path in (tmp_path / figures["run"]).iterdir()) == [
        "events.jsonl",
        "plan.toml",
        "status.json",
    ]


@pytest.mark.parametrize("barrier", [None, 0])
def test_a_run_that_trained_nothing_is_begun_afresh(tmp_path: Path, calls: list[str], barrier: int | None):
    left(tmp_path, barrier=barrier, states=DONE[:2])
    gan_run.train_task(TASK, tmp_path)
    assert calls == ["train, resume False, left []"]


def test_a_run_with_a_barrier_goes_on(tmp_path: Path, calls: list[str]):
    left(tmp_path, barrier=2, states=DONE[:2])
    gan_run.train_task(TASK, tmp_path)
    assert calls == ["train, resume True, left ['events.jsonl', 'plan.toml', 'status.json']"]


def test_a_run_that_failed_is_begun_afresh(tmp_path: Path, calls: list[str]):
    left(tmp_path, barrier=2, states=(*DONE[:2], RunState.FAILED))
    gan_run.train_task(TASK, tmp_path)
    assert calls == ["train, resume False, left []"]


def test_a_run_that_was_killed_before_its_attacks_is_attacked_only(tmp_path: Path, calls: list[str]):
    finish(left(tmp_path, barrier=4, states=DONE))
    gan_run.train_task(TASK, tmp_path)
    assert calls == ["attack"]
    gan_run.train_task(TASK, tmp_path)  # killed again before it was noted: its figures are read once more
    assert calls == ["attack"]
