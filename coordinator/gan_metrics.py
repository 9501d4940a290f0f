"""What `metrics.json` says of a GAN run: nets, the classifiers' accuracy, the attacks on discriminators."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from coordinator.gan_plan import GanPlan
from coordinator.run_store import Event
from kernel.metrics.scores import proportion


def gan_network(plan: GanPlan, events: Sequence[Event]) -> dict[str, Any]:
    """Nets and schedule; ``groups`` once the parties' counts have decided them."""
    schedules = _of(events, "schedule")
    return {
        **plan.nets.model_dump(mode="json"),
        "optimizer": "adam",
        "batch_rows": plan.batch_rows,
        "epochs": plan.epochs,
        "seed": plan.seed,
        "steps": plan.steps.policy,
        **({"groups": schedules[-1]["groups"]} if schedules else {}),
        **({"shared": _shared(plan)} if plan.shared is not None else {}),
    }


def gan_scores(events: Sequence[Event]) -> dict[str, Any]:
    """``accuracy.<source>``: of the classifiers trained on that source's rows; see `classifier_accuracies`."""
    return {
        f"accuracy.{source}": {name: found[name] for name in ("value", "low", "high", "n")}
        for source, found in classifier_accuracies(events).items()
    }


def classifier_accuracies(events: Iterable[Event]) -> dict[str, dict[str, Any]]:
    """Source -> ``value``, ``low``, ``high``, ``n`` of the classifiers trained on its rows, and ``parties``: the value at each.

    The value is a mean over parties, weighted by held-out rows. Parties may hold out the same rows (the published test rows of
    a benchmark), and the same classifier scored on them twice is no second trial: the interval is that of the most rows that
    one party tried, as wide as it must be then and wider than it need be where every party holds out its own.
    """
    tried: dict[str, dict[str, Any]] = {}
    for event in _of(events, "classifier"):  # one that was tried again after a resume counts as it was last
        tried.setdefault(event["source"], {})[event["party"]] = event["accuracy"]
    return {source: _over_parties(by_party) for source, by_party in tried.items()}


def gan_attacks(events: Sequence[Event]) -> dict[str, Any]:
    """``membership``: by whose scores -> party -> class, each party's own discriminators or all; and what a local run added."""
    own = {event["party"]: event["classes"] for event in _of(events, "membership") if event["by"] == "own"}
    local = _of(events, "gan_attacks")
    added = dict(local[-1]["attacks"]) if local else {}
    membership = {**({"own": own} if own else {}), **added.pop("membership", {})}
    return {**({"membership": membership} if membership else {}), **added}


def _shared(plan: GanPlan) -> dict[str, Any]:
    described = {} if plan.shared is None else plan.shared.model_dump(mode="json")
    return {**described, "discriminator": list(plan.shared_widths)}


def _over_parties(accuracies: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    rows, most = sum(one["n"] for one in accuracies.values()), max(one["n"] for one in accuracies.values())
    value = sum(one["value"] * one["n"] for one in accuracies.values()) / rows
    return {
        **asdict(proportion(min(most, value * most), most)),
        "parties": {party: one["value"] for party, one in accuracies.items()},
    }


def _of(events: Iterable[Event], kind: str) -> list[Event]:
    return [event for event in events if event["event"] == kind]
