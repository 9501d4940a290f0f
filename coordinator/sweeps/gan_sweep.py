"""`tertium sweep`: the tasks of a GAN sweep, one after the other, each noted when it is done; killed, it goes on where it stopped."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from coordinator.gan_plan import GanPlan
from coordinator.sweeps.bench_log import BenchLog, Record
from coordinator.sweeps.gan_run import train_task
from coordinator.sweeps.gan_sweep_file import GanSweep
from coordinator.sweeps.gan_tasks import GanTask
from kernel.errors import TertiumError

SWEEP = "gan_sweep"
LOG_NAME = "sweep.jsonl"
ASSUMED_RATE = 6e10
"""Multiply-adds a second, before any task was measured here: of two cores with wide vectors, wide nets."""
ASSUMED_EVALUATION = 90.0
"""Seconds of a task beside its training: roles start, four classifiers learn, discriminators are attacked."""

Runner = Callable[[GanTask, Path], dict[str, Any]]
"""Trains a task below a directory and returns its figures; `train_task`, but for tests."""


@dataclass(frozen=True)
class Progress:
    """A task that has ended: ``failed`` is its sentence, or empty."""

    number: int
    tasks: int
    task: GanTask
    seconds: float
    failed: str


def sweep_log(out: Path) -> BenchLog:
    return BenchLog(out, LOG_NAME)


def done_keys(records: Sequence[Record]) -> set[str]:
    """Keys of the tasks that need not be trained again; one that failed may be mended and is tried anew."""
    return {record["key"] for record in records if "failed" not in record}


def run_sweep(
    sweep: GanSweep, tasks: Sequence[GanTask], runs: Path, out: Path, train: Runner = train_task
) -> Iterator[Progress]:
    """Train what ``<out>/sweep.jsonl`` does not have yet, in order; one record a task, durable before the next begins.

    A record: ``key``, ``setting`` (method, fractions, weight, skew, seed), ``sweep`` (`description`), ``multiplications``,
    ``task_seconds``; and what `train_task` returns, or ``failed``: the sentence of a task that could not be trained. The others
    go on.
    """
    log = sweep_log(out)
    log.mend()
    records = log.records(SWEEP)
    done = done_keys(records)
    for task in tasks:
        _take_over(task, description(sweep, task.plan), records, log)
    left = [task for task in tasks if task.key not in done]
    for number, task in enumerate(left, 1):
        started = time.monotonic()
        try:
            figures, failed = train(task, runs), ""
        except TertiumError as error:
            figures, failed = {"failed": str(error)}, str(error)
        seconds = time.monotonic() - started
        described = {
            "key": task.key,
            "setting": asdict(task.setting),
            "sweep": description(sweep, task.plan),
            "multiplications": task.multiplications,
            "task_seconds": round(seconds, 3),
        }
        log.append(SWEEP, described | figures, task.plan)
        yield Progress(number, len(left), task, seconds, failed)


def _take_over(task: GanTask, described: dict[str, Any], records: Sequence[Record], log: BenchLog) -> None:
    """Note a task that the same log has from a sweep of other settings, which do not change it, for this one too."""
    same = [record for record in records if record["key"] == task.key and "failed" not in record]
    if same and all(record["sweep"] != described for record in same):
        log.repeat(same[-1] | {"sweep": described, "setting": asdict(task.setting)})


def description(sweep: GanSweep, plan: GanPlan) -> dict[str, Any]:
    """What must be equal for records to stand in one figure, and what a page says of it: all of the sweep but its axes."""
    return {
        "name": sweep.name,
        "size": sweep.size,
        "about": sweep.about,
        "source": str(sweep.data.table.get("source", "")),
        "rows": sweep.data.rows,
        "classes": list(sweep.data.classes),
        "weight": sweep.shared.weight,
        "weights_fraction": sweep.axes.weights_fraction,
        "skews_fraction": sweep.axes.skews_fraction,
        "mirrored": sweep.axes.mirrored,
        "mode": sweep.shared.mode,
        "data": sweep.data.model_dump(mode="json"),
        "shared": sweep.shared.model_dump(mode="json"),
        "training": sweep.training.model_dump(mode="json"),
        "nets": plan.nets.model_dump(mode="json"),
        "evaluation": sweep.evaluation.model_dump(mode="json"),
    }


def expected_seconds(task: GanTask, records: Sequence[Record]) -> float:
    """Of a task: training by its multiply-adds, and all else (start, classifiers, attacks) as it was, both as medians of the tasks
    that were trained here; before any, by `ASSUMED_RATE` and `ASSUMED_EVALUATION`."""
    trained = [record for record in records if "failed" not in record]
    if not trained:
        return task.multiplications / ASSUMED_RATE + ASSUMED_EVALUATION
    each = median(record["seconds"] / record["multiplications"] for record in trained)
    beside = median(record["task_seconds"] - record["seconds"] for record in trained)
    return float(task.multiplications * each + beside)
