"""One task of a GAN sweep: trained here with every role as its own process, and read back as a record's figures."""

import base64
import shutil
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from coordinator.cli.training import train_here
from coordinator.gan_metrics import classifier_accuracies
from coordinator.local.attacks import AttackOptions
from coordinator.local.federation import LocalFederation
from coordinator.local.gan_attacks import attack_gans
from coordinator.report.events import Event, of_kind, read_events
from coordinator.report.run_record import read_run
from coordinator.run_store import RunRecord
from coordinator.sweeps.gan_tasks import GanTask
from coordinator.sweeps.orphans import end_orphans
from kernel.errors import BadInputError
from kernel.metrics.scores import proportion
from kernel.run_state import RunState

Figures = dict[str, Any]
_SAMPLES_A_CLASS = 2


def train_task(task: GanTask, runs: Path) -> Figures:
    """Train, evaluate and attack one task; goes on from a barrier where a killed sweep left one.

    What the roles kept (weights and optimizers of every model) is removed afterwards: `task_figures` has what a sweep tells.

    Raises:
      TertiumError: the run failed, in its own words.
    """
    run = f"{task.plan.name}-{task.key[:12]}"
    directory = runs / run
    roles = directory / "roles"
    end_orphans(directory)
    left = _left_over(directory)
    if left is not RunState.DONE:
        resume = left is RunState.PAUSED
        if not resume:
            shutil.rmtree(directory, ignore_errors=True)
        train_here(
            task.text,
            task.plan,
            run,
            runs,
            resume=resume,
            baseline=False,
            attacks=AttackOptions(effort="quick"),
            report=False,
            console=Console(quiet=True),
        )
    elif roles.is_dir() and not of_kind(read_events(directory / "events.jsonl"), "gan_attacks"):
        attack_gans(RunRecord.load(directory), LocalFederation(directory, task.plan))  # killed between the two
    figures = task_figures(directory)
    if roles.is_dir():
        shutil.rmtree(roles.rename(directory / "removed"))  # whole or not at all, as far as another start can see
    return figures


def task_figures(directory: Path) -> Figures:
    """``run``; ``accuracy``: source -> value, low, high, n, parties; ``membership``: whose scores -> party -> class or "pooled" -> accuracy, low,
    high, chance, auc, members; ``losses`` of the last epoch; ``rows``: party -> class -> training rows; ``bytes`` and
    ``seconds`` of training; ``samples``: some synthetic rows of every party.

    Raises:
      BadInputError: the run ended before its classifiers were tried.
    """
    run, events = read_run(directory), read_events(directory / "events.jsonl")
    accuracy = classifier_accuracies(events)
    if not accuracy:
        raise BadInputError(f"run {run.run} has no accuracy of a classifier; it ended before its rows were judged")
    losses = [event["losses"] for event in of_kind(events, "epoch") if "losses" in event]
    return {
        "run": run.run,
        "accuracy": accuracy,
        "membership": memberships(events),
        "losses": losses[-1] if losses else {},
        "rows": {event["party"]: event.get("classes", {}) for event in of_kind(events, "prepared")},
        "bytes": dict(run.payload_bytes),
        "rounds": run.rounds,
        "seconds": sum(run.epoch_seconds),
        "samples": samples(directory, events),
    }


def memberships(events: Sequence[Event]) -> Figures:
    """By whose scores, party and class, and pooled over classes: each party's own, and what a local run's attacks added."""
    found: dict[str, dict[str, Figures]] = {}
    for event in of_kind(events, "membership"):
        found.setdefault(event["by"], {})[event["party"]] = dict(event["classes"])
    for event in of_kind(events, "gan_attacks"):
        for by, parties in event["attacks"].get("membership", {}).items():
            for party, classes in parties.items():
                found.setdefault(by, {})[party] = dict(classes)
    for parties in found.values():
        for classes in parties.values():
            classes.setdefault("pooled", pooled(classes.values()))
    return found


def pooled(attacks: Iterable[Mapping[str, Any]]) -> Figures:
    """Over classes, weighted by members, with Wilson's interval over all of them."""
    found = list(attacks)
    members = sum(one["members"] for one in found)
    score = proportion(min(members, sum(one["accuracy"] * one["members"] for one in found)), members)

    def mean(key: str) -> float:
        return float(sum(one[key] * one["members"] for one in found) / members)

    return {
        "accuracy": score.value,
        "low": score.low,
        "high": score.high,
        "chance": mean("chance"),
        "auc": mean("auc"),
        "members": members,
    }


def samples(directory: Path, events: Sequence[Event]) -> Figures:
    """Party -> ``image`` [height, width], ``labels`` and ``values``: two rows a class of its last preview, compressed (`sample_rows`)."""
    found = {}
    for event in of_kind(events, "preview"):
        file = directory / event["file"]
        if not file.is_file():
            continue
        with np.load(file, allow_pickle=False) as arrays:
            values, labels, image = arrays["values"], arrays["labels"], arrays["image"]
        rows = np.concatenate([np.flatnonzero(labels == label)[:_SAMPLES_A_CLASS] for label in np.unique(labels)])
        levels = np.round(np.clip(values[rows], 0, 1) * 255).astype(np.uint8)
        found[event["party"]] = {
            "image": [int(side) for side in image],
            "labels": [int(label) for label in labels[rows]],
            "values": base64.b64encode(zlib.compress(levels.tobytes(), 9)).decode(),
        }
    return found


def sample_rows(sample: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The values of one of `samples`: float32[rows, columns] in [0, 1]."""
    levels = np.frombuffer(zlib.decompress(base64.b64decode(sample["values"])), np.uint8)
    return (levels.reshape(len(sample["labels"]), -1) / np.float32(255)).astype(np.float32)


def _left_over(directory: Path) -> RunState | None:
    """How far an earlier sweep came with this run; None where nothing was trained that a resumed run would not train again."""
    if not (directory / "plan.toml").exists():
        return None
    state = RunRecord.load(directory).state
    barriers = of_kind(read_events(directory / "events.jsonl"), "barrier")
    return state if state is RunState.DONE or any(event["barrier"] for event in barriers) else None
