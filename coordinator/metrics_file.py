"""`metrics.json`: the numbers of a run, gathered from its events (keys as fixed in DESIGN.md, section 10)."""

import json
import math
import platform
from collections import Counter
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any

from coordinator.gan_metrics import gan_attacks, gan_network, gan_scores
from coordinator.job_plan import protocol_of
from coordinator.plan import Plan
from coordinator.run_store import Event, RunRecord
from kernel.durable import write_durably
from kernel.gaussian_accounting import local_privacy
from kernel.plan_message import plan_hash
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
        "protocol": protocol_of(plan),
        "versions": versions(),
        "parties": [party.name for party in plan.parties],
        "network": _split_network(plan) if isinstance(plan, Plan) else gan_network(plan, record.events),
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
    scores = _split_scores(record) if isinstance(plan, Plan) else gan_scores(record.events)
    if scores:
        document["scores"] = scores
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
    attacks = _split_attacks(record) if isinstance(plan, Plan) else gan_attacks(record.events)
    if attacks:
        document["privacy"] = {"attacks": attacks}
    if isinstance(plan, Plan) and plan.protection.z1_noise and (epochs or _of(record, "generation")):
        document.setdefault("privacy", {})["local_dp"] = _local_dp(record, plan)
    return document


def _split_network(plan: Plan) -> dict[str, Any]:
    return {
        "widths": list(plan.network.widths),
        "activations": list(plan.network.activations),
        "loss": plan.network.loss,
        "outputs": plan.network.outputs,
        "optimizer": plan.optimizer.name,
        "learning_rate": plan.optimizer.learning_rate,
        "batch_rows": plan.batch_rows,
        "epochs": plan.epochs,
        "seed": plan.seed,
        "ring_bits": plan.ring[0],
        "fractional_bits": plan.ring[1],
        **_mitigations(plan),
    }


def _split_scores(record: RunRecord) -> dict[str, Any]:
    evaluated = _of(record, "evaluated")
    return dict(evaluated[-1]["scores"]) if evaluated else {}


def _split_attacks(record: RunRecord) -> dict[str, Any]:
    attacked = _of(record, "attacks")
    return dict(attacked[-1]["attacks"]) if attacked else {}


def _mitigations(plan: Plan) -> dict[str, Any]:
    """The plan's [defender] and [protection] as they took effect, each only where it is on."""
    found: dict[str, Any] = {}
    if plan.defender is not None:
        found["defender"] = plan.defender.model_dump(mode="json")
    if plan.protection.message() is not None:
        found["protection"] = plan.protection.model_dump(mode="json", exclude_defaults=True)
        if plan.protection.label_gradient == "marvell":
            found["protection"]["marvell_power"] = plan.protection.marvell_power
    return found


def _releases(record: RunRecord, plan: Plan) -> int:
    """How often a training row's z1 may have been sent in training: every epoch that was trained, again after a resume too,
    and one for each generation that ended, or is, on the way through one: counted too often rather than too seldom. All epochs
    with a frozen first layer send the same (party/first_layer/row_noise.py) and count as one."""
    epochs = [event["epoch"] for event in _of(record, "epoch")]
    unfinished = len(_of(record, "resumed")) + (record.state is not RunState.DONE)
    return plan.protection.spec.releases(epochs) + unfinished


def _local_dp(record: RunRecord, plan: Plan) -> dict[str, Any]:
    """What one party's noise gives a training row (its own part of it where rows and weights are bounded, the whole row where z is
    proved on shares), and what all parties' noise gives the whole row (keys as fixed for `privacy.local_dp`)."""
    releases = _releases(record, plan)
    protection, parties = plan.protection.spec, len(plan.parties)
    reach = protection.reach(plan.network.widths[0])
    found = local_privacy(protection.z1_noise, reach, releases)
    together = protection.z1_noise * math.sqrt(parties)  # standard deviation of all parties' noise
    if protection.bounded:  # all n parts change: n times the move of one
        whole = local_privacy(together, parties * reach, releases, found.delta).epsilon
        part = (
            f"one party's part of a row (if the row changes at all {parties} parties, epsilon is {whole:.3g}, and rests on all of "
            "them adding their noise)"
        )
    else:
        whole = local_privacy(together, reach, releases, found.delta).epsilon
        part = (
            f"the noise of one party alone, for the whole row (where all {parties} add theirs, epsilon is {whole:.3g})"
        )
    given = [
        "the weights up to the cut and the row encoding, which are trained from the rows without noise"
        if protection.cut_interval
        else "first-layer weights and row encoding, which are trained from the rows without noise",
        part,
        "this run's training alone: every prediction on such a row and every other run over it adds a release that is "
        "not counted here",
    ]
    if predicted := len(_of(record, "predicted")):
        given[-1] += f" ({predicted} prediction{'s were' if predicted > 1 else ' was'} made with this run)"
    if protection.cut_interval:
        given.append(
            "that every proof of z passed: that a run stops at a range tells of the row that left it, and is not counted"
        )
    if plan.defender is not None:
        given.append(
            "and not counting the sum of the defenders' gradients, which the neutral server decodes and into which a "
            "training row enters without noise"
        )
    where = {"layer": len(plan.secret_layers) + 1, "whole_row": not protection.bounded}
    return {**asdict(found), **where, "epsilon_all_parties": whole, "given": "; ".join(given)}


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
