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

Attacks = dict[str, dict[str, dict[int, Membership]]]
"""By whose scores -> party -> class."""
Histograms = dict[str, list[int]]


def attack_gans(files: GanFiles, out: Path) -> None:
    """Attack and write ``{barrier, seconds, attacks, histograms}`` to ``out``.

    ``attacks`` is ``{membership: {by: {party: {label: attack}}}, membership_pooled: {by: {party: attack}},
    membership_controls: {control: {party: {label: attack}}}}``; an attack is the fields of `Membership`, ``by`` names the scores
    (party/assessment/gan_membership.py), a control is "overfitted" or "noise", and pooled are both. Scores are absent where
    their nets are: ``max`` and ``mean`` with one party's discriminator alone, ``shared_…`` without a shared discriminator.

    ``histograms`` is ``{party: {label: {"train" | "holdout" | "other": [50 counts]}}}``: the scores that the party's own
    discriminator gives the attacked members, its held-out rows, and members of all other parties.

    Raises:
      BadInputError: no party has a class with a discriminator and rows held out.
    """
    started = time.perf_counter()
    attacks: Attacks = {}
    controls: Attacks = {}
    histograms: dict[str, dict[str, Histograms]] = {}
    for place, party in enumerate(files.parties):
        for number, label in enumerate(label for label in sorted(party.states) if len(party.rows.holdout[label])):
            members, others = _members(files, party, label), party.rows.holdout[label]
            scores = _scores(files, place, label, np.concatenate([members, others]))
            for by, one in scores.items():
                _put(attacks, by, party.name, label, membership(one[: len(members)], one[len(members) :]))
            _put(controls, "noise", party.name, label, noise(len(members), len(others), files.spec.seed, label))
            if number < CONTROL_CLASSES and len(others) > 1:
                found = overfitted(files.spec, files.image, members, others, label)
                _put(controls, "overfitted", party.name, label, found)
            drawn = _histograms(files, party, label, scores["own"], len(members))
            histograms.setdefault(party.name, {})[str(label)] = drawn
    if not attacks:
        raise BadInputError(
            "no party has both a trained discriminator and held-out rows of a class; train the run first"
        )
    document = {
        "barrier": files.barrier,
        "attacks": {
            "membership": _documents(attacks),
            "membership_pooled": {
                by: {name: asdict(pooled(list(classes.values()))) for name, classes in parties.items()}
                for by, parties in (attacks | controls).items()
            },
            "membership_controls": _documents(controls),
        },
        "histograms": histograms,
        "seconds": time.perf_counter() - started,
    }
    write_durably(out, json.dumps(document).encode())


def _members(files: GanFiles, party: PartyGans, label: int) -> NDArray[np.float32]:
    """The training rows that are attacked: those that the party itself attacks at the end of a run."""
    rows = party.rows.train[label]
    return rows[draw_members(len(rows), files.spec.evaluation.members, files.spec.seed, label)]


def _scores(files: GanFiles, place: int, label: int, rows: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    by_party = {name: net.real(rows) for name, net in files.discriminators(label).items()}
    found = {"own": by_party[files.parties[place].name]}
    if len(by_party) > 1:
        all_parties = list(by_party.values())
        found |= {"max": combine(all_parties, "max"), "mean": combine(all_parties, "mean")}
    if (shared := files.shared_discriminator(label)) is not None:
        found |= shared_scores(shared.origins(rows), place)
    return found


def _histograms(files: GanFiles, party: PartyGans, label: int, own: NDArray[np.float64], members: int) -> Histograms:
    found = {"train": score_histogram(own[:members]), "holdout": score_histogram(own[members:])}
    others = [
        _members(files, one, label) for one in files.parties if one is not party and len(one.rows.train.get(label, ()))
    ]
    if others:
        found["other"] = score_histogram(files.discriminators(label)[party.name].real(np.concatenate(others)))
    return found


def _put(attacks: Attacks, by: str, party: str, label: int, found: Membership) -> None:
    attacks.setdefault(by, {}).setdefault(party, {})[label] = found


def _documents(attacks: Attacks) -> Mapping[str, Any]:
    return {
        by: {name: {str(label): asdict(one) for label, one in classes.items()} for name, classes in parties.items()}
        for by, parties in attacks.items()
    }
