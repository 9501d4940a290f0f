"""Scores of a GAN run that need real rows: computed where these are, and each a release about them."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kernel.errors import RowsError
from kernel.gan.schedule import Group
from kernel.gan.spec import classifier_name
from party.assessment.gan_classifier import classifier_accuracy
from party.assessment.gan_membership import draw_members, membership, score_histogram
from party.gan.evaluation_limits import FEWEST_ATTACKED
from party.gan.local_gan import LocalGan
from party.gan.rows import ByClass, GanRows, Rows, to_unit
from party.gan.synthetic_rows import read_rows
from protos.v1 import common_pb2, coordination_pb2

_DRAW = 0x6A17
_AT_ONCE = 1000
"""Rows that a discriminator scores in one call."""


def try_classifier(
    order: coordination_pb2.TryClassifier, rows: GanRows, classes: Sequence[int], threads: int
) -> common_pb2.ScoreValue:
    """Accuracy on the held-out rows of ``classes``, the run's, of a classifier that saw the order's rows, or this party's own.

    Raises:
      WireError: rows that are none. RowsError: nothing held out.
    """
    held_out, held_out_labels = _stacked(rows.holdout, classes)
    if order.HasField("rows"):
        learnt, labels = read_rows(order.rows, len(rows.columns), classes)
    else:
        learnt, labels = _stacked(rows.train, classes)
        if len(learnt) > order.most_rows:
            chosen = np.random.default_rng([_DRAW, order.seed]).choice(len(learnt), order.most_rows, replace=False)
            learnt, labels = learnt[np.sort(chosen)], labels[np.sort(chosen)]
    score = classifier_accuracy(
        learnt,
        labels,
        held_out,
        held_out_labels,
        rows.image,
        size=classifier_name(order.size),
        epochs=order.epochs,
        seed=order.seed,
        threads=threads,
    )
    return common_pb2.ScoreValue(name="accuracy", value=score.value, low=score.low, high=score.high, rows=score.n)


def attack_discriminators(
    order: coordination_pb2.AttackDiscriminators, rows: GanRows, groups: Sequence[Group], nets: Mapping[int, LocalGan]
) -> coordination_pb2.DiscriminatorsAttacked:
    """For each class with a discriminator and `FEWEST_ATTACKED` rows of both kinds here: training rows against those, by that discriminator."""
    reply = coordination_pb2.DiscriminatorsAttacked()
    for number, gan in nets.items():
        for model, label in enumerate(groups[number].classes):
            members, others = rows.train[label], rows.holdout.get(label, rows.train[label][:0])
            chosen = members[draw_members(len(members), order.members, order.seed, label)]
            if min(len(chosen), len(others)) < FEWEST_ATTACKED:
                continue
            scores = {"train": _scores(gan, model, chosen), "holdout": _scores(gan, model, others)}
            found = membership(scores["train"], scores["holdout"])
            reply.attacks.append(
                coordination_pb2.MembershipAttack(
                    label=label,
                    members=found.members,
                    non_members=found.non_members,
                    accuracy=found.accuracy,
                    low=found.low,
                    high=found.high,
                    chance=found.chance,
                    auc=found.auc,
                )
            )
            reply.histograms.extend(
                coordination_pb2.ScoreHistogram(label=label, rows=which, counts=score_histogram(one))
                for which, one in scores.items()
            )
    return reply


def _scores(gan: LocalGan, model: int, rows: Rows) -> Rows:
    return np.concatenate([gan.score(model, rows[start : start + _AT_ONCE]) for start in range(0, len(rows), _AT_ONCE)])


def _stacked(rows: ByClass, classes: Sequence[int]) -> tuple[Rows, NDArray[np.int64]]:
    """Rows of ``classes`` in [0, 1] and their labels.

    Raises:
      RowsError: there are none.
    """
    held = {label: rows[label] for label in classes if label in rows and len(rows[label])}
    if not held:
        raise RowsError(f"there are no rows of classes {list(classes)} here to learn from or to be scored on")
    labels = np.repeat(np.array(list(held), np.int64), [len(one) for one in held.values()])
    return to_unit(np.concatenate(list(held.values()))), labels
