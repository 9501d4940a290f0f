"""Additive sharing over Z_2^k.

A value x is split into n uniform words whose sum is x mod 2^k; any n-1 of them are independent of x. Between two
holders of a pairwise keystream a share needs no message: the receiver's share is the keystream, the owner keeps the rest.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from kernel.errors import BadInputError
from kernel.randomness import Keystream, StreamPosition
from kernel.ring import RingArray


def owner_share(value: RingArray, peers: Mapping[str, Keystream], position: StreamPosition) -> RingArray:
    """What the owner of ``value`` keeps: the value minus every peer's keystream share.

    Guarantees: with each peer's `peer_share` at the same position the shares add up to ``value``; every proper subset
    is uniform and independent of it, as long as a position is used once per key.
    """
    kept = value.copy()
    for keystream in peers.values():
        keystream.subtract_from(kept, position)
    return kept


def peer_share(shape: tuple[int, ...], bits: int, owner: Keystream, position: StreamPosition) -> RingArray:
    """The share a peer holds of a value that ``owner`` (the other end of the keystream) has split."""
    return owner.words(shape, 32 if bits == 32 else 64, position)


def reconstruct(shares: Iterable[RingArray]) -> RingArray:
    """The sum of all shares: reveals the value to whoever calls it.

    Raises:
      BadInputError: no share, or shares of different shape or ring.
    """
    total: RingArray | None = None
    for share in shares:
        if total is None:
            total = share.copy()
        elif share.shape != total.shape or share.dtype != total.dtype:
            raise BadInputError(f"a share is {share.dtype}{share.shape}, the others are {total.dtype}{total.shape}")
        else:
            total += share
    if total is None:
        raise BadInputError("no share to reconstruct from")
    return total


def drop_low_bits(share: RingArray, bits: int) -> RingArray:
    """This holder's share of z / 2^bits in Z_2^32, from its share of z in Z_2^64; ``share`` is overwritten.

    With m shares s_i of z, the sum of floor((s_i + 2^(bits-1)) / 2^bits) is z / 2^bits + e + k 2^(64-bits) for some
    integer k and |e| <= m / 2: every s_i rounds once, and where the s_i wrap, the wrap is a multiple of 2^64. Modulo 2^32 the
    last term vanishes, because bits <= 32. So nothing fails with any probability, in contrast to truncation within
    one ring (Mohassel and Zhang 2017, section 4.1).

    Args:
      share: uint64, any shape, C-contiguous; bits: 0 to 32.

    Returns: uint32 of the same shape; a uniform share stays uniform.

    Raises:
      BadInputError: another ring, or bits out of range.
    """
    if share.dtype != np.uint64 or not 0 <= bits <= 32:
        raise BadInputError(f"{bits} bits of {share.dtype} words cannot be dropped; 0 to 32 bits of uint64 can")
    if bits:
        share += np.uint64(1 << (bits - 1))
        share >>= np.uint64(bits)
    return share.astype(np.uint32)
