"""kernel.masks: pads cancel over all parties and over nobody less.

Keys are fixed, so the χ² tests always give the same answer; with random keys each would fail with
probability 1e-6.
"""

from itertools import combinations

import numpy as np
import pytest

from kernel.fixed_point import FixedPoint
from kernel.masks import ZeroMask
from kernel.randomness import StreamPosition
from kernel.ring import ring_dtype

PARTIES = [("a", "b"), ("clinic", "bank", "shop"), ("a", "b", "c", "d", "e")]
HERE = StreamPosition(1, 4, 2)
ROWS = 1 << 14


def masks_of(streams):
    return {name: ZeroMask(name, peers) for name, peers in streams.items()}


def pads_of(masks, shape, bits, position=HERE):
    return {name: mask.pad(shape, bits, position) for name, mask in masks.items()}


def total(pads, bits):
    """By Python integers."""
    return sum(pad.astype(object) for pad in pads) % (1 << bits)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("names", PARTIES, ids=len)
def test_pads_sum_to_zero(names, bits, pair_streams):
    pads = pads_of(masks_of(pair_streams(names)), (5, 7), bits)
    assert {pad.dtype for pad in pads.values()} == {ring_dtype(bits)}
    assert not total(pads.values(), bits).any()


@pytest.mark.parametrize("names", PARTIES, ids=len)
def test_no_proper_subset_sums_to_zero(names, pair_streams, p_value):
    """The sum of a subset is uniform: 64-bit words would be zero anywhere with probability below 1e-14."""
    pads = pads_of(masks_of(pair_streams(names)), (ROWS,), 64)
    for size in range(1, len(names)):
        for subset in combinations(names, size):
            summed = total((pads[name] for name in subset), 64).astype(np.uint64)
            assert summed.all()
            assert p_value(summed) > 1e-6


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("names", PARTIES, ids=len)
def test_every_masked_share_is_uniform(names, bits, pair_streams, p_value):
    words = FixedPoint(bits, 12).encode(np.random.default_rng(3).normal(size=(ROWS, 2)), "z1")
    assert p_value(words) < 1e-300  # what is sent would not be, without a pad
    for mask in masks_of(pair_streams(names)).values():
        masked = words.copy()
        mask.apply(masked, HERE)
        assert p_value(masked) > 1e-6


def test_masked_shares_reveal_their_sum(pair_streams):
    names = PARTIES[1]
    ring = FixedPoint(32, 16, addends=3)
    blocks = {name: np.random.default_rng(number).normal(size=(6, 2)) for number, name in enumerate(names)}
    summed = np.zeros((6, 2), np.uint32)
    for name, mask in masks_of(pair_streams(names)).items():
        words = ring.encode(blocks[name], "z1")
        mask.apply(words, HERE)
        summed += words
    assert np.abs(ring.decode(summed) - sum(blocks.values())).max() <= 3 * 2.0**-17


@pytest.mark.parametrize(
    "elsewhere",
    [StreamPosition(2, 4, 2), StreamPosition(1, 5, 2), StreamPosition(1, 4, 3), StreamPosition(1, 4, 2, 1)],
    ids=["epoch", "step", "purpose", "part"],
)
def test_another_position_gives_another_pad(elsewhere, pair_streams):
    masks = masks_of(pair_streams(("a", "b", "c")))
    here, there = pads_of(masks, (8, 8), 64), pads_of(masks, (8, 8), 64, elsewhere)
    for name in masks:
        assert not np.any(here[name] == there[name])


def test_other_keys_give_another_pad(pair_streams):
    names = ("a", "b", "c")
    mine, other = masks_of(pair_streams(names)), masks_of(pair_streams(names, seed=bytes(32)))
    assert not np.any(mine["a"].pad((8, 8), 64, HERE) == other["a"].pad((8, 8), 64, HERE))


def test_a_pad_can_be_made_ahead(pair_streams):
    mask = masks_of(pair_streams(("a", "b")))["a"]
    words = np.arange(12, dtype=np.uint64).reshape(3, 4)
    ahead = mask.pad((3, 4), 64, HERE)
    mask.pad((50, 4), 64, StreamPosition(9, 9, 2))
    masked = words.copy()
    mask.apply(masked, HERE)
    assert np.array_equal(masked, words + ahead)
