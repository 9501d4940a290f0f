"""Arrays to messages and back; every message from outside is checked before numpy sees it.

Order of checks: dtype, rank, each dimension (with Python integers: a product of wire dimensions can wrap in numpy),
agreed shape, byte length, finiteness.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import WireError
from kernel.ring import RingArray, RingBits, ring_bits_of, ring_dtype
from kernel.wire.tensor_frame import Payload
from protos.v1 import common_pb2

_DTYPES = {
    common_pb2.D_TYPE_FLOAT32: np.dtype("<f4"),
    common_pb2.D_TYPE_FLOAT64: np.dtype("<f8"),
    common_pb2.D_TYPE_INT64: np.dtype("<i8"),
    common_pb2.D_TYPE_UINT8: np.dtype("u1"),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_BFLOAT16 = "bfloat16"
_MAX_RANK = 4
_MAX_DIMENSION = 1 << 31


def encode_tensor(array: NDArray[Any], *, dtype: str | None = None) -> tuple[common_pb2.Tensor, memoryview]:
    """A Tensor of a float32, float64, int64 or uint8 array, and the bytes that follow it.

    Args:
      dtype: "bfloat16" sends a float32 array in half the bytes, off by at most 2^-9 of each value.
    """
    if dtype == _BFLOAT16:
        return common_pb2.Tensor(dtype=common_pb2.D_TYPE_BFLOAT16, shape=array.shape), _bytes_of(_to_bfloat16(array))
    code = _CODES.get(array.dtype.newbyteorder("<"))
    if code is None:
        raise WireError(f"a {array.dtype} array cannot travel; use float32, float64, int64 or uint8")
    little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return common_pb2.Tensor(dtype=code, shape=array.shape), _bytes_of(little_endian)


def decode_tensor(
    message: common_pb2.Tensor, payload: Payload, *, dtype: str, shape: Sequence[int], what: str
) -> NDArray[Any]:
    """The array of a Tensor of exactly the agreed ``dtype`` and ``shape``; a read-only view of ``payload``.

    A "bfloat16" tensor comes back as a new float32 array.

    Raises:
      WireError: anything else; ``what`` names the tensor and its sender.
    """
    wanted = np.dtype("<u2") if dtype == _BFLOAT16 else np.dtype(dtype)
    code = common_pb2.D_TYPE_BFLOAT16 if dtype == _BFLOAT16 else _CODES[wanted]
    if message.dtype != code:
        names = {common_pb2.D_TYPE_BFLOAT16: _BFLOAT16, **{key: str(one) for key, one in _DTYPES.items()}}
        raise WireError(f"{what} has dtype {names.get(message.dtype, 'unspecified')}, wanted {dtype}")
    _check_shape(message.shape, shape, what)
    _check_length(len(payload), math.prod(shape) * wanted.itemsize, what)
    array: NDArray[Any] = np.frombuffer(payload, wanted).reshape(shape)
    if dtype == _BFLOAT16:
        array = _from_bfloat16(array)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise WireError(f"{what} holds NaN or infinity; the run diverged at its sender: lower the learning rate")
    return array


def encode_ring(words: RingArray, fractional_bits: int) -> tuple[common_pb2.RingTensor, memoryview]:
    """A RingTensor of uint32 or uint64 words, and the bytes that follow it."""
    message = common_pb2.RingTensor(ring_bits=ring_bits_of(words), fractional_bits=fractional_bits, shape=words.shape)
    return message, _bytes_of(words.astype(words.dtype.newbyteorder("<"), copy=False))


def decode_ring(
    message: common_pb2.RingTensor,
    payload: Payload,
    *,
    ring_bits: RingBits,
    fractional_bits: int,
    shape: Sequence[int],
    what: str,
) -> RingArray:
    """The words of a RingTensor of exactly the agreed ring, scale and shape; a read-only view of ``payload``.

    Raises:
      WireError: anything else.
    """
    if message.ring_bits != ring_bits:
        raise WireError(
            f"{what} is in a ring of {message.ring_bits} bits, the plan says {ring_bits}; run one version everywhere"
        )
    if message.fractional_bits != fractional_bits:
        raise WireError(
            f"{what} has {message.fractional_bits} fractional bits, the plan says {fractional_bits}; run one version everywhere"
        )
    _check_shape(message.shape, shape, what)
    dtype = ring_dtype(ring_bits)
    _check_length(len(payload), math.prod(shape) * dtype.itemsize, what)
    return np.frombuffer(payload, dtype).reshape(shape)


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _to_bfloat16(array: NDArray[Any]) -> NDArray[np.uint16]:
    bits = np.ascontiguousarray(array, np.dtype("<f4")).view(np.dtype("<u4"))
    return ((bits + (((bits >> 16) & 1) + np.uint32(0x7FFF))) >> 16).astype(np.dtype("<u2"))


def _from_bfloat16(halves: NDArray[np.uint16]) -> NDArray[np.float32]:
    return (halves.astype(np.dtype("<u4")) << 16).view(np.dtype("<f4"))


def _check_shape(found: Sequence[int], wanted: Sequence[int], what: str) -> None:
    if len(found) > _MAX_RANK:
        raise WireError(f"{what} has rank {len(found)}, at most {_MAX_RANK} is accepted")
    if any(dimension >= _MAX_DIMENSION for dimension in found):
        raise WireError(f"{what} has a dimension of 2^31 or more")
    if tuple(found) != tuple(wanted):
        raise WireError(f"{what} has shape {list(found)}, wanted {list(wanted)}")


def _check_length(found: int, wanted: int, what: str) -> None:
    if found != wanted:
        raise WireError(f"{what} carries {found} bytes, its shape needs {wanted}")
