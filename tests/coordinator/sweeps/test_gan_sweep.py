"""A GAN sweep notes every task once, goes on where it was killed, and past a task that fails; what it reads from a run, by hand."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gan_sweep_files import made_figures, small_sweep

from coordinator.gan_metrics import classifier_accuracies
from coordinator.sweeps.gan_run import memberships, sample_rows, task_figures
from coordinator.sweeps.gan_sweep import (
    ASSUMED_EVALUATION,
    LOG_NAME,
    SWEEP,
    done_keys,
    expected_seconds,
    run_sweep,
    sweep_log,
)
from coordinator.sweeps.gan_tasks import gan_tasks
from kernel.errors import BadInputError, TertiumError

SECONDS = 60.0
KILLED = """
import sys
sys.path.insert(0, {folder!r})
from pathlib import Path
from gan_sweep_files import made_figures, small_sweep
from coordinator.sweeps.gan_sweep import run_sweep
from coordinator.sweeps.gan_tasks import gan_tasks
trained = 0
def train(task, runs):
    global trained
    trained += 1
    if trained == 3:
        print("third", flush=True)
        sys.stdin.read()
    return made_figures(task)
sweep = small_sweep()
list(run_sweep(sweep, gan_tasks(sweep), Path("runs"), Path({out!r}), train))
"""


class Runner:
    """Trains nothing, and keeps the keys it was asked for."""

    def __init__(self, fails=()):
        self.keys, self.fails = [], fails

    def __call__(self, task, runs):
        self.keys.append(task.key)
        if task.key in self.fails:
            raise TertiumError("the loss is not finite; lower nets.learning_rate")
        return made_figures(task)


def test_a_sweep_that_is_killed_goes_on_where_it_stopped(tmp_path: Path):
    script = KILLED.format(folder=str(Path(__file__).parent), out=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        words = child.stdout.readline() if child.stdout else b""
        assert words == b"third\n"  # two tasks are noted, the third is under way
        child.send_signal(signal.SIGKILL)
        child.wait(SECONDS)
    sweep, runner = small_sweep(), Runner()
    tasks = gan_tasks(sweep)
    with (tmp_path / LOG_NAME).open("a") as log:
        log.write('{"bench": "gan_sw')  # as a kill within a write would leave it
    ended = list(run_sweep(sweep, tasks, tmp_path, tmp_path, runner))
    assert runner.keys == [task.key for task in tasks[2:]]
    assert [one.number for one in ended] == list(range(1, len(tasks) - 1))
    assert [record["key"] for record in sweep_log(tmp_path).records(SWEEP)] == [task.key for task in tasks]
    assert list(run_sweep(sweep, tasks, tmp_path, tmp_path, runner)) == []


def test_a_task_that_fails_is_noted_and_tried_again(tmp_path: Path):
    sweep = small_sweep()
    tasks = gan_tasks(sweep)
    bad = tasks[1].key
    ended = list(run_sweep(sweep, tasks, tmp_path, tmp_path, Runner(fails=(bad,))))
    assert len(ended) == len(tasks)
    assert [one.failed for one in ended if one.failed] == ["the loss is not finite; lower nets.learning_rate"]
    records = sweep_log(tmp_path).records(SWEEP)
    assert [record["key"] for record in records if "failed" in record] == [bad]
    assert bad not in done_keys(records)
    again = Runner()
    list(run_sweep(sweep, tasks, tmp_path, tmp_path, again))
    assert again.keys == [bad]
    assert done_keys(sweep_log(tmp_path).records(SWEEP)) == {task.key for task in tasks}


def test_a_record_says_what_was_trained_with_what(tmp_path: Path):
    sweep = small_sweep()
    task = gan_tasks(sweep)[0]
    list(run_sweep(sweep, [task], tmp_path, tmp_path, Runner()))
    (record,) = sweep_log(tmp_path).records(SWEEP)
    assert record["setting"] == {"method": "privgan", "fractions": [0.5, 0.5], "weight": 1.0, "skew": 0.0, "seed": 1}
    assert {"plan_hash", "versions", "machine", "time", "accuracy", "membership", "task_seconds"} <= record.keys()
    assert record["sweep"]["training"]["steps_per_epoch"] == 5


def test_the_expected_time_comes_from_what_was_measured():
    task = gan_tasks(small_sweep())[0]
    cost = task.multiplications
    records = [
        {"seconds": seconds, "task_seconds": seconds + beside, "multiplications": cost / 2}
        for seconds, beside in ((1.0, 10.0), (2.0, 30.0), (9.0, 20.0))
    ]
    assert expected_seconds(task, [*records, {"failed": "x", "task_seconds": 99.0}]) == pytest.approx(2 * 2.0 + 20.0)
    assert expected_seconds(task, []) == pytest.approx(ASSUMED_EVALUATION, abs=0.1)


def attack(accuracy, members, chance):
    return {
        "accuracy": accuracy,
        "low": 0,
        "high": 1,
        "chance": chance,
        "auc": 0.5,
        "members": members,
        "non_members": 90,
    }


def events_by_hand():
    accuracy = {"value": 0.8, "low": 0.7, "high": 0.9, "n": 50}
    return [
        {"event": "prepared", "party": "party-a", "classes": {"0": 5, "1": 7}},
        {"event": "epoch", "epoch": 1, "seconds": 1.0, "bytes": {"x>y": 9}, "rounds": 2, "losses": {"party-a": {}}},
        {"event": "epoch", "epoch": 2, "seconds": 2.5, "bytes": {"x>y": 9}, "rounds": 2, "losses": {"party-a": {"g": {"0": 0.7}}}},
        {"event": "preview", "epoch": 2, "party": "party-a", "file": "samples/a.npz", "rows": 6, "classes": [0, 1]},
        {"event": "classifier", "source": "all", "party": "party-a", "accuracy": accuracy},
        {"event": "classifier", "source": "all", "party": "party-b", "accuracy": {**accuracy, "value": 0.6}},
        {"event": "membership", "party": "party-a", "by": "own", "classes": {"0": attack(0.5, 10, 0.1), "1": attack(0.2, 30, 0.25)}},
        {"event": "gan_attacks", "attacks": {"membership": {"max": {"party-a": {"0": attack(0.4, 10, 0.1)}}}}},
    ]  # fmt: skip


def test_accuracies_are_means_over_parties_with_the_interval_of_one():
    found = classifier_accuracies(events_by_hand())["all"]
    assert found["value"] == pytest.approx(0.7)
    assert (found["n"], found["parties"]) == (50, {"party-a": 0.8, "party-b": 0.6})
    assert found["low"] == pytest.approx(0.562, abs=5e-4)  # Wilson, 35 of 50
    assert found["high"] == pytest.approx(0.809, abs=5e-4)


def test_attacks_are_pooled_by_members():
    found = memberships(events_by_hand())
    pooled = found["own"]["party-a"]["pooled"]
    assert pooled["accuracy"] == pytest.approx((0.5 * 10 + 0.2 * 30) / 40)
    assert pooled["chance"] == pytest.approx((0.1 * 10 + 0.25 * 30) / 40)
    assert pooled["members"] == 40
    assert found["max"]["party-a"]["pooled"]["accuracy"] == pytest.approx(0.4)


def test_the_figures_of_a_run_directory(tmp_path: Path):
    lines = [json.dumps({"time": "2026-01-01T00:00:00.000+00:00", "run": "r", **event}) for event in events_by_hand()]
    (tmp_path / "events.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "samples").mkdir()
    values = np.linspace(0, 1, 24, dtype=np.float32).reshape(6, 4)
    labels = np.array([1, 0, 0, 0, 1, 1])
    np.savez(tmp_path / "samples/a.npz", values=values, labels=labels, image=np.array([2, 2]))
    found = task_figures(tmp_path)
    assert (found["seconds"], found["bytes"], found["rounds"]) == (3.5, {"x>y": 18}, 4)
    assert found["losses"] == {"party-a": {"g": {"0": 0.7}}}
    assert found["rows"] == {"party-a": {"0": 5, "1": 7}}
    sample = found["samples"]["party-a"]
    assert (sample["labels"], sample["image"]) == ([0, 0, 1, 1], [2, 2])
    assert np.abs(sample_rows(sample) - values[[1, 2, 0, 4]]).max() <= 0.5 / 255 + 1e-6
    (tmp_path / "events.jsonl").write_text(lines[0] + "\n", encoding="utf-8")
    with pytest.raises(BadInputError, match="has no accuracy of a classifier"):
        task_figures(tmp_path)


def test_a_task_that_another_size_has_trained_is_taken_over(tmp_path: Path):
    whole, tiny = small_sweep(), small_sweep("tiny")
    list(run_sweep(whole, gan_tasks(whole), tmp_path, tmp_path, Runner()))
    common = {task.key for task in gan_tasks(whole)} & {task.key for task in gan_tasks(tiny)}
    assert len(common) == 2  # GANs with the paper's steps, whose epochs the size leaves alone
    runner = Runner()
    list(run_sweep(tiny, gan_tasks(tiny), tmp_path, tmp_path, runner))
    assert set(runner.keys) == {task.key for task in gan_tasks(tiny)} - common
    records = [record for record in sweep_log(tmp_path).records(SWEEP) if record["sweep"]["size"] == "tiny"]
    assert {record["key"] for record in records} == {task.key for task in gan_tasks(tiny)}
    list(run_sweep(tiny, gan_tasks(tiny), tmp_path, tmp_path, runner))
    assert len([one for one in sweep_log(tmp_path).records(SWEEP) if one["sweep"]["size"] == "tiny"]) == len(records)
