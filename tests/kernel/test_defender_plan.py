"""kernel.defender_plan: a defender's numbers as roles compute with them, and what is refused whoever sent it."""

import numpy as np
import pytest

from kernel.defender_plan import DefenderSpec, defender_ring, defender_spec
from kernel.errors import WireError
from protos.v1 import plan_pb2


def plan(**changes):
    fields = {
        "weight": 0.5,
        "reveal_h1": True,
        "objective": plan_pb2.DEFENDER_OBJECTIVE_LITERAL,
        "distance": plan_pb2.DEFENDER_DISTANCE_MAE,
        "widths": [64, 32],
        "activations": ["relu", "tanh"],
        "learning_rate": 0.02,
    }
    return plan_pb2.RunPlan(defender=plan_pb2.DefenderPlan(**{**fields, **changes}))


def test_the_defender_of_a_plan():
    assert defender_spec(plan()) == DefenderSpec(0.5, "literal", "mae", (64, 32), ("relu", "tanh"), 0.02)
    assert defender_spec(plan(weight=0, widths=[], activations=[])).widths == ()


def test_a_plan_without_one_has_none():
    assert defender_spec(plan_pb2.RunPlan()) is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"reveal_h1": False}, "does not say reveal_h1"),
        ({"weight": -0.1}, "weight is -0.1; it must be a finite number, 0 or more"),
        ({"weight": float("nan")}, "weight is nan"),
        ({"weight": float("inf")}, "weight is inf"),
        ({"learning_rate": 0}, "learning_rate is 0.0; it must be a finite number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"objective": 0}, "no objective or no distance"),
        ({"distance": 9}, "no objective or no distance"),
        ({"widths": [64]}, r"widths \[64\] and activations"),
        ({"activations": ["relu", "swish"]}, "name one of identity, sigmoid, relu, tanh for each width"),
        ({"widths": [64, 0]}, "each is 1 to 65536"),
        ({"widths": [64, 65537]}, "each is 1 to 65536"),
    ],
)
def test_what_cannot_be_used_is_refused(change, sentence):
    with pytest.raises(WireError, match=sentence):
        defender_spec(plan(**change))


@pytest.mark.parametrize("parties", [2, 5])
@pytest.mark.parametrize(
    ("objective", "fraction", "limit"), [("adversarial", 20, 2**11 - 1), ("literal", 32, 2**31 - 1)]
)
def test_the_shares_ring_holds_the_sum_of_all_parties(objective, fraction, limit, parties):
    ring = defender_ring(objective, parties)
    assert ring.limit == pytest.approx(limit / parties)
    values = np.full(3, 0.999 * ring.limit)
    total = sum(ring.encode(values, "gradient") for _ in range(parties)).astype(ring.encode(values, "x").dtype)
    assert ring.decode(total) == pytest.approx(0.999 * limit)
    assert abs(ring.decode(ring.encode(np.array([1e-4]), "gradient"))[0] - 1e-4) <= 2.0 ** -(fraction + 1)
