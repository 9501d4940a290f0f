"""party.first_layer.beaver: the room of the ring is held against the product that is computed, rounding included."""

import numpy as np
import pytest

from kernel.errors import FixedPointError
from kernel.fixed_point import FixedPoint
from kernel.network import OptimizerSpec
from party.first_layer.beaver import Beaver
from party.first_layer.protocol import FirstLayerBlock
from party.membership import Membership
from protos.v1 import plan_pb2

BITS, FRACTIONAL, COLUMNS = 32, 11, 600


ALONE = Membership("a", "run", 1, plan_pb2.RunPlan(parties=[plan_pb2.PartyPlan(name="a")]))


class NoLinks:
    """The check needs no peer."""

    links: dict[str, object] = {}  # noqa: RUF012


def beaver_over(rows, weights):
    block = FirstLayerBlock(rows, weights, OptimizerSpec("sgd", 0.1))
    share_ring = FixedPoint(BITS, 2 * FRACTIONAL, addends=1)
    ring = FixedPoint(BITS, FRACTIONAL)
    return Beaver(block, ALONE, [COLUMNS], ring=ring, share_ring=share_ring, links=NoLinks, dealer=None, mask=None)


def test_a_product_that_fits_only_without_its_rounding_is_refused():
    """600 factors of 1, each weight up to half a step off: the words may add up to 0.15 more than the float product."""
    rows, weights = np.ones((1, COLUMNS), np.float32), np.full((COLUMNS, 1), 510.95 / COLUMNS, np.float32)
    z1, limit = float((rows @ weights)[0, 0]), FixedPoint(BITS, 2 * FRACTIONAL).limit
    assert z1 < limit < z1 + COLUMNS * 2.0 ** -(FRACTIONAL + 1)
    with pytest.raises(FixedPointError, match="z1 of this party's columns"):
        beaver_over(rows, weights)._check_range(rows, weights)


def test_a_product_with_room_for_its_rounding_is_accepted():
    rows, weights = np.ones((1, COLUMNS), np.float32), np.full((COLUMNS, 1), 0.5, np.float32)
    beaver_over(rows, weights)._check_range(rows, weights)


def test_noise_counts_against_the_room():
    """A product with 11.9 to spare: noise up to 11 fits, noise up to 13 does not."""
    rows, weights = np.ones((1, COLUMNS), np.float32), np.full((COLUMNS, 1), 499 / COLUMNS, np.float32)
    layer = beaver_over(rows, weights)
    layer._check_range(rows, weights, 11.0)
    with pytest.raises(FixedPointError, match="z1 of this party's columns"):
        layer._check_range(rows, weights, 13.0)
