"""Inputs with equal sums give views that cannot be told apart, although a party's own product differs.

Two runs over the same columns, dealt to the same two parties in another way: X Theta is the same network's, the blocks are
not. Each test of truly equal samples fails with probability at most 1e-6.
"""

import numpy as np
import pytest
from house import CELL_ERRORS, CELL_MEANS, CELL_WORST, House
from local_runs import part, plan_toml
from recordings import Recording, order_of, rows_of
from uniformity import FAILURE, same_p

from protos.v1 import common_pb2

pytestmark = pytest.mark.e2e


@pytest.fixture
def dealt_otherwise(recording: Recording, house: House) -> Recording:
    """The clinic holds the worst cells instead of the means."""
    protocol = recording.run.plan.first_layer.protocol
    parties = [
        part("clinic", "breast_cancer", CELL_WORST),
        part("laboratory", "breast_cancer", CELL_MEANS, CELL_ERRORS, label="target"),
    ]
    return house.record(f"dealt-otherwise-{protocol}", plan_toml("breast_cancer", parties, protocol=protocol))


def test_the_sums_are_equal(recording: Recording, dealt_otherwise: Recording):
    """At step 0, up to rounding: at most two units in the last place for masked_sum, none for beaver."""
    totals = []
    for one in (recording, dealt_otherwise):
        first, second = (one.shares(party, common_pb2.PURPOSE_TRAIN)[:57] for party in one.parties)
        totals.append(first + second)
    apart = (totals[0] - totals[1]).view(f"i{totals[0].itemsize}")
    assert np.abs(apart).max() <= (2 if recording.run.plan.first_layer.protocol == "masked_sum" else 0)


def test_the_views_of_one_party_cannot_be_told_apart(recording: Recording, dealt_otherwise: Recording):
    for party in recording.parties:
        assert same_p(recording.shares(party), dealt_otherwise.shares(party)) >= FAILURE


def test_the_products_behind_them_can(recording: Recording, dealt_otherwise: Recording):
    """Without its mask, each party's words would give away which run they are from."""
    for party in recording.parties:
        products = []
        for one in (recording, dealt_otherwise):
            rows = rows_of(one.run, party).encoded
            product = rows[order_of(one.run, len(rows), 1)] @ one.run.theta(party, 0)
            products.append(np.rint(product * 2.0**16).astype(np.int32).view(np.uint32))
        assert same_p(*products) < FAILURE / 1000
