"""kernel.secret.range_proof: what passes, what is found, and that a proof that passes tells nothing.

Keys are fixed, so that statistical tests always answer alike; with random keys each would fail with probability `FAILURE`.
"""

import numpy as np
import pytest
from lockstep import dealt, signed, split, total
from scipy.stats import binomtest, chi2_contingency, chisquare
from uniformity import FAILURE, same_p, uniform_p

from kernel.secret.correlations import Item
from kernel.secret.range_proof import excess, range_items
from kernel.secret.truncation import masked, truncated_again, truncation_items

SHIFT = 39  # 2 f = 36 fractional bits, interval 8
BOUND = 1 << SHIFT


def prove(values, parties=2, seed=1, shift=SHIFT):
    """(q, what is opened of q, the opened sum) of integers ``values``."""
    x = np.array([value % (1 << 64) for value in values], np.uint64).reshape(-1, 1)
    items = [
        *truncation_items("T", x.shape, 18, again=shift),
        Item("Q.floor", x.shape, "floor", ("T",), shift),
        *range_items("Q", x.shape),
    ]
    shares, rng = dealt(items, parties, seed), np.random.default_rng(seed)
    pieces = split(x, parties, rng)
    c = total(
        [
            masked(piece, mine["T"], first=place == 0)
            for place, (piece, mine) in enumerate(zip(pieces, shares, strict=True))
        ]
    )
    qs = [truncated_again("Q", "T", c, mine, shift, first=place == 0).share for place, mine in enumerate(shares)]
    opened = total([q - mine["Q.a"] for q, mine in zip(qs, shares, strict=True)])
    sums = [excess("Q", opened, mine) for mine in shares]
    assert {one.shape for one in sums} == {(1, 1)}
    return signed(total(qs)).ravel(), opened, int(total(sums)[0, 0])


@pytest.mark.parametrize("parties", [2, 3, 4])
def test_below_the_bound_always_passes(parties):
    """Its edges, many times over, and 4,000 values anywhere below it."""
    rng = np.random.default_rng(2)
    inside = [0, 1, -1, BOUND - 1, 1 - BOUND, BOUND, -BOUND] * 200  # at the bound itself q is still 1 or -1
    q, _, opened = prove([*inside, *rng.integers(-BOUND, BOUND, 4000).tolist()], parties)
    assert set(q.tolist()) == {-1, 0, 1}
    assert opened == 0


@pytest.mark.parametrize("parties", [2, 3, 4])
@pytest.mark.parametrize(
    "value", [2 * BOUND, -2 * BOUND, 3 * BOUND + 5, -9 * BOUND, (1 << 12) * BOUND - 1, (1 << 62) - 1]
)
def test_twice_the_bound_is_always_found(value, parties):
    """Alone among 50 values that pass, under twenty masks."""
    for seed in range(20):
        q, _, opened = prove([*[BOUND - 1, -5] * 25, value], parties, seed)
        assert abs(q[-1]) >= 2
        assert opened != 0


@pytest.mark.parametrize("quarters", [5, -5, 6, 7])
def test_in_between_it_is_found_with_the_stated_probability(quarters):
    """|x| / bound - 1, by a binomial test of 8,000 masks."""
    q, _, _ = prove([quarters * BOUND // 4] * 8000)
    found = np.abs(q) >= 2
    assert binomtest(int(found.sum()), len(q), abs(quarters) / 4 - 1).pvalue > FAILURE


def test_one_value_in_between_decides_the_sum():
    """The opened sum is zero exactly where q is -1, 0 or 1: single values, 200 masks."""
    outcomes = set()
    for seed in range(200):
        q, _, opened = prove([3 * BOUND // 2], seed=seed)
        assert (opened != 0) == (abs(q[0]) >= 2)
        outcomes.add(opened != 0)
    assert outcomes == {True, False}


def test_the_sum_is_that_of_multiples_of_the_cube_less_q():
    """By Python integers, with the multipliers that nobody knows."""
    shares = dealt(range_items("Q", (5, 1)), 3)
    q = np.array([5, (1 << 64) - 7, 1, 100, 0], np.uint64).reshape(-1, 1)
    opened = q - total([mine["Q.a"] for mine in shares])
    found = int(total([excess("Q", opened, mine) for mine in shares])[0, 0])
    multipliers = total([mine["Q.m"] for mine in shares]).ravel()
    wanted = sum(int(m) * (int(one) ** 3 - int(one)) for m, one in zip(multipliers, signed(q).ravel(), strict=True))
    assert found == wanted % (1 << 64) != 0


def test_a_proof_that_fails_does_not_say_where_or_to_which_side():
    """The sum over the multipliers of one value, and of another with the other sign, falls alike: its 16 highest intervals by
    chi-square, each alone and the two against each other, 250 masks each. Multipliers that are public would give one sum only."""
    counts = []
    for values in ([2 * BOUND, 0, 0], [0, 0, -2 * BOUND]):
        sums = [prove(values, seed=seed)[2] for seed in range(250)]
        assert len(set(sums)) == 250
        assert all(one % 2 == 0 and one for one in sums)
        counts.append(np.bincount([one >> 60 for one in sums], minlength=16))
        assert chisquare(counts[-1]).pvalue > FAILURE
    assert chi2_contingency(counts).pvalue > FAILURE


@pytest.mark.parametrize("parties", [2, 3, 4])
def test_a_proof_that_passes_tells_nothing(parties):
    """q - a is uniform for each of two constants, and alike for both; the sum is 0 for both."""
    views = [prove([value] * 8192, parties, seed) for seed, value in ((1, BOUND - 1), (2, -BOUND // 3))]
    for _, opened, zero in views:
        assert uniform_p(opened) > FAILURE
        assert zero == 0
    assert same_p(views[0][1], views[1][1]) > FAILURE
