"""party.baseline.shared_weights: sums of hand-made shares."""

import numpy as np
import pytest

from kernel.errors import BadInputError
from kernel.secret.spec import SecretLayer, SecretSpec, StepSize
from party.baseline.shared_weights import reconstruct_weights

F = 18


def spec_of(weights="shared", head=""):
    return SecretSpec(3, (SecretLayer(2, "square", 8.0),), 1, "shared", weights, F, 0, StepSize(1, 2), head=head)


def shares_of(values, parties):
    """Words that sum to ``values``: all parties but the last hold what was drawn."""
    generator = np.random.default_rng(4)
    words = np.rint(np.asarray(values) * 2.0**F).astype(np.int64).view(np.uint64)
    drawn = [generator.integers(0, 2**64, words.shape, np.uint64) for _ in range(parties - 1)]
    return [*drawn, words - sum(drawn, np.zeros_like(words))]


VALUES = {
    "weights_1": [[0.5, -1.25], [0.0, 2.0**-F], [-31.0, 7.0]],
    "bias_1": [[-0.75, 3.0]],
    "weights_2": [[1.5], [-2.0]],
    "bias_2": [[0.125]],
}


def barriers(parties):
    held = {name: shares_of(value, parties) for name, value in VALUES.items()}
    return [{**{name: shares[party] for name, shares in held.items()}, "step": np.array(7)} for party in range(parties)]


@pytest.mark.parametrize("parties", [2, 3, 4])
def test_shares_sum_to_the_weights_in_the_order_of_the_layers(parties):
    found = reconstruct_weights(barriers(parties), spec_of(head="binary"))
    assert list(found) == ["weights_1", "bias_1", "weights_2", "bias_2"]
    for name, value in found.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, np.float32(VALUES[name][0] if name.startswith("bias") else VALUES[name]))


def test_what_is_not_on_shares_is_not_there():
    assert list(reconstruct_weights(barriers(2), spec_of("own"))) == ["bias_1", "weights_2"]


def test_one_party_alone_has_none_of_it():
    """A positive control of the sum: without one party's shares nothing of the weights is left."""
    found = reconstruct_weights(barriers(3)[:2], spec_of())
    assert np.abs(found["weights_1"] - VALUES["weights_1"]).min() > 1e3


def test_a_barrier_of_another_plan_is_refused():
    held = barriers(2)
    del held[1]["bias_1"]
    with pytest.raises(BadInputError, match=r"party 2 has no share bias_1 of shape \[1, 2\]"):
        reconstruct_weights(held, spec_of())
    held = barriers(2)
    held[0]["weights_2"] = held[0]["weights_2"].astype(np.float32)
    with pytest.raises(BadInputError, match="party 1 has no share weights_2"):
        reconstruct_weights(held, spec_of())
