"""TensorBoard reads back what was written, and TensorFlow was never imported."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from coordinator.report.tensorboard_log import write_tensorboard

# The reader would import TensorFlow by itself; its own switch (the notf module) keeps this test at a second.
SCRIPT = """
import json, sys, types
from pathlib import Path
from coordinator.report.tensorboard_log import write_tensorboard
written = write_tensorboard(Path(sys.argv[1]))
assert "tensorflow" not in sys.modules, "TensorFlow was imported"
sys.modules["tensorboard.compat.notf"] = types.ModuleType("notf")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
found = {}
for path in written:
    reader = EventAccumulator(str(path.parent))
    reader.Reload()
    found[path.parent.name] = {
        tag: [(point.wall_time, point.step, point.value) for point in reader.Scalars(tag)]
        for tag in reader.Tags()["scalars"]
    }
json.dump(found, sys.stdout)
"""


def test_scalars_are_read_back_without_tensorflow(sample_run: Path, sample_events: list[dict[str, Any]]) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(sample_run)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    split, plain = found["split"], found["plain"]
    assert set(split) == {"loss/epoch", "seconds/epoch", "bytes/epoch", "scores/auc"}
    logged = [event for event in sample_events if event["event"] == "epoch"]
    assert [step for _, step, _ in split["loss/epoch"]] == list(range(1, 13))
    for (wall_time, _, value), event in zip(split["loss/epoch"], logged, strict=True):
        assert abs(value - event["loss"]) < 1e-6
        assert wall_time > 1.7e9
    assert split["bytes/epoch"][0][2] == 7_300_000 + 7_290_000 + 9_120_000
    assert [step for _, step, _ in split["scores/auc"]] == [4, 8, 12]
    assert len(plain["loss/epoch"]) == 12
    assert plain["scores/auc"][0][1] == 12


def test_a_second_call_replaces_the_files(sample_run: Path) -> None:
    first = {path: path.read_bytes() for path in write_tensorboard(sample_run)}
    second = {path: path.read_bytes() for path in write_tensorboard(sample_run)}
    assert first == second
    assert len(list((sample_run / "tensorboard").rglob("*tfevents*"))) == 2


def test_a_run_without_epochs_writes_nothing(write_run: Any) -> None:
    directory = write_run([{"event": "submitted"}])
    assert write_tensorboard(directory) == ()
    assert not (directory / "tensorboard").exists()
