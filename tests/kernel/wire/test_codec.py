"""kernel.wire.codec: what was sent arrives bit for bit, and nothing else gets to numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kernel.errors import WireError
from kernel.wire.codec import decode_ring, decode_tensor, encode_ring, encode_tensor
from kernel.wire.tensor_frame import TensorFrame, pack_frame, unpack_frame
from protos.v1 import common_pb2

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
FINITE = {"allow_nan": False, "allow_infinity": False}


def tensors(dtype):
    elements = hnp.from_dtype(np.dtype(dtype), **(FINITE if dtype.startswith("float") else {}))
    return hnp.arrays(dtype, SHAPES, elements=elements)


def over_the_wire(encoded):
    """A message and its payload as they arrive: out of one frame, the payload a view at whatever offset it got."""
    message, payload = encoded
    frame = unpack_frame(type(message).FromString, pack_frame(TensorFrame(message, payload)))
    return frame.message, frame.payload


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(["float32", "float64", "int64", "uint8"]).flatmap(tensors))
def test_a_tensor_comes_back_bit_for_bit(array):
    message, payload = over_the_wire(encode_tensor(array))
    found = decode_tensor(message, payload, dtype=array.dtype.name, shape=array.shape, what="t")
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()
    assert not found.flags.writeable


@settings(deadline=None, max_examples=100)
@given(st.data(), st.sampled_from([32, 64]), st.integers(1, 40))
def test_ring_words_come_back_bit_for_bit(data, bits, fractional):
    words = data.draw(hnp.arrays(f"uint{bits}", hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=6)))
    message, payload = over_the_wire(encode_ring(words, fractional))
    found = decode_ring(message, payload, ring_bits=bits, fractional_bits=fractional, shape=words.shape, what="w")
    assert found.dtype == words.dtype
    assert np.array_equal(found, words)
    assert not found.flags.writeable


def test_neither_end_copies():
    """The payload is the array's own memory, and the array found is a view of the bytes that came."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    message, payload = encode_tensor(array)
    assert np.shares_memory(np.frombuffer(payload, np.uint8), array)
    words = np.arange(6, dtype=np.uint64).reshape(2, 3)
    ring_message, ring_payload = encode_ring(words, 16)
    assert np.shares_memory(np.frombuffer(ring_payload, np.uint8), words)
    came, ring_came = bytes(payload), bytes(ring_payload)
    found = decode_tensor(message, came, dtype="float32", shape=(2, 3), what="t")
    assert np.shares_memory(found, np.frombuffer(came, np.uint8))
    found = decode_ring(ring_message, ring_came, ring_bits=64, fractional_bits=16, shape=(2, 3), what="w")
    assert np.shares_memory(found, np.frombuffer(ring_came, np.uint8))


def test_bytes_are_little_endian_and_row_major_whatever_the_array_was():
    plain = np.arange(6, dtype="<f4").reshape(2, 3)
    for array in (plain, plain.astype(">f4"), np.asfortranarray(plain), np.repeat(plain, 2, axis=1)[:, ::2]):
        message, payload = encode_tensor(array)
        assert payload == plain.tobytes()
        assert list(message.shape) == [2, 3]
    words = np.arange(6, dtype="<u8").reshape(2, 3)
    for array in (words.T, words.astype(">u8").T):
        message, payload = encode_ring(array, 8)
        assert payload == words.T.copy().tobytes()
        assert list(message.shape) == [3, 2]


@pytest.mark.parametrize("dtype", ["float16", "int32", "uint64", "uint32", "bool", "complex64", "object", "U3"])
def test_other_arrays_do_not_travel(dtype):
    with pytest.raises(WireError, match="cannot travel; use float32"):
        encode_tensor(np.zeros(2, dtype))


def tensor(payload=None, **changes):
    """A message and its payload as they should be, but for the changes."""
    message, own = encode_tensor(np.ones((2, 3), np.float32))
    for field, value in changes.items():
        message.ClearField(field)
        message.MergeFrom(common_pb2.Tensor(**{field: value}))
    return message, own if payload is None else payload


def ring_tensor(payload=None, **changes):
    message, own = encode_ring(np.ones((2, 3), np.uint64), 16)
    for field, value in changes.items():
        message.ClearField(field)
        message.MergeFrom(common_pb2.RingTensor(**{field: value}))
    return message, own if payload is None else payload


BAD_SHAPES = [
    ([3, 2], r"shape \[3, 2\], wanted \[2, 3\]"),
    ([6], r"shape \[6\]"),
    ([], r"shape \[\]"),
    ([2, 3, 1], r"shape \[2, 3, 1\]"),
    ([1, 1, 1, 2, 3], "rank 5, at most 4"),
    ([1 << 31, 3], r"a dimension of 2\^31 or more"),
    ([2, (1 << 64) - 1], r"a dimension of 2\^31 or more"),
    ([1 << 16] * 4, "wanted"),
]


@pytest.mark.parametrize(("shape", "sentence"), BAD_SHAPES)
def test_another_shape_is_refused(shape, sentence):
    with pytest.raises(WireError, match=f"h_L of 'a' .*{sentence}"):
        decode_tensor(*tensor(shape=shape), dtype="float32", shape=(2, 3), what="h_L of 'a'")
    with pytest.raises(WireError, match=f"share of 'a' .*{sentence}"):
        decode_ring(*ring_tensor(shape=shape), ring_bits=64, fractional_bits=16, shape=(2, 3), what="share of 'a'")


def test_dimensions_whose_product_wraps_do_not_stand_for_nothing():
    """2^16 to the fourth is 2^64, which is 0 in numpy's int64: no bytes would seem enough."""
    shape = [1 << 16] * 4
    assert int(np.prod(np.array(shape, np.int64))) == 0
    with pytest.raises(WireError, match=f"carries 0 bytes, its shape needs {1 << 66}"):
        decode_tensor(*tensor(b"", shape=shape), dtype="float32", shape=shape, what="t")
    with pytest.raises(WireError, match=f"carries 0 bytes, its shape needs {1 << 67}"):
        decode_ring(*ring_tensor(b"", shape=shape), ring_bits=64, fractional_bits=16, shape=shape, what="w")


@pytest.mark.parametrize("size", [0, 23, 25, 48])
def test_another_number_of_bytes_is_refused(size):
    with pytest.raises(WireError, match=f"carries {size} bytes, its shape needs 24"):
        decode_tensor(*tensor(bytes(size)), dtype="float32", shape=(2, 3), what="t")


@pytest.mark.parametrize("size", [0, 47, 49, 24])
def test_another_number_of_ring_bytes_is_refused(size):
    with pytest.raises(WireError, match=f"carries {size} bytes, its shape needs 48"):
        decode_ring(*ring_tensor(bytes(size)), ring_bits=64, fractional_bits=16, shape=(2, 3), what="w")


@pytest.mark.parametrize(
    ("dtype", "found"),
    [
        (common_pb2.D_TYPE_FLOAT64, "float64"),
        (common_pb2.D_TYPE_INT64, "int64"),
        (common_pb2.D_TYPE_UINT8, "uint8"),
        (common_pb2.D_TYPE_BFLOAT16, "bfloat16"),
        (common_pb2.D_TYPE_UNSPECIFIED, "unspecified"),
        (77, "unspecified"),
    ],
)
def test_another_dtype_is_refused(dtype, found):
    message, payload = tensor()
    message.dtype = dtype
    with pytest.raises(WireError, match=f"dtype {found}, wanted float32"):
        decode_tensor(message, payload, dtype="float32", shape=(2, 3), what="t")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_without_saying_where(dtype, bad):
    array = np.full((2, 3), 4711.5, dtype)
    array[1, 2] = bad
    with pytest.raises(WireError, match="NaN or infinity") as caught:
        decode_tensor(*encode_tensor(array), dtype=dtype, shape=(2, 3), what="t")
    assert "4711" not in str(caught.value)


@pytest.mark.parametrize("bits", [0, 16, 32, 63, 128])
def test_another_ring_is_refused(bits):
    with pytest.raises(WireError, match=f"a ring of {bits} bits, the plan says 64"):
        decode_ring(*ring_tensor(ring_bits=bits), ring_bits=64, fractional_bits=16, shape=(2, 3), what="w")


@pytest.mark.parametrize("fractional", [0, 15, 17, 32])
def test_another_scale_is_refused(fractional):
    message, payload = ring_tensor(fractional_bits=fractional)
    with pytest.raises(WireError, match=f"{fractional} fractional bits, the plan says 16"):
        decode_ring(message, payload, ring_bits=64, fractional_bits=16, shape=(2, 3), what="w")
