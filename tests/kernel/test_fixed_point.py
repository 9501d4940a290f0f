"""kernel.fixed_point against exact rationals."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.errors import FixedPointError
from kernel.fixed_point import FixedPoint, product_error_bound
from kernel.ring import ring_dtype, ring_matmul


@st.composite
def rings(draw):
    bits = draw(st.sampled_from([32, 64]))
    return FixedPoint(bits, draw(st.integers(1, bits - 4)), addends=draw(st.integers(1, 5)))


@st.composite
def rings_with_values(draw, width=64):
    ring = draw(rings())
    bound = float(np.float32(ring.limit)) if width == 32 else ring.limit
    if bound > ring.limit:
        bound = float(np.nextafter(np.float32(bound), np.float32(0)))
    values = draw(st.lists(st.floats(-bound, bound, width=width), min_size=1, max_size=8))
    return ring, np.array(values, f"f{width // 8}")


def signed(word, bits):
    """Two's complement by Python integers."""
    return int(word) - (1 << bits) * (int(word) >> (bits - 1))


def check_every_value(ring, values):
    words = ring.encode(values, "values")
    assert words.dtype == ring_dtype(ring.ring_bits)
    half_a_step = Fraction(1, 2 ** (ring.fractional_bits + 1))
    for value, word in zip(values, words, strict=True):
        real = Fraction(signed(word, ring.ring_bits), 2**ring.fractional_bits)
        assert abs(real - Fraction(float(value))) <= half_a_step
        if abs(signed(word, ring.ring_bits)) < 1 << 53:
            assert Fraction(float(ring.decode(np.array([word]))[0])) == real


@settings(deadline=None, max_examples=150)
@given(rings_with_values())
def test_one_encoding_is_off_by_half_a_step_at_most(case):
    check_every_value(*case)


@settings(deadline=None, max_examples=100)
@given(rings_with_values(width=32))
def test_so_is_one_of_float32(case):
    check_every_value(*case)


@settings(deadline=None, max_examples=100)
@given(rings(), st.sampled_from([-1.0, 1.0]))
def test_addends_of_full_range_do_not_wrap(ring, sign):
    if ring.fractional_bits < 3:
        return  # five roundings up could cost more than the last integer bit
    word = signed(ring.encode(np.array([sign * ring.limit]), "values")[0], ring.ring_bits)
    assert -(1 << (ring.ring_bits - 1)) <= ring.addends * word < 1 << (ring.ring_bits - 1)
    assert (word > 0) == (sign > 0)


@pytest.mark.parametrize("ring", [FixedPoint(32, 16), FixedPoint(64, 40), FixedPoint(64, 1), FixedPoint(32, 28, 3)])
def test_the_limit_is_the_last_that_fits(ring):
    for end in (ring.limit, -ring.limit):
        ring.encode(np.array([end]), "values")
        with pytest.raises(FixedPointError):
            ring.encode(np.array([np.nextafter(end, end * 2)]), "values")


@pytest.mark.parametrize(("bits", "dtype"), [(32, "f4"), (32, "f8"), (64, "f4"), (64, "f8")])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(bits, dtype, bad):
    values = np.ones((3, 2), dtype)
    values[1, 1] = bad
    with pytest.raises(FixedPointError, match="z1 of a is not finite"):
        FixedPoint(bits, 12).encode(values, "z1 of a")


def test_an_overflow_names_bits_and_remedy():
    with pytest.raises(FixedPointError) as caught:
        FixedPoint(32, 16).encode(np.array([1.0, -40213.7]), "column group B")
    sentence = str(caught.value)
    assert "column group B" in sentence
    assert "needs 16 integer bits" in sentence  # 2^15 < 40213.7 < 2^16
    assert "leaves 15 with f=16" in sentence
    assert "ring_bits=64" in sentence


def test_headroom_for_addends_counts():
    ring = FixedPoint(32, 16, addends=4)
    ring.check(8191.0, "z1")
    with pytest.raises(FixedPointError, match=r"with 4 addend\(s\) needs 16 integer bits; the ring leaves 15"):
        ring.check(8193.0, "z1")


def test_a_wide_ring_offers_fewer_fractional_bits():
    with pytest.raises(FixedPointError, match="lower the learning rate or fractional_bits, or scale the columns"):
        FixedPoint(64, 40).check(1e9, "z1")


@pytest.mark.parametrize(("bits", "fractional"), [(16, 8), (32, 0), (32, 29), (64, 61), (64, -1)])
def test_a_ring_without_room_is_refused(bits, fractional):
    with pytest.raises(FixedPointError):
        FixedPoint(bits, fractional)


def test_ties_go_to_even():
    halves = np.array([0.5, 1.5, 2.5, -0.5, -1.5]) / 2**4
    assert [signed(word, 64) for word in FixedPoint(64, 4).encode(halves, "x")] == [0, 2, 2, 0, -2]


def test_the_input_is_left_alone():
    for dtype in ("f4", "f8"):
        values = np.array([0.3, -0.7], dtype)
        FixedPoint(32, 8).encode(values, "x")
        assert values.tolist() == np.array([0.3, -0.7], dtype).tolist()


@pytest.mark.parametrize("fractional", [4, 10, 20])
@pytest.mark.parametrize("inner", [1, 3, 40])
def test_a_product_stays_within_its_bound_and_the_bound_is_not_idle(fractional, inner):
    """One product of words is exact, so all error comes from rounding the factors."""
    rng = np.random.default_rng(1000 * fractional + inner)
    worst = 0.0
    for _ in range(20):
        left, right = rng.uniform(-3, 3, (16, inner)), rng.uniform(-2, 2, (inner, 16))
        factors, product = FixedPoint(64, fractional), FixedPoint(64, 2 * fractional)
        words = ring_matmul(factors.encode(left, "A"), factors.encode(right, "B"))
        bound = product_error_bound(inner, np.abs(left).max(), np.abs(right).max(), fractional)
        rounding = 1e-14 * inner * 6  # of the float64 oracle
        error = np.abs(product.decode(words) - left @ right).max()
        assert error <= bound + rounding
        worst = max(worst, error / bound)
    assert worst >= 0.01


@pytest.mark.parametrize(("bits", "dtype"), [(32, "float32"), (32, "float64"), (64, "float32"), (64, "float64")])
def test_encoding_into_given_words_gives_the_same_words(bits, dtype):
    ring, values = FixedPoint(bits, 14), np.random.default_rng(8).normal(size=(50, 3)).astype(dtype)
    wanted, out = ring.encode(values, "x"), np.full((50, 3), 77, f"uint{bits}")
    assert ring.encode(values, "x", out=out) is out
    assert np.array_equal(out, wanted)
