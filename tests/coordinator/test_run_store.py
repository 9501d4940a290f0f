"""coordinator.run_store: what is left of a run after kill -9, and what a later life makes of it."""

import json
import threading

import pytest
import tomli_w
from local_runs import part, plan_toml

from coordinator.run_store import RunRecord, RunStore
from kernel.errors import BadInputError, SettingsError, StepError
from kernel.run_state import RunState

TEXT = plan_toml("p", [part("a", "wine", "alcohol"), part("b", "wine", "ash", label="target")])
SECONDS = 10.0


@pytest.fixture
def record(tmp_path):
    return RunRecord.create(tmp_path / "run-1", TEXT)


def reloaded(record):
    return RunRecord.load(record.directory)


def kinds(record):
    return [event["event"] for event in record.events]


def test_a_run_comes_back_as_it_was(record):
    record.move(RunState.READY)
    record.note("epoch", epoch=1, loss=0.5)
    record.move(RunState.DONE)
    record.note("done", seconds=1.5)
    again = reloaded(record)
    assert again.run == "run-1"
    assert again.plan == record.plan
    assert again.events == record.events
    assert again.state is RunState.DONE
    assert all(event["run"] == "run-1" and event["time"].endswith("+00:00") for event in again.events)


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_torn_last_line_is_left_out_and_does_not_tear_the_next(record, cut):
    record.note("submitted", plan_hash="00")
    record.note("epoch", epoch=1, loss=0.25)
    events = record.directory / "events.jsonl"
    events.write_bytes(events.read_bytes()[:-cut])
    again = reloaded(record)
    assert kinds(again) == (["submitted", "epoch"] if cut == 1 else ["submitted"])  # without its newline it is whole
    again.note("resumed", generation=2)
    assert kinds(again)[-1] == "resumed"
    assert kinds(reloaded(again)) == kinds(again)


@pytest.mark.parametrize("state", [RunState.JOINED, RunState.READY, RunState.TRAINING])
def test_a_run_that_was_going_on_is_paused_after_a_restart(record, state):
    for step in {RunState.JOINED: (), RunState.READY: (state,), RunState.TRAINING: (RunState.READY, state)}[state]:
        record.move(step)
    again = reloaded(record)
    assert again.state is RunState.PAUSED
    again.move(RunState.JOINED)  # it can be resumed


@pytest.mark.parametrize("state", [RunState.DONE, RunState.FAILED])
def test_a_run_that_had_ended_stays_ended(record, state):
    record.move(RunState.READY)
    record.move(state)
    assert reloaded(record).state is state


def test_generations_grow_strictly_on_disk_before_anybody_hears_of_them(record):
    seen = []
    for _ in range(3):
        seen.append(record.next_generation())
        assert json.loads((record.directory / "status.json").read_bytes())["generation"] == seen[-1]
    again = reloaded(record)
    seen.append(again.next_generation())
    again.move(RunState.JOINED)
    seen.append(reloaded(again).next_generation())
    assert seen == [1, 2, 3, 4, 5]


def test_a_state_that_cannot_follow_is_refused_and_not_written(record):
    with pytest.raises(StepError):
        record.move(RunState.TRAINING)  # nobody has joined
    assert json.loads((record.directory / "status.json").read_bytes())["state"] == "joined"


def test_a_run_is_not_created_twice(record, tmp_path):
    record.note("submitted")
    with pytest.raises(BadInputError, match="run 'run-1' exists; resume it or choose another name"):
        RunRecord.create(tmp_path / "run-1", TEXT)
    assert kinds(reloaded(record)) == ["submitted"]


def test_a_plan_that_cannot_be_leaves_no_directory(tmp_path):
    with pytest.raises(SettingsError):
        RunRecord.create(tmp_path / "run-2", tomli_w.dumps({"name": "p"}))
    assert not (tmp_path / "run-2").exists()


def test_watching_starts_where_it_is_told_and_ends_with_the_stretch(record):
    for number in range(3):
        record.note("epoch", epoch=number)
    record.note("paused", sentence="x")
    record.note("resumed")
    record.note("done")
    assert [number for number, _ in record.watch(1, lambda: True)] == [1, 2, 3]
    assert [event["event"] for _, event in record.watch(4, lambda: True)] == ["resumed", "done"]


def test_a_watcher_sees_what_comes_later(record):
    seen = []
    watcher = threading.Thread(target=lambda: seen.extend(record.watch(0, lambda: True)), daemon=True)
    watcher.start()
    record.note("epoch", epoch=1)
    record.note("done")
    watcher.join(SECONDS)
    assert [event["event"] for _, event in seen] == ["epoch", "done"]


def test_a_watcher_that_has_gone_is_not_kept(record):
    assert list(record.watch(0, lambda: False)) == []


def test_the_store_finds_runs_of_an_earlier_life_once(tmp_path):
    RunStore(tmp_path).create("run-1", TEXT).note("done")
    store = RunStore(tmp_path)
    assert kinds(store.get("run-1")) == ["done"]
    assert store.get("run-1") is store.get("run-1")
    with pytest.raises(BadInputError, match="run 'run-1' exists"):
        store.create("run-1", TEXT)


@pytest.mark.parametrize("name", ["../run-1", "", ".", "a/b", "x" * 81, "ü"])
def test_a_name_that_is_no_directory_of_ours_is_bad_input(name, tmp_path):
    store = RunStore(tmp_path / "runs")
    for method in (store.get, lambda run: store.create(run, TEXT)):
        with pytest.raises(BadInputError, match="a run id is 1 to 80 letters"):
            method(name)
    assert not list(tmp_path.rglob("*.toml"))


def test_an_unknown_run_is_named(tmp_path):
    with pytest.raises(BadInputError, match="there is no run 'nothing' here"):
        RunStore(tmp_path).get("nothing")


def test_old_progress_leaves_memory_and_stays_on_disk(record):
    """A run makes progress events for as long as it lasts; everything else it makes by the epoch."""
    record.note("generation", generation=1)
    for step in range(1, 1001):
        record.note("progress", epoch=1, step=step)
        if step % 250 == 0:
            record.note("epoch", epoch=step // 250)
    steps = [event["step"] for event in record.events if event["event"] == "progress"]
    assert steps == list(range(745, 1001))
    assert kinds(record).count("epoch") == 4
    assert record.next_number == 1005
    lines = (record.directory / "events.jsonl").read_text().splitlines()
    assert len(lines) == 1005
    assert reloaded(record).events == record.events


def test_a_late_watcher_misses_progress_only_and_numbers_stay(record):
    for step in range(1, 301):
        record.note("progress", epoch=1, step=step)
    record.note("done", seconds=1.0)
    seen = list(record.watch(0, lambda: True))
    assert [number for number, _ in seen] == list(range(44, 301))
    assert [event["step"] for _, event in seen[:-1]] == list(range(45, 301))
    assert seen[-1][1]["event"] == "done"
