"""Membership attacks on one run's discriminators, by somebody who has all of them and every party's rows."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.durable import write_durably
from kernel.errors import BadInputError
from party.assessment.gan_controls import noise, overfitted
from party.assessment.gan_files import GanFiles, PartyGans
from party.assessment.gan_membership import (
    Membership,
    combine,
    draw_members,
    membership,
    pooled,
    score_histogram,
    shared_scores,
)

CONTROL_CLASSES = 3
"""For so many classes of a party a discriminator is overfitted: with wide nets it costs as much as some epochs."""

Attacks = dict[int, dict[str, Membership]]


def attack_gans(files: GanFiles, out: Path) -> None:
    """Attack and write to ``out``:

    ``{barrier, seconds, parties: {party: {classes: {label: {by: {"own": {accuracy, low, high, chance, auc, members,
    non_members}, …}}}, pooled: {by}, controls: {"overfitted" | "noise": {classes, pooled: {…}}}}}, histograms: {party: {label:
    {"train" | "holdout" | "other": [50 counts]}}}}``

    ``by`` names the scores (party/assessment/gan_membership.py); a score is absent where its nets are: ``max`` and ``mean`` with
    one party's discriminator alone, ``shared_…`` without a shared discriminator. Histograms are of the party's own
    discriminator, of the attacked members, of its held-out rows, and of members of all other parties.

    Raises:
      BadInputError: no party has a class with a discriminator and rows held out.
    """
    started = time.perf_counter()
    document: dict[str, Any] = {"barrier": files.barrier, "parties": {}, "histograms": {}}
    for place, party in enumerate(files.parties):
        attacks: Attacks = {}
        controls: Attacks = {}
        histograms: dict[str, dict[str, list[int]]] = {}
        for label in sorted(party.states):
            members, others = _members(files, party, label), party.rows.holdout[label]
            if not len(others):
                continue
            scored = _scores(files, place, label, np.concatenate([members, others]))
            attacks[label] = {by: membership(one[: len(members)], one[len(members) :]) for by, one in scored.items()}
            histograms[str(label)] = _histograms(files, party, label, scored["own"], len(members))
            controls[label] = {"noise": noise(len(members), len(others), files.spec.seed, label)}
            if len(controls) <= CONTROL_CLASSES and (
                found := overfitted(files.spec, files.image, members, others, label)
            ):
                controls[label]["overfitted"] = found
        if attacks:
            document["parties"][party.name] = _attacked(attacks) | {"controls": _by_kind(controls)}
            document["histograms"][party.name] = histograms
    if not document["parties"]:
        raise BadInputError(
            "no party has both a trained discriminator and held-out rows of a class; train the run first"
        )
    document["seconds"] = time.perf_counter() - started
    write_durably(out, json.dumps(document).encode())


def _members(files: GanFiles, party: PartyGans, label: int) -> NDArray[np.float32]:
    """The training rows that are attacked: those that the party itself attacks at the end of a run."""
    rows = party.rows.train[label]
    return rows[draw_members(len(rows), files.spec.evaluation.members, files.spec.seed, label)]


def _scores(files: GanFiles, place: int, label: int, rows: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    by_party = {name: net.real(rows) for name, net in files.discriminators(label).items()}
    found = {"own": by_party[files.parties[place].name]}
    if len(by_party) > 1:
        found |= {"max": combine(list(by_party.values()), "max"), "mean": combine(list(by_party.values()), "mean")}
    if (shared := files.shared_discriminator(label)) is not None:
        found |= shared_scores(shared.origins(rows), place)
    return found


def _histograms(
    files: GanFiles, party: PartyGans, label: int, own: NDArray[np.float64], members: int
) -> dict[str, list[int]]:
    found = {"train": score_histogram(own[:members]), "holdout": score_histogram(own[members:])}
    elsewhere = [
        _members(files, one, label) for one in files.parties if one is not party and len(one.rows.train.get(label, ()))
    ]
    if elsewhere:
        found["other"] = score_histogram(files.discriminators(label)[party.name].real(np.concatenate(elsewhere)))
    return found


def _attacked(attacks: Attacks) -> dict[str, Any]:
    """Of classes and pooled over those that have a score."""
    return {
        "classes": {str(label): {"by": _documents(scores)} for label, scores in attacks.items()},
        "pooled": {"by": _documents({by: pooled(list(_having(attacks, by).values())) for by in _names(attacks)})},
    }


def _by_kind(controls: Attacks) -> dict[str, Any]:
    found = {}
    for kind in _names(controls):
        having = _having(controls, kind)
        found[kind] = {
            "classes": {str(label): asdict(one) for label, one in having.items()},
            "pooled": asdict(pooled(list(having.values()))),
        }
    return found


def _names(attacks: Attacks) -> list[str]:
    return list(dict.fromkeys(name for scores in attacks.values() for name in scores))


def _having(attacks: Attacks, name: str) -> dict[int, Membership]:
    return {label: scores[name] for label, scores in attacks.items() if name in scores}


def _documents(scores: Mapping[str, Membership]) -> dict[str, Any]:
    return {by: asdict(one) for by, one in scores.items()}
