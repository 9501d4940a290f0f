"""`metrics.json`: the numbers of a run, gathered from its events (keys as fixed in DESIGN.md, section 10)."""

import json
import platform
from collections import Counter
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any

from coordinator.run_store import Event, RunRecord
from kernel.durable import write_durably
from kernel.gaussian_accounting import local_privacy
from kernel.plan_message import plan_hash
from kernel.protection import ProtectionSpec
from kernel.run_state import RunState
from kernel.version import VERSION

_LIBRARIES = ("numpy", "grpcio", "protobuf", "tensorflow", "tensorflow-cpu")


def metrics_of(record: RunRecord) -> dict[str, Any]:
    """The document for what has happened so far."""
    plan = record.plan
    epochs = {event["epoch"]: event for event in _of(record, "epoch")}  # the last time an epoch was trained counts
    links: Counter[str] = Counter()
    relayed: Counter[str] = Counter()
    for event in _of(record, "traffic"):
        links.update(event["bytes"])
        relayed.update(event["relayed_bytes"])
    document: dict[str, Any] = {
        "run": record.run,
        "job": plan.job,
        "plan_hash": plan_hash(plan.message()).hex(),
        "protocol": plan.first_layer.protocol,
        "versions": versions(),
        "parties": [party.name for party in plan.parties],
        "network": {
            "widths": list(plan.network.widths),
            "activations": list(plan.network.activations),
            "loss": plan.network.loss,
            "outputs": plan.network.outputs,
            "optimizer": plan.optimizer.name,
            "learning_rate": plan.optimizer.learning_rate,
            "batch_rows": plan.batch_rows,
            "epochs": plan.epochs,
            "seed": plan.seed,
            "ring_bits": plan.first_layer.ring[0],
            "fractional_bits": plan.first_layer.ring[1],
        },
        "seconds": {
            "epoch": [event["seconds"] for event in epochs.values()],
            "total": sum(event["seconds"] for event in epochs.values()),
        },
        "bytes": dict(sorted(links.items())),
        "rounds": sum(event["rounds"] for event in epochs.values()),
    }
    if epochs:
        document["epoch_bytes"] = next(reversed(epochs.values()))["bytes"]
    if relayed:
        document["relayed_bytes"] = dict(sorted(relayed.items()))
    evaluated = _of(record, "evaluated")
    if evaluated:
        document["scores"] = evaluated[-1]["scores"]
    baseline = _of(record, "baseline")
    if baseline:
        plain = baseline[-1]
        document["baseline"] = {
            "scores": plain["scores"],
            "seconds": {"keras_fit": plain["keras_fit_seconds"], "tf_function": plain["tf_function_seconds"]},
        }
        epoch_seconds = median(document["seconds"]["epoch"])
        document["ratio"] = {
            "keras_fit": epoch_seconds / median(plain["keras_fit_seconds"]),
            "tf_function": epoch_seconds / median(plain["tf_function_seconds"]),
        }
    attacked = _of(record, "attacks")
    if attacked:
        document["privacy"] = {"attacks": attacked[-1]["attacks"]}
    if epochs and plan.protection.z1_noise:
        document.setdefault("privacy", {})["local_dp"] = _local_dp(
            plan.protection.spec, _releases(record), defended=plan.defender is not None
        )
    return document


def _releases(record: RunRecord) -> int:
    """How often a training row's z1 may have been sent: every epoch that was trained, again after a resume too, and one
    for each generation that ended, or is, on the way through one: counted too often rather than too seldom. All epochs
    with a frozen first layer send the same (party/first_layer/row_noise.py) and count as one."""
    trains = record.plan.protection.spec.trains_first_layer
    epochs = [event["epoch"] for event in _of(record, "epoch")]
    moving = sum(trains(epoch) for epoch in epochs)
    unfinished = len(_of(record, "resumed")) + (record.state is not RunState.DONE)
    return moving + (moving < len(epochs)) + unfinished


def _local_dp(protection: ProtectionSpec, releases: int, *, defended: bool) -> dict[str, Any]:
    """What each party's noise gives each of its training rows (keys as fixed for `privacy.local_dp`)."""
    found = local_privacy(protection.z1_noise, protection.row_norm, protection.weight_norm, releases)
    given = "first-layer weights and row encoding, which are trained from the rows without noise"
    if defended:
        given += (
            "; and not counting the sum of the defenders' gradients, which the neutral server decodes and into which a "
            "training row enters without noise"
        )
    return {**asdict(found), "given": given}


def write_metrics(record: RunRecord) -> None:
    write_durably(record.directory / "metrics.json", json.dumps(metrics_of(record), indent=2).encode() + b"\n")


def versions() -> dict[str, str]:
    """Of Tertium, Python and the libraries that compute, as installed here."""
    found = {"tertium": VERSION, "python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def _of(record: RunRecord, kind: str) -> list[Event]:
    return [event for event in record.events if event["event"] == kind]
