"""kernel.triples: Beaver's identity by Python integers, and X Theta from shares within the stated bound."""

import numpy as np
import pytest

from kernel.fixed_point import FixedPoint, product_error_bound
from kernel.randomness import SecretKey, StreamPosition, derive_key
from kernel.shares import reconstruct
from kernel.triples import SeededShares, TripleDealer, finish_product, prepare_product

ROWS, COLUMNS, WIDTH = 12, 5, 3
FRACTIONAL = 18
HERE = StreamPosition(1, 2, 2)
BATCH = np.array([7, 0, 3, 11])


def seeds_of(parties, root=b"\x07"):
    return {f"party-{n}": derive_key(SecretKey(root * 32), "dealer", n) for n in range(parties)}


def dealt(seeds, position=HERE, batch=BATCH, bits=64):
    """Per party its shares of U (batch rows), V and C; the first also adds the correction."""
    dealer = TripleDealer(seeds, ROWS, COLUMNS, WIDTH, bits)
    shares = {}
    for number, (name, seed) in enumerate(seeds.items()):
        mine = SeededShares(seed, bits)
        c = mine.c(len(batch), WIDTH, position)
        if number == 0:
            c = c + dealer.correction(batch, position)
        shares[name] = (mine.u(ROWS, COLUMNS)[batch], mine.v(COLUMNS, WIDTH, position), c)
    return shares


def summed(words, bits=64):
    return sum(one.astype(object) for one in words) % (1 << bits)


def product_share(e, u, f, v, c, *, first):
    """Both halves of a party's share, on copies: they work in place."""
    return finish_product(prepare_product(e, v, c.copy()), u + e if first else u.copy(), f)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("parties", [2, 3, 5])
def test_c_is_u_times_v(parties, bits):
    u, v, c = (summed(kind, bits) for kind in zip(*dealt(seeds_of(parties), bits=bits).values(), strict=True))
    assert u.any()
    assert v.any()
    assert np.array_equal(c, (u @ v) % (1 << bits))


def test_u_is_fixed_and_v_and_c_are_fresh():
    mine = SeededShares(seeds_of(2)["party-0"])
    next_step = StreamPosition(1, 3, 2)
    assert np.array_equal(mine.u(ROWS, COLUMNS), mine.u(ROWS, COLUMNS))
    assert not np.any(mine.v(COLUMNS, WIDTH, HERE) == mine.v(COLUMNS, WIDTH, next_step))
    assert not np.any(mine.c(4, WIDTH, HERE) == mine.c(4, WIDTH, next_step))


def test_u_v_and_c_are_streams_of_their_own():
    mine, at_zero = SeededShares(seeds_of(2)["party-0"]), StreamPosition(0, 0, 0)
    kinds = [mine.u(4, 3), mine.v(4, 3, at_zero), mine.c(4, 3, at_zero)]
    assert len(np.unique(np.concatenate(kinds))) == 36


def share_out(words, parties, rng):
    """Random additive shares, one party the rest."""
    bits = 8 * words.itemsize
    shares = [rng.integers(0, 1 << bits, words.shape, words.dtype) for _ in range(parties - 1)]
    return [*shares, words - sum(shares, np.zeros_like(words))]


@pytest.mark.parametrize(("bits", "fractional"), [(64, FRACTIONAL), (32, 11)])
@pytest.mark.parametrize("parties", [2, 3, 5])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_product_shares_decode_to_the_product(parties, seed, bits, fractional):
    rng = np.random.default_rng(seed)
    ring = FixedPoint(bits, fractional)
    rows, weights = rng.normal(size=(ROWS, COLUMNS)) * 3, rng.normal(size=(COLUMNS, WIDTH))
    x_shares = share_out(ring.encode(rows, "X"), parties, rng)
    theta_shares = share_out(ring.encode(weights, "Theta"), parties, rng)
    shares = list(dealt(seeds_of(parties), bits=bits).values())
    e = reconstruct(x[BATCH] - u for x, (u, _, _) in zip(x_shares, shares, strict=True))
    f = reconstruct(theta - v for theta, (_, v, _) in zip(theta_shares, shares, strict=True))
    products = [product_share(e, u, f, v, c, first=number == 0) for number, (u, v, c) in enumerate(shares)]
    found = FixedPoint(bits, 2 * fractional).decode(reconstruct(products))
    error = np.abs(found - rows[BATCH] @ weights).max()
    bound = product_error_bound(COLUMNS, np.abs(rows).max(), np.abs(weights).max(), fractional)
    assert 0.001 * bound < error <= bound + 1e-13


@pytest.mark.parametrize("firsts", [0, 2])
def test_exactly_one_party_adds_e_f(firsts):
    """With none or two of them the sum is wrong, so `first` is not decoration."""
    shares = list(dealt(seeds_of(3)).values())
    f = np.full((COLUMNS, WIDTH), 1 << 20, np.uint64)
    e = np.full((len(BATCH), COLUMNS), 1 << 20, np.uint64)
    x, theta = e + reconstruct(u for u, _, _ in shares), f + reconstruct(v for _, v, _ in shares)

    def total(first):
        parts = [product_share(e, u, f, v, c, first=number < first) for number, (u, v, c) in enumerate(shares)]
        return summed(parts)

    wanted = (x.astype(object) @ theta.astype(object)) % (1 << 64)
    assert np.array_equal(total(1), wanted)
    assert not np.any(total(firsts) == wanted)


def test_equal_rows_open_to_unlike_words_under_two_seeds(p_value):
    """E of a constant X: uniform for each seed, and nothing in common (failure probability 1e-6 each)."""
    rows = 1 << 13
    x = np.full((rows, COLUMNS), 3 << FRACTIONAL, np.uint64)
    opened = []
    for root in (b"\x01", b"\x02"):
        u = reconstruct(SeededShares(seed).u(rows, COLUMNS) for seed in seeds_of(3, root).values())
        opened.append(x - u)
    assert not np.any(opened[0] == opened[1])
    for e in opened:
        assert p_value(e) > 1e-6


def test_equal_weights_open_to_unlike_words_at_two_steps(p_value):
    theta = np.full((1 << 13, WIDTH), 5, np.uint64)
    seeds = seeds_of(2)
    opened = []
    for step in (2, 3):
        at = StreamPosition(1, step, 2)
        opened.append(theta - reconstruct(SeededShares(seed).v(len(theta), WIDTH, at) for seed in seeds.values()))
    assert not np.any(opened[0] == opened[1])
    assert min(map(p_value, opened)) > 1e-6


def test_what_the_correction_holder_receives_is_uniform(p_value):
    dealer = TripleDealer(seeds_of(3), 1 << 13, COLUMNS, WIDTH)
    assert p_value(dealer.correction(np.arange(1 << 13), HERE)) > 1e-6
