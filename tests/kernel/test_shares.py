"""kernel.shares: they add up, and each alone says nothing.

Keys are fixed, so the χ² tests always give the same answer; with random keys each would fail with
probability 1e-6.
"""

import numpy as np
import pytest

from kernel.errors import BadInputError
from kernel.fixed_point import FixedPoint
from kernel.randomness import StreamPosition
from kernel.shares import owner_share, peer_share, reconstruct

NAMES = ("a", "b", "c")
HERE = StreamPosition(2, 5, 2)
ROWS = 1 << 14


def words_of(bits, shape=(ROWS, 2)):
    return FixedPoint(bits, 12).encode(np.random.default_rng(1).normal(size=shape), "x")


def split(streams, value, position=HERE, owner="a"):
    """All shares of the owner's value, by party."""
    bits = 8 * value.dtype.itemsize
    shares = {owner: owner_share(value, streams[owner], position)}
    for peer in streams[owner]:
        shares[peer] = peer_share(value.shape, bits, streams[peer][owner], position)
    return shares


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("names", [("a", "b"), NAMES, ("a", "b", "c", "d", "e")])
def test_shares_add_up_to_the_value(bits, names, pair_streams):
    value = words_of(bits, (6, 4))
    shares = split(pair_streams(names), value)
    total = sum(share.astype(object) for share in shares.values()) % (1 << bits)
    assert np.array_equal(total, value.astype(object))
    assert np.array_equal(reconstruct(shares.values()), value)


@pytest.mark.parametrize("bits", [32, 64])
def test_every_share_is_uniform_though_the_value_is_not(bits, pair_streams, p_value):
    value = words_of(bits)
    assert p_value(value) < 1e-300  # the test sees what is not uniform
    for share in split(pair_streams(NAMES), value).values():
        assert p_value(share) > 1e-6


def test_every_proper_subset_is_uniform(pair_streams, p_value):
    shares = split(pair_streams(NAMES), words_of(64))
    for left_out in NAMES:
        subset = reconstruct(share for name, share in shares.items() if name != left_out)
        assert p_value(subset) > 1e-6


def test_shares_of_a_constant_are_uniform(pair_streams, p_value):
    for share in split(pair_streams(NAMES), np.zeros((ROWS, 2), np.uint64)).values():
        assert p_value(share) > 1e-6


def test_the_owner_keeps_its_value_as_it_was(pair_streams):
    value = words_of(64, (3, 3))
    before = value.copy()
    owner_share(value, pair_streams(NAMES)["a"], HERE)
    assert np.array_equal(value, before)


def test_another_position_splits_anew(pair_streams):
    streams, value = pair_streams(NAMES), words_of(64, (4, 4))
    first, second = split(streams, value), split(streams, value, StreamPosition(2, 6, 2))
    for name in NAMES:
        assert not np.any(first[name] == second[name])


def test_reconstructing_leaves_the_shares_alone(pair_streams):
    shares = list(split(pair_streams(NAMES), words_of(64, (2, 2))).values())
    before = [share.copy() for share in shares]
    reconstruct(shares)
    assert all(np.array_equal(share, copy) for share, copy in zip(shares, before, strict=True))


def test_shares_that_do_not_belong_together_are_refused():
    one = np.zeros((2, 3), np.uint64)
    with pytest.raises(BadInputError, match="no share"):
        reconstruct([])
    with pytest.raises(BadInputError, match=r"\(3, 2\)"):
        reconstruct([one, one.reshape(3, 2)])
    with pytest.raises(BadInputError, match="uint32"):
        reconstruct([one, one.astype(np.uint32)])
