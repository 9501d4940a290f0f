"""Additive sharing over Z_2^k.

A value x is split into n uniform words whose sum is x mod 2^k; any n-1 of them are independent of x. Between two
holders of a pairwise keystream a share needs no message: the receiver's share is the keystream, the owner keeps the rest.
"""

from collections.abc import Iterable, Mapping

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
