"""Two randomnesses that cannot be confused.

`SecureRandomness` draws keys, seeds, masks and shares from the operating system's generator. `Keystream` expands a
secret key into uniform words (AES-128 in counter mode) at separate, never overlapping positions. Experiment seeds are
plain integers and feed numpy generators elsewhere (initialisation, batch order): no function here accepts one.
"""

import secrets
import struct
from dataclasses import dataclass
from typing import NewType

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kernel.errors import TertiumError
from kernel.ring import RingArray, RingBits, ring_dtype

SecretKey = NewType("SecretKey", bytes)
"""32 uniform bytes; never logged, never in a message outside a seal or mutual TLS."""

_PIECE_BYTES = 1 << 16
_ZEROS = memoryview(bytes(1 << 20))


class SecureRandomness:
    """The operating system's generator. There is no way to seed it."""

    def key(self) -> SecretKey:
        """32 uniform bytes."""
        return SecretKey(secrets.token_bytes(32))


def derive_key(parent: SecretKey, *context: str | int) -> SecretKey:
    """HKDF-SHA256 (RFC 5869) of ``parent`` under an unambiguous context; different contexts give independent keys."""
    info = b"".join(struct.pack(">I", len(part)) + part for part in (str(item).encode() for item in context))
    return SecretKey(HKDF(algorithm=SHA256(), length=32, salt=None, info=b"tertium.v1" + info).derive(parent))


@dataclass(frozen=True)
class StreamPosition:
    """Where in a keystream words are read. Two different positions never share a block.

    The 16-byte counter block is epoch(4) ‖ step(4) ‖ purpose(1) ‖ part(1) ‖ block counter(6).
    """

    epoch: int
    step: int
    purpose: int
    part: int = 0

    def counter_block(self) -> bytes:
        return struct.pack(">IIBB6x", self.epoch, self.step, self.purpose, self.part)


class Keystream:
    """Uniform ring words from a secret key. Equal key, position and shape give equal words at both holders of the key."""

    def __init__(self, key: SecretKey) -> None:
        self._cipher = algorithms.AES128(key[:16])

    def words(self, shape: tuple[int, ...], bits: RingBits, position: StreamPosition) -> RingArray:
        """Uniform words, freshly allocated: uint32 or uint64 of ``shape``."""
        out = np.empty(shape, ring_dtype(bits))
        self.fill(out, position)
        return out

    def fill(self, out: RingArray, position: StreamPosition) -> None:
        """The same words into a preallocated C-contiguous array.

        Raises:
          TertiumError: another layout, which would silently stay without a mask.
        """
        target = _flat(out).data.cast("B") if out.size else memoryview(b"")
        encryptor = self._encryptor(position)
        for start in range(0, len(target), len(_ZEROS)):
            piece = target[start : start + len(_ZEROS)]
            encryptor.update_into(_ZEROS[: len(piece)], piece)

    def add_to(self, total: RingArray, position: StreamPosition) -> None:
        """``total +=`` the words at ``position``, piece by piece in cache; errors as `fill`."""
        self._pass_over(total, position, np.add)

    def subtract_from(self, total: RingArray, position: StreamPosition) -> None:
        """``total -=`` the words at ``position``; errors as `fill`."""
        self._pass_over(total, position, np.subtract)

    def _pass_over(self, total: RingArray, position: StreamPosition, operation: np.ufunc) -> None:
        flat, encryptor = _flat(total), self._encryptor(position)
        scratch = np.empty(min(_PIECE_BYTES // flat.itemsize, flat.size), flat.dtype)
        for start in range(0, flat.size, max(1, scratch.size)):
            part = flat[start : start + scratch.size]
            piece = scratch[: part.size]
            encryptor.update_into(_ZEROS[: piece.nbytes], piece.data.cast("B"))
            operation(part, piece, out=part)

    def _encryptor(self, position: StreamPosition) -> CipherContext:
        return Cipher(self._cipher, modes.CTR(position.counter_block())).encryptor()


def _flat(words: RingArray) -> RingArray:
    if not words.flags.c_contiguous:
        raise TertiumError("a keystream fills C-contiguous arrays only; copy a strided one first")
    return words.reshape(-1)
