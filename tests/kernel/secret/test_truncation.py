"""kernel.secret.truncation: against Python integers at every edge, and what the last bit does over many masks.

Keys are fixed, so that statistical tests always answer alike; with random keys each would fail with probability `FAILURE`.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lockstep import dealt, signed, split, total
from scipy.stats import binomtest, kstest, triang
from uniformity import FAILURE, same_p, uniform_p

from kernel.errors import SettingsError
from kernel.secret.correlations import Item
from kernel.secret.range_proof import range_items
from kernel.secret.truncation import (
    masked,
    multiplied,
    product_items,
    square_items,
    squared,
    truncate,
    truncated_again,
    truncation_items,
)

LARGEST = (1 << 62) - 1
PARTIES = (2, 3, 4)
SHIFTS = (1, 2, 8, 18, 31, 32, 33, 34, 52, 61, 62)


def words(values):
    return np.array([value % (1 << 64) for value in values], np.uint64).reshape(-1, 1)


def opened_of(name, x, shares, rng):
    """c of the words ``x``."""
    pieces = split(x, len(shares), rng)
    return total(
        [
            masked(piece, mine[name], first=place == 0)
            for place, (piece, mine) in enumerate(zip(pieces, shares, strict=True))
        ]
    )


def truncated(x, shift, parties, seed=1, more=()):
    """Words x under fresh masks: (every party's Truncated, its shares, c)."""
    shares = dealt([*truncation_items("T", x.shape, shift), *more], parties, seed)
    c = opened_of("T", x, shares, np.random.default_rng(seed))
    return [truncate("T", c, mine, shift, first=place == 0) for place, mine in enumerate(shares)], shares, c


def edges(shift):
    step = 1 << shift
    near = [0, 1, -1, step - 1, 1 - step, step, -step, step + 1, LARGEST, -LARGEST, LARGEST - 1, 1 - LARGEST]
    return [x for x in [*near, *(k * step for k in (-9, -2, 2, 5, 1 << (62 - shift) >> 1))] if abs(x) <= LARGEST]


@pytest.mark.parametrize("parties", PARTIES)
@pytest.mark.parametrize("shift", SHIFTS)
def test_edges_by_python_integers(shift, parties):
    """y is what the integers say for the mask that was drawn: the floor, or one more exactly where the low bits carry."""
    x = np.repeat(words(edges(shift)), 8, axis=0)
    values, shares, _ = truncated(x, shift, parties)
    y, r = signed(total([one.share for one in values])), total([mine["T"] for mine in shares]).astype(object)
    floor, low = signed(x) >> shift, (signed(x) % (1 << shift)) + r % (1 << shift)
    assert np.array_equal(y, floor + (low >> shift))
    whole = signed(x) % (1 << shift) == 0
    assert whole.any()
    assert np.array_equal(y[whole], floor[whole])


@settings(max_examples=60, deadline=None)
@given(
    x=st.integers(-LARGEST, LARGEST),
    r=st.one_of(st.integers(0, (1 << 64) - 1), st.sampled_from([0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 3 << 62])),
    shift=st.integers(1, 62),
    parties=st.sampled_from(PARTIES),
    seed=st.integers(0, 99),
)
def test_any_value_under_any_mask(x, r, shift, parties, seed):
    rng = np.random.default_rng(seed)
    pieces = {
        "T": split(words([r]), parties, rng),
        "T.floor": split(words([r >> shift]), parties, rng),
        "T.bit": split(words([r >> 63]), parties, rng),
    }
    if shift <= 32:
        pieces["T.bit"] = [piece.astype(np.uint32) for piece in pieces["T.bit"]]
    shares = [{name: part[place] for name, part in pieces.items()} for place in range(parties)]
    c = opened_of("T", words([x]), shares, rng)
    assert int(c[0, 0]) == (x + (1 << 62) + r) % (1 << 64)
    y = signed(total([truncate("T", c, mine, shift, first=place == 0).share for place, mine in enumerate(shares)]))
    assert y[0, 0] == (x + (r % (1 << shift))) >> shift


def test_a_value_of_63_bits_is_out_of_range():
    """The positive control of the oracle: beyond the stated range the top is wrong, by 2^(64-t)."""
    x = words([(1 << 63) - 1] * 64)
    y = signed(total([one.share for one in truncated(x, 18, 2)[0]]))
    wrong = np.abs(y - (signed(x) >> 18)) > 1
    assert wrong.any()
    assert set(np.abs(y - (signed(x) >> 18))[wrong].tolist()) <= {(1 << 46) - 1, 1 << 46}


@pytest.mark.parametrize("parties", PARTIES)
@pytest.mark.parametrize("eighths", [1, 4, 7])
def test_last_bit_is_unbiased(eighths, parties):
    """Up with probability (x mod 2^t) / 2^t, also of a negative x: a binomial test of 20,000 masks each."""
    shift, many = 18, 20_000
    for floor in (5, -6):
        x = words([(floor << shift) + (eighths << (shift - 3))] * many)
        y = signed(total([one.share for one in truncated(x, shift, parties, seed=floor + 9)[0]]))
        ups = int((y == floor + 1).sum())
        assert ups + int((y == floor).sum()) == many
        assert binomtest(ups, many, eighths / 8).pvalue > FAILURE


@pytest.mark.parametrize("parties", PARTIES)
@pytest.mark.parametrize("shift", [1, 18, 34])
def test_error_is_triangular_within_its_bound(shift, parties):
    """Of random low bits the error y - x / 2^t has density 1 - |error| on (-1, 1) (and half of it is 0 for t = 1)."""
    many = 20_000
    x = words(np.random.default_rng(3).integers(-LARGEST, LARGEST, many).tolist())
    y = signed(total([one.share for one in truncated(x, shift, parties)[0]]))
    error = y * (1 << shift) - signed(x)
    assert max(abs(one) for one in error.ravel()) < 1 << shift
    if shift == 1:
        assert binomtest(int((error == 0).sum()), many, 0.5).pvalue > FAILURE
        assert binomtest(int((error == 1).sum()), int((error != 0).sum()), 0.5).pvalue > FAILURE
    else:
        assert kstest((error / 2.0**shift).astype(float).ravel(), triang(0.5, -1, 2).cdf).pvalue > FAILURE


@pytest.mark.parametrize("parties", PARTIES)
def test_what_is_opened_is_uniform(parties):
    """Of a constant, of any constant, and alike for two of them."""
    opened = [truncated(words([x] * 8192), 18, parties, seed)[2] for seed, x in ((1, 0), (2, -LARGEST), (3, LARGEST))]
    assert min(map(uniform_p, opened)) > FAILURE
    assert same_p(opened[1], opened[2]) > FAILURE


def test_shares_of_a_truncated_value_are_uniform():
    """Of every party, though the value is a constant; two of three together too."""
    values, _, _ = truncated(words([7 << 18] * 8192), 18, 3)
    for one in values:
        assert uniform_p(one.share) > FAILURE
    assert uniform_p(values[0].share + values[1].share) > FAILURE


def kinds(values, shares):
    """Which of the four pairs (selected, top bit) occur."""
    selected = values[0].selected.astype(int).ravel()
    top = (total([mine["T"] for mine in shares]) >> np.uint64(63)).astype(int).ravel()
    return set(zip(selected.tolist(), top.tolist(), strict=True))


@pytest.mark.parametrize("parties", PARTIES)
@pytest.mark.parametrize("shift", [1, 18, 31, 32])
def test_squares_are_exact_for_both_selections(shift, parties):
    x = np.repeat(words(edges(shift)), 16, axis=0)
    values, shares, _ = truncated(x, shift, parties, more=square_items("T", x.shape, shift))
    y = total([one.share for one in values])
    square = total([squared(one, mine) for one, mine in zip(values, shares, strict=True)])
    assert kinds(values, shares) >= {(0, 0), (1, 0), (1, 1)}
    assert np.array_equal(square, y * y)


@pytest.mark.parametrize("parties", PARTIES)
@pytest.mark.parametrize(("left", "right"), [(18, 18), (1, 63 - 1), (32, 32), (20, 44), (44, 20), (33, 31)])
def test_products_are_exact_for_both_selections(left, right, parties):
    rng = np.random.default_rng(4)
    xs = [
        np.concatenate([words(edges(t) * 8), words(rng.integers(-LARGEST, LARGEST, 40).tolist())])
        for t in (left, right)
    ]
    many = min(map(len, xs))
    x, other = xs[0][:many], rng.permutation(xs[1])[:many]
    items = [*truncation_items("T", x.shape, left), *truncation_items("P", x.shape, right)]
    shares = dealt([*items, *product_items("T", left, "P", right, x.shape)], parties)
    c, d = opened_of("T", x, shares, rng), opened_of("P", other, shares, rng)
    ts = [truncate("T", c, mine, left, first=place == 0) for place, mine in enumerate(shares)]
    ps = [truncate("P", d, mine, right, first=place == 0) for place, mine in enumerate(shares)]
    product = total([multiplied(t, p, mine) for t, p, mine in zip(ts, ps, shares, strict=True)])
    assert kinds(ts, shares) >= {(0, 0), (1, 0), (1, 1)}
    assert np.array_equal(product, total([t.share for t in ts]) * total([p.share for p in ps]))


@pytest.mark.parametrize("parties", PARTIES)
@pytest.mark.parametrize(("shift", "again"), [(18, 39), (18, 30), (39, 18)])
def test_one_opening_truncates_twice(shift, again, parties):
    x = np.repeat(words(edges(shift) + edges(again)), 8, axis=0)
    items = [
        *truncation_items("T", x.shape, shift, again=again),
        Item("Q.floor", x.shape, "floor", ("T",), again),
        *range_items("Q", x.shape),
    ]
    shares = dealt(items, parties)
    c, r = opened_of("T", x, shares, np.random.default_rng(5)), total([mine["T"] for mine in shares]).astype(object)
    once = [truncate("T", c, mine, shift, first=place == 0).share for place, mine in enumerate(shares)]
    twice = [truncated_again("Q", "T", c, mine, again, first=place == 0).share for place, mine in enumerate(shares)]
    for found, bits in ((once, shift), (twice, again)):
        assert np.array_equal(signed(total(found)), (signed(x) + r % (1 << bits)) >> bits)


@pytest.mark.parametrize(("shift", "again"), [(0, 0), (63, 0), (18, 63), (-1, 0)])
def test_shifts_that_cannot_be_had(shift, again):
    with pytest.raises(SettingsError, match="cannot be had in a ring of 64"):
        truncation_items("T", (1, 1), shift, again=again)


def test_products_of_wraps_are_refused():
    with pytest.raises(SettingsError, match="at most 64 together"):
        product_items("T", 33, "P", 32, (1, 1))
    with pytest.raises(SettingsError, match="at most 32"):
        square_items("T", (1, 1), 33)


def test_exactly_one_party_is_first():
    """Two firsts or none: another value, by far."""
    x, shift = words([5 << 18] * 8), 18
    shares = dealt(truncation_items("T", x.shape, shift), 3)
    c = opened_of("T", x, shares, np.random.default_rng(6))
    for firsts in (0, 2):
        y = total([truncate("T", c, mine, shift, first=place < firsts).share for place, mine in enumerate(shares)])
        assert not np.any(np.isin(signed(y), [5]))
