"""What of a GAN run's evaluation a party answers: the plan's, once. Other orders would be questions about its rows."""

from kernel.errors import PolicyError
from kernel.gan.spec import CLASSIFIERS, FEWEST_SCORED, GanSpec
from protos.v1 import coordination_pb2

FEWEST_ATTACKED = 10
"""Training rows and held-out rows of a class; with fewer the class is left out of the membership attack."""
_OWN_SOURCES = 2
"""Classifiers besides one of each party's synthetic rows: of all parties' together, and of real rows."""


class EvaluationLimits:
    """Counts a generation's orders, and holds each to the plan's evaluation.

    Args:
      parties: of the plan; me: for error messages.
    """

    def __init__(self, spec: GanSpec, parties: int, me: str) -> None:
        self._spec, self._me = spec, me
        self._left = {"classifier": parties + _OWN_SOURCES, "attack": 1}

    def admit_classifier(self, order: coordination_pb2.TryClassifier, held_out: int) -> None:
        """Raises PolicyError: the order is not the plan's, is one too many, or would be scored on too few rows."""
        evaluation = self._spec.evaluation
        if not order.HasField("rows"):
            self._equal("a classifier", "most_rows", order.most_rows, evaluation.rows)
        elif order.rows.rows > evaluation.rows:
            raise PolicyError(
                f"a classifier of {order.rows.rows} synthetic rows is ordered, the plan's evaluation says at most {evaluation.rows} to "
                f"{self._me!r}; order what the plan says"
            )
        self._equal("a classifier", "epochs", order.epochs, evaluation.epochs)
        self._equal("a classifier", "size", order.size, CLASSIFIERS[evaluation.classifier])
        self._seed("a classifier", order.seed)
        if held_out < FEWEST_SCORED:
            raise PolicyError(
                f"{self._me!r} has {held_out} rows held out and scores on {FEWEST_SCORED} or more, fewer would be told of one by one; "
                "raise test_fraction or name a larger holdout table"
            )
        self._take("classifier")

    def admit_attack(self, order: coordination_pb2.AttackDiscriminators) -> None:
        """Raises PolicyError: the order is not the plan's, or not the generation's first."""
        self._equal("a membership attack", "members", order.members, self._spec.evaluation.members)
        self._seed("a membership attack", order.seed)
        self._take("attack")

    def _equal(self, what: str, name: str, found: int, wanted: int) -> None:
        if found != wanted:
            raise PolicyError(
                f"{what} with {name} = {found} is ordered, the plan's evaluation says {wanted} to {self._me!r}; order what the plan says"
            )

    def _seed(self, what: str, seed: int) -> None:
        if seed != self._spec.evaluation_seed:
            raise PolicyError(
                f"{what} with another seed than the plan's is ordered of {self._me!r}, where that would draw other rows; order what "
                "the plan says"
            )

    def _take(self, what: str) -> None:
        if not self._left[what]:
            raise PolicyError(
                f"{self._me!r} has answered every {what} order that the plan's evaluation has in a generation; a new one begins "
                "with prepare"
            )
        self._left[what] -= 1
