"""party.defender_share: each share is uniform, all together decode to the sum, and no mask serves twice."""

from types import SimpleNamespace

import numpy as np
import pytest
from uniformity import FAILURE, uniform_p

from kernel.defender_plan import DefenderSpec
from kernel.errors import FixedPointError, StepError
from kernel.masks import ZeroMask
from kernel.randomness import Keystream, SecretKey, StreamPosition, derive_key
from party.defender import Defender, initial_defender
from party.defender_share import DefenderShares
from party.membership import Membership
from protos.v1 import common_pb2, plan_pb2

PARTIES, WIDTH, COLUMNS, ROWS = ("ann", "bob", "cat"), 16, 5, 600
TRAIN = common_pb2.PURPOSE_TRAIN
BATCH = np.arange(ROWS)


def pairwise(one, other):
    return derive_key(SecretKey(bytes(range(32))), *sorted((one, other)))


def side(me, objective="adversarial", scale=1.0):
    """A party's shares, its h1 and rows; its defender's last layer is ``scale`` times the usual."""
    spec = DefenderSpec(1.0, objective, "mse", (6,), ("tanh",), 0.01)
    weights = initial_defender(spec, b"key", 3, me, WIDTH, COLUMNS)
    weights["kernel_1"] *= np.float32(scale)
    plan = plan_pb2.RunPlan(parties=[plan_pb2.PartyPlan(name=name) for name in PARTIES])
    links = SimpleNamespace(
        links={name: SimpleNamespace(pairwise=pairwise(me, name)) for name in PARTIES if name != me}
    )
    return DefenderShares(Defender(spec, weights), Membership(me, "run", 1, plan), links)


def data(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(ROWS, WIDTH)).astype(np.float32), rng.normal(size=(ROWS, COLUMNS)).astype(np.float32)


@pytest.fixture(scope="module")
def shared():
    """Words of two steps by each party, in pieces, and the gradients they hide."""
    cuts = [slice(0, 250), slice(250, ROWS)]
    words, gradients = {}, {}
    h1 = data(0)[0]
    for number, me in enumerate(PARTIES):
        one, rows = side(me), data(number)[1]
        gradients[me] = one.defender.distance_and_gradient(h1, rows)[1]
        one.open_pass(1, TRAIN, [BATCH, BATCH])
        words[me] = []
        for step in range(2):
            one.make_ahead()
            one.open_step(StreamPosition(1, step, TRAIN))
            words[me].append(np.concatenate([one.share(cut, h1[cut], rows[cut]) for cut in cuts]))
    return words, gradients


def test_the_sum_decodes_to_the_sum(shared):
    words, gradients = shared
    ring = side("ann").ring
    total = sum((words[me][0] for me in PARTIES[1:]), words[PARTIES[0]][0])
    error = np.abs(ring.decode(total) - sum(gradients.values()))
    assert error.max() <= len(PARTIES) * 2.0**-21 + 1e-7
    assert np.abs(sum(gradients.values())).max() > 1e-2


@pytest.mark.parametrize("missing", PARTIES)
def test_what_lacks_a_party_is_uniform(shared, missing):
    """One share, and the sum of the two others: χ² over every byte; fails in FAILURE of runs with uniform words."""
    words, _ = shared
    rest = [words[me][0] for me in PARTIES if me != missing]
    assert uniform_p(words[missing][0]) > FAILURE
    assert uniform_p(rest[0] + rest[1]) > FAILURE


def test_a_gradient_without_a_mask_is_not_uniform(shared):
    """Positive control."""
    assert uniform_p(side("ann").ring.encode(shared[1]["ann"], "gradient")) < FAILURE


def test_no_mask_hides_two_things(shared):
    """The two steps carry the same gradient here: their difference is that of two masks, uniform as well. And the mask of
    z1 at the same position is another stream."""
    words, gradients = shared
    assert uniform_p(words["ann"][0] - words["ann"][1]) > FAILURE
    one = side("ann")
    mask = words["ann"][0] - one.ring.encode(gradients["ann"], "gradient")
    streams = {name: Keystream(derive_key(pairwise("ann", name), "run", 1, "zero-mask")) for name in PARTIES[1:]}
    of_z1 = ZeroMask("ann", streams).pad((ROWS, WIDTH), 32, StreamPosition(1, 0, TRAIN))
    assert uniform_p(mask - of_z1) > FAILURE


def test_a_pass_is_masked_once():
    one = side("ann")
    one.open_pass(1, TRAIN, [BATCH])
    with pytest.raises(StepError, match="masks are used once"):
        one.open_pass(1, TRAIN, [BATCH])


def test_an_adversarial_gradient_that_does_not_fit_stops_the_run():
    one = side("ann", scale=1e4)
    one.open_pass(1, TRAIN, [BATCH])
    one.open_step(StreamPosition(1, 0, TRAIN))
    gradient = one.defender.distance_and_gradient(*data(0))[1]
    assert np.abs(gradient).max() > one.ring.limit
    with pytest.raises(FixedPointError, match=r'above 682, the most a share.*distance to "mae"'):
        one.share(slice(0, ROWS), *data(0))


@pytest.mark.parametrize("scale", [1e4, 1e9])
def test_a_literal_gradient_is_clipped_to_the_ring(scale):
    one = side("ann", "literal", scale)
    h1, rows = data(0)
    _, gradient = one.defender.distance_and_gradient(h1, rows)
    one.open_pass(1, TRAIN, [BATCH])
    one.open_step(StreamPosition(1, 0, TRAIN))
    words = one.share(slice(0, ROWS), h1, rows)
    found = one.ring.decode(words - one._pad)
    np.testing.assert_allclose(found, np.clip(gradient, -one.ring.limit, one.ring.limit), rtol=1e-6, atol=1e-6)
    assert (np.abs(gradient).max() > one.ring.limit) == (scale == 1e9)
