"""neutral_server.gradient_shares, and what a request for them is held to: shares add up, each is uniform, none is refused silently."""

from pathlib import Path

import numpy as np
import pytest
from uniformity import FAILURE, uniform_p

from kernel.errors import BadInputError, FixedPointError
from kernel.fixed_point import FixedPoint
from kernel.randomness import Keystream, SecretKey, StreamPosition
from neutral_server.gradient_shares import GradientShares
from neutral_server.runs import RunTable
from protos.v1 import common_pb2, plan_pb2, stack_control_pb2

RING = FixedPoint(64, 18)
HERE = StreamPosition(2, 3, common_pb2.PURPOSE_TRAIN)


@pytest.mark.parametrize("parties", [2, 3, 4])
def test_shares_add_up_to_the_scaled_gradient(parties):
    names = [f"p{place}" for place in range(parties)]
    shares, gradient = GradientShares(names, RING, 7), np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
    total = shares.share_of_first(gradient, HERE).copy()
    assert shares.seed(names[0]) == b""
    for name in names[1:]:
        total += Keystream(SecretKey(shares.seed(name))).words((4, 3), 64, HERE)
    assert np.abs(RING.decode(total) - 128 * gradient).max() <= 2.0**-19


def test_what_the_first_party_gets_of_a_constant_gradient_is_uniform():
    """Its key is drawn; it fails with probability `FAILURE`."""
    shares = GradientShares(["a", "b"], RING, 7)
    assert uniform_p(shares.share_of_first(np.full((4096, 4), 0.5, np.float32), HERE)) > FAILURE


def test_a_gradient_that_the_ring_cannot_hold_is_refused():
    with pytest.raises(FixedPointError, match="dL/dz at the cut"):
        GradientShares(["a", "b"], RING, 32).share_of_first(np.full((1, 1), 1e9, np.float32), HERE)


@pytest.mark.parametrize(
    ("shift", "pieces", "widths", "sentence"),
    [
        (33, 1, [8], "2\\^33 in 1 micro-batches cannot be shared"),
        (7, 2, [8], "in 2 micro-batches cannot be shared"),
        (7, 1, [], "a network without widths has no layer for the neutral server"),
    ],
)
def test_a_request_that_cannot_be_served_is_a_sentence(tmp_path: Path, shift, pieces, widths, sentence):
    runs = RunTable("neutral-server", tmp_path, lambda spec: None, lambda what: None, wait_seconds=60)  # type: ignore[arg-type,return-value]
    request = stack_control_pb2.PrepareStackRequest(
        run="r",
        generation=1,
        plan_hash=bytes(32),
        network=plan_pb2.NetworkPlan(
            widths=widths,
            activations=["relu"] * len(widths),
            loss="binary",
            outputs=1,
            optimizer=plan_pb2.OptimizerPlan(name="sgd", learning_rate=0.5),
        ),
        ring=plan_pb2.RingPlan(ring_bits=64, fractional_bits=36),
        scale_bits=36,
        parties=["a", "b"],
        label_holder="a",
        cut_dtype=common_pb2.D_TYPE_FLOAT32,
        micro_batches=pieces,
        gradient_sharing=stack_control_pb2.GradientSharing(
            ring=plan_pb2.RingPlan(ring_bits=64, fractional_bits=18), shift=shift
        ),
    )
    with pytest.raises(BadInputError, match=sentence):
        runs.prepare(request)
