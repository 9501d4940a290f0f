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
from protos.v1 import common_pb2

_DTYPES = {
    common_pb2.D_TYPE_FLOAT32: np.dtype("<f4"),
    common_pb2.D_TYPE_FLOAT64: np.dtype("<f8"),
    common_pb2.D_TYPE_INT64: np.dtype("<i8"),
    common_pb2.D_TYPE_UINT8: np.dtype("u1"),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_MAX_RANK = 4
_MAX_DIMENSION = 1 << 31


def encode_tensor(array: NDArray[Any]) -> common_pb2.Tensor:
    """A Tensor of a float32, float64, int64 or uint8 array."""
    little = array.dtype.newbyteorder("<")
    code = _CODES.get(little)
    if code is None:
        raise WireError(f"a {array.dtype} array cannot travel; use float32, float64, int64 or uint8")
    return common_pb2.Tensor(dtype=code, shape=array.shape, data=np.ascontiguousarray(array, little).tobytes())


def decode_tensor(message: common_pb2.Tensor, *, dtype: str, shape: Sequence[int], what: str) -> NDArray[Any]:
    """The array of a Tensor of exactly the agreed ``dtype`` and ``shape``; a read-only view of the message's bytes.

    Raises:
      WireError: anything else; ``what`` names the tensor and its sender.
    """
    wanted = np.dtype(dtype)
    found = _DTYPES.get(message.dtype)
    if found != wanted:
        raise WireError(f"{what} has dtype {found or 'unspecified'}, wanted {wanted}")
    _check_shape(message.shape, shape, what)
    data = message.data  # protobuf copies at every access
    _check_length(len(data), math.prod(shape) * wanted.itemsize, what)
    array = np.frombuffer(data, wanted).reshape(shape)
    if wanted.kind == "f" and not np.isfinite(array).all():
        raise WireError(f"{what} holds NaN or infinity; the run diverged at its sender: lower the learning rate")
    return array


def encode_ring(words: RingArray, fractional_bits: int) -> common_pb2.RingTensor:
    """A RingTensor of uint32 or uint64 words."""
    return common_pb2.RingTensor(
        ring_bits=ring_bits_of(words),
        fractional_bits=fractional_bits,
        shape=words.shape,
        data=np.ascontiguousarray(words).tobytes(),
    )


def decode_ring(
    message: common_pb2.RingTensor,
    *,
    ring_bits: RingBits,
    fractional_bits: int,
    shape: Sequence[int],
    what: str,
) -> RingArray:
    """The words of a RingTensor of exactly the agreed ring, scale and shape; a read-only view.

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
    data = message.data  # protobuf copies at every access
    _check_length(len(data), math.prod(shape) * dtype.itemsize, what)
    return np.frombuffer(data, dtype).reshape(shape)


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
