"""bfloat16 of kernel.wire.codec: rounded to nearest even, against exact arithmetic and against ml_dtypes."""

import math
from fractions import Fraction

import ml_dtypes  # TensorFlow brings it: the independent implementation
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kernel.errors import WireError
from kernel.wire.codec import decode_tensor, encode_tensor
from protos.v1 import common_pb2

BFLOAT16 = common_pb2.D_TYPE_BFLOAT16
LARGEST = (2 - 2.0**-7) * 2.0**127
INSIDE = st.floats(-LARGEST, LARGEST, width=32)


def sent(array):
    """What arrives."""
    message, payload = encode_tensor(array, dtype="bfloat16")
    return decode_tensor(message, payload, dtype="bfloat16", shape=array.shape, what="t")


def halves_of(array):
    return np.frombuffer(encode_tensor(array, dtype="bfloat16")[1], "<u2")


def float32_of(bits):
    return np.array(bits, np.uint32).view(np.float32)


def nearest_even(value):
    """The bfloat16 nearest to a finite float32, in rational arithmetic: a multiple of 2^(e-7), e the exponent."""
    exact = Fraction(value)
    exponent = -126
    while abs(exact) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    unit = Fraction(2) ** (exponent - 7)
    return math.copysign(round(exact / unit) * unit, value)  # Python rounds a half to the even integer


@settings(deadline=None, max_examples=500)
@given(INSIDE)
def test_a_value_is_rounded_to_the_nearest_and_a_half_to_even(value):
    found = sent(np.array([value], np.float32))[0]
    wanted = nearest_even(value)
    assert (float(found), np.signbit(found)) == (wanted, np.signbit(wanted))


def test_every_bfloat16_and_every_place_between_two_of_them():
    """All 2^16 upper halves, each with the lower halves around which rounding turns; NaN and infinity aside."""
    lows = np.array([0x0000, 0x0001, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    bits = (np.arange(1 << 16, dtype=np.uint32)[:, None] << 16) | lows
    array = bits.view(np.float32)[np.isfinite(bits.view(np.float32)).all(axis=1)]
    assert len(array) == (1 << 16) - 256
    with np.errstate(over="ignore"):  # beyond the largest ml_dtypes rounds to infinity too
        wanted = array.astype(ml_dtypes.bfloat16)
    assert np.array_equal(halves_of(array), wanted.view(np.uint16).ravel())


def test_ties_go_to_the_even_neighbour():
    """1 + 2^-8 lies halfway between 1 and 1 + 2^-7; 1 + 3 * 2^-8 between 1 + 2^-7 and 1 + 2^-6."""
    array = np.array([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 1 + 2**-8 + 2**-23, 1 + 2**-8 - 2**-23], np.float32)
    assert sent(array).tolist() == [1.0, 1 + 2**-6, -1.0, 1 + 2**-7, 1.0]


@settings(deadline=None, max_examples=100)
@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=4, min_side=0, max_side=5, min_dims=0), elements=INSIDE))
def test_the_error_is_at_most_2_to_the_minus_8_of_the_value(array):
    """Half a unit of the 8th significant bit; below the smallest normal number, half the smallest bfloat16."""
    found = sent(array)
    error = np.abs(found.astype(np.float64) - array.astype(np.float64))
    assert (error <= np.maximum(2.0**-8 * np.abs(array.astype(np.float64)), 2.0**-134)).all()


def test_no_smaller_bound_holds():
    """Just above 1 the error comes as near to 2^-8 as float32 allows: 2^-9 would promise a bit too much."""
    value = np.array([1 + 2**-8], np.float32)
    error = abs(float(sent(value)[0]) - float(value[0])) / float(value[0])
    assert 2.0**-9 < 0.99 * 2.0**-8 < error < 2.0**-8


@settings(deadline=None, max_examples=100)
@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=4, min_side=0, max_side=5, min_dims=0), elements=INSIDE))
def test_shapes_come_back_in_half_the_bytes_as_float32(array):
    message, payload = encode_tensor(array, dtype="bfloat16")
    assert (message.dtype, tuple(message.shape)) == (BFLOAT16, array.shape)
    assert len(payload) == 2 * array.size
    found = sent(array)
    assert (found.dtype, found.shape) == (np.float32, array.shape)
    assert np.array_equal(halves_of(found), halves_of(array))  # what was rounded is not rounded again


def test_rows_are_in_order_and_little_endian_whatever_the_array_was():
    plain = np.arange(1, 7, dtype="<f4").reshape(2, 3)
    wanted = (plain.view("<u4") >> 16).astype("<u2").tobytes()
    for array in (plain, plain.astype(">f4"), np.asfortranarray(plain), np.repeat(plain, 2, axis=1)[:, ::2]):
        assert encode_tensor(array, dtype="bfloat16")[1] == wanted


NAN_BITS = [0x7FC00000, 0xFFC00000, 0x7F800001, 0xFF800001, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFF8000, 0xFFFF7FFF, 0x7F80FFFF]


@pytest.mark.parametrize("bits", [*NAN_BITS, 0x7F800000, 0xFF800000], ids=hex)
def test_what_is_not_finite_is_refused_without_saying_where(bits):
    """Whatever its low bits: a NaN must not come out of the rounding as a number."""
    array = np.full((2, 3), 4711.5, np.float32)
    array[1, 2] = float32_of(bits)
    assert not np.isfinite(array).all()
    with pytest.raises(WireError, match="t holds NaN or infinity; the run diverged at its sender") as caught:
        sent(array)
    assert "4711" not in str(caught.value)


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 2**23 - 1), st.booleans())
def test_every_nan_stays_one(mantissa, negative):
    half = halves_of(float32_of([negative << 31 | 0x7F800000 | mantissa]))
    assert np.isnan(half.view(ml_dtypes.bfloat16)).all()


def test_what_rounds_beyond_the_largest_is_refused():
    assert sent(np.array([LARGEST], np.float32))[0] == LARGEST
    with pytest.raises(WireError, match="NaN or infinity"):
        sent(np.array([np.finfo(np.float32).max], np.float32))


@pytest.mark.parametrize("dtype", ["float64", "int64", "uint8", "float16", "uint16", "bool"])
def test_other_arrays_do_not_travel_as_bfloat16(dtype):
    with pytest.raises(WireError, match=f"a {dtype} array cannot travel as bfloat16; use float32"):
        encode_tensor(np.zeros(2, dtype), dtype="bfloat16")


@pytest.mark.parametrize("shape", [(3, 2), (6,), (2, 3, 1), ()])
def test_another_shape_is_refused(shape):
    message, payload = encode_tensor(np.ones((2, 3), np.float32), dtype="bfloat16")
    with pytest.raises(WireError, match=r"t has shape \[2, 3\], wanted"):
        decode_tensor(message, payload, dtype="bfloat16", shape=shape, what="t")


@pytest.mark.parametrize("size", [0, 11, 13, 24])
def test_another_number_of_bytes_is_refused(size):
    message, _ = encode_tensor(np.ones((2, 3), np.float32), dtype="bfloat16")
    with pytest.raises(WireError, match=f"t carries {size} bytes, its shape needs 12"):
        decode_tensor(message, bytes(size), dtype="bfloat16", shape=(2, 3), what="t")


def test_neither_type_is_taken_for_the_other():
    array = np.ones((2, 3), np.float32)
    for given_as, wanted in ((None, "bfloat16"), ("bfloat16", "float32")):
        message, payload = encode_tensor(array, dtype=given_as)
        with pytest.raises(WireError, match=f"t has dtype {given_as or 'float32'}, wanted {wanted}"):
            decode_tensor(message, payload, dtype=wanted, shape=(2, 3), what="t")
