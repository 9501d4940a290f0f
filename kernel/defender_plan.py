"""A plan's defender (protos/v1/plan.proto, DefenderPlan) as roles compute with it.

Each party i trains a net f_i from h1 to its own encoded rows X_i. With the distance of one row taken as the mean over
its columns, D_i is the mean distance over the rows of a batch, and the network's loss becomes

    L - weight * sum over parties of D_i                                   (P2N2, Zheng et al. 2020, Eq. 5)

A party contributes the gradient of each row's *own* distance at that row of h1, which does not shrink with the batch: the
neutral server divides the decoded sum by the batch's rows and multiplies by the weight, so that neither a small weight
nor a large batch costs a share its precision.
"""

import math
from dataclasses import dataclass
from typing import Literal

from kernel.errors import WireError
from kernel.fixed_point import FixedPoint
from kernel.network import ACTIVATIONS, ActivationName
from protos.v1 import plan_pb2

ObjectiveName = Literal["adversarial", "literal"]
DistanceName = Literal["mse", "mae"]

OBJECTIVES: dict[ObjectiveName, plan_pb2.DefenderObjective] = {
    "adversarial": plan_pb2.DEFENDER_OBJECTIVE_ADVERSARIAL,
    "literal": plan_pb2.DEFENDER_OBJECTIVE_LITERAL,
}
DISTANCES: dict[DistanceName, plan_pb2.DefenderDistance] = {
    "mse": plan_pb2.DEFENDER_DISTANCE_MSE,
    "mae": plan_pb2.DEFENDER_DISTANCE_MAE,
}
_MAX_WIDTH = 1 << 16


@dataclass(frozen=True)
class DefenderSpec:
    """The net is ``widths`` hidden layers and a linear one as wide as the party's encoded rows."""

    weight: float
    objective: ObjectiveName
    distance: DistanceName
    widths: tuple[int, ...]
    activations: tuple[ActivationName, ...]
    learning_rate: float


def defender_spec(plan: plan_pb2.RunPlan) -> DefenderSpec | None:
    """The defender of a plan message, checked; none where the plan has none.

    Raises:
      WireError: it does not say that h1 is revealed, or a number, name or shape cannot be used.
    """
    if not plan.HasField("defender"):
        return None
    message = plan.defender
    if not message.reveal_h1:
        raise WireError("the plan has a defender and does not say reveal_h1: h1 would go to every party unannounced")
    if not (math.isfinite(message.weight) and message.weight >= 0):
        raise WireError(f"the defender's weight is {message.weight}; it must be a finite number, 0 or more")
    if not (math.isfinite(message.learning_rate) and message.learning_rate > 0):
        raise WireError(f"the defender's learning_rate is {message.learning_rate}; it must be a finite number above 0")
    objectives = [name for name, number in OBJECTIVES.items() if number == message.objective]
    distances = [name for name, number in DISTANCES.items() if number == message.distance]
    if not objectives or not distances:
        raise WireError("the plan's defender names no objective or no distance that exists; run one version everywhere")
    activations = tuple(one for name in message.activations for one in ACTIVATIONS if one == name)
    if len(activations) != len(message.activations) or len(activations) != len(message.widths):
        raise WireError(
            f"the defender has widths {list(message.widths)} and activations {list(message.activations)}; "
            f"name one of {', '.join(ACTIVATIONS)} for each width"
        )
    if any(not 1 <= width <= _MAX_WIDTH for width in message.widths):
        raise WireError(f"the defender's widths {list(message.widths)} cannot be built; each is 1 to {_MAX_WIDTH}")
    return DefenderSpec(
        message.weight, objectives[0], distances[0], tuple(message.widths), activations, message.learning_rate
    )


def defender_ring(objective: ObjectiveName, parties: int) -> FixedPoint:
    """The ring of the shares of the gradients' sum, with room for one addend per party.

    adversarial: 32 bits, 20 of them fractional: off by at most 2^-21 a party where entries are some 1e-4 to 1, and up to
    2047 in all, for a row a hundred deviations out has a gradient of hundreds. literal: its nets run away, so 64 bits,
    32 fractional: up to 2e9.
    """
    return FixedPoint(64, 32, parties) if objective == "literal" else FixedPoint(32, 20, parties)
