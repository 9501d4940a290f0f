"""What GANs are worth, asked of the parties: real rows stay there, synthetic ones are sent to be judged.

A classifier is trained on synthetic rows at every party and scored on that party's own held-out rows. Sources are each party's
rows alone, rows of all parties together ("all") and, to compare with, the judging party's own training rows ("real").
Each party also attacks its own discriminators: how well they tell its training rows from its held-out ones.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from coordinator.gan_plan import ALL, REAL
from coordinator.roster import Reports
from coordinator.synthetic_rows import SyntheticRows
from kernel.gan.schedule import rows_per_class
from kernel.gan.spec import CLASSIFIERS, EvaluationSpec
from kernel.gan.synthetic_message import encode_synthetic
from protos.v1 import common_pb2, coordination_pb2

_CLASSES_TO_TELL = 2

Synthesise = Callable[[Mapping[str, int]], dict[str, SyntheticRows]]
"""Rows per class by party -> what their generators made."""
Ask = Callable[[Mapping[str, coordination_pb2.PartyOrder]], Reports]
Note = Callable[..., None]


@dataclass(frozen=True)
class GanEvaluation:
    """The evaluation at the end of a run.

    Attributes:
      classes: per party those it has a generator of; judges: parties with `FEWEST_SCORED` held-out rows, of two classes or more.
      seed: of drawn rows and of the classifiers' weights.
    """

    spec: EvaluationSpec
    seed: int
    classes: Mapping[str, Sequence[int]]
    judges: Sequence[str]
    synthesise: Synthesise
    ask: Ask
    note: Note

    def run(self) -> None:
        """Raises TertiumError: a party could not."""
        if self.judges:
            wanted = {name: max(rows_per_class(self.spec.rows, own).values()) for name, own in self.classes.items()}
            for source, rows in sources(self.synthesise(wanted), self.spec.rows):
                if len(np.unique(rows.labels)) >= _CLASSES_TO_TELL:
                    message = encode_synthetic(rows.values, rows.labels)
                    self._classify(source, self.judges, coordination_pb2.TryClassifier(rows=message))
            able = [name for name in self.judges if len(self.classes.get(name, ())) >= _CLASSES_TO_TELL]
            self._classify(REAL, able, coordination_pb2.TryClassifier(most_rows=self.spec.rows))
        self._attack()

    def _classify(self, source: str, judges: Sequence[str], order: coordination_pb2.TryClassifier) -> None:
        order.epochs, order.seed, order.size = self.spec.epochs, self.seed, CLASSIFIERS[self.spec.classifier]
        reports = self.ask({name: coordination_pb2.PartyOrder(try_classifier=order) for name in judges})
        for name, report in reports.items():
            accuracy = report.classifier_tried.accuracy
            rows = order.rows.rows if order.HasField("rows") else order.most_rows
            self.note("classifier", source=source, party=name, rows=rows, accuracy=_score(accuracy))

    def _attack(self) -> None:
        order = coordination_pb2.AttackDiscriminators(members=self.spec.members, seed=self.seed)
        reports = self.ask({name: coordination_pb2.PartyOrder(attack_discriminators=order) for name in self.classes})
        for name, report in reports.items():
            found = report.discriminators_attacked
            attacks = {str(one.label): _attack_fields(one) for one in found.attacks}
            self.note("membership", party=name, by="own", classes=attacks)
            counts: dict[str, dict[str, list[int]]] = {}
            for one in found.histograms:
                counts.setdefault(str(one.label), {})[one.rows] = list(one.counts)
            self.note("histograms", party=name, classes=counts)


def sources(made: Mapping[str, SyntheticRows], rows: int) -> Iterator[tuple[str, SyntheticRows]]:
    """What classifiers are trained on: ``rows`` of each party, and of all parties together, spread over classes evenly.

    Args:
      made: per party at least as many of each of its classes; the first ones are taken.
    """
    for name, own in made.items():
        yield name, _first(own, rows)
    if len(made) > 1:
        shares = rows_per_class(rows, range(len(made)))
        parts = [_first(own, shares[place]) for place, own in enumerate(made.values())]
        first = parts[0]
        yield (
            ALL,
            SyntheticRows(
                np.concatenate([part.values for part in parts]),
                np.concatenate([part.labels for part in parts]),
                first.image,
                first.columns,
            ),
        )


def _first(made: SyntheticRows, rows: int) -> SyntheticRows:
    wanted = rows_per_class(rows, [int(label) for label in np.unique(made.labels)])
    places = np.concatenate([np.flatnonzero(made.labels == label)[:count] for label, count in wanted.items()])
    return SyntheticRows(made.values[places], made.labels[places], made.image, made.columns)


def _score(score: common_pb2.ScoreValue) -> dict[str, Any]:
    return {"value": score.value, "low": score.low, "high": score.high, "n": score.rows}


def _attack_fields(attack: coordination_pb2.MembershipAttack) -> dict[str, Any]:
    return {
        "accuracy": attack.accuracy,
        "low": attack.low,
        "high": attack.high,
        "chance": attack.chance,
        "auc": attack.auc,
        "members": attack.members,
        "non_members": attack.non_members,
    }
