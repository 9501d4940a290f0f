"""Matrix triples (U, V, C) with C = U_batch V, dealt as seeds and one correction (Beaver 1991; Algorithm 1 of P2N2).

Numbered as in the protocol:
 [1] every party has a dealer seed; its shares of U (all rows, one per run generation) and of V and C (one per step) are
     keystreams of that seed, so nothing travels for them;
 [2] the dealer, who knows all seeds, computes U_batch V and sends the *correction holder* the one matrix that makes
     the C shares add up;
 [3] parties open E = X - U once and F = Theta - V each step (the dealer sees neither);
 [4] party i computes E F [i is first] + E <V>_i + <U>_i F + <C>_i, an additive share of X Theta.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kernel.randomness import Keystream, SecretKey, StreamPosition, derive_key
from kernel.ring import RingArray, RingBits, ring_matmul
from kernel.shares import reconstruct

_RING: RingBits = 64  # U V needs 2f fractional bits: only the 64-bit ring has the room


class SeededShares:
    """One party's shares of U, V and C, from its dealer seed [1]."""

    def __init__(self, seed: SecretKey) -> None:
        self._u = Keystream(derive_key(seed, "triple", "U"))
        self._v = Keystream(derive_key(seed, "triple", "V"))
        self._c = Keystream(derive_key(seed, "triple", "C"))

    def u(self, rows: int, columns: int) -> RingArray:
        """Share of U, uint64[rows, columns]; the same at every call: X is masked once."""
        return self._u.words((rows, columns), _RING, StreamPosition(0, 0, 0))

    def v(self, columns: int, width: int, position: StreamPosition) -> RingArray:
        """Share of a fresh V, uint64[columns, width]."""
        return self._v.words((columns, width), _RING, position)

    def c(self, batch: int, width: int, position: StreamPosition) -> RingArray:
        """Share of C before the correction, uint64[batch, width]."""
        return self._c.words((batch, width), _RING, position)


class TripleDealer:
    """The dealer's side [2]: knows every seed of one run generation, never an opening.

    Args:
      seeds: dealer seed per party.
      rows, columns: shape of X over all parties' encoded columns; width: of the first layer.
    """

    def __init__(self, seeds: Mapping[str, SecretKey], rows: int, columns: int, width: int) -> None:
        self._shares = {name: SeededShares(seed) for name, seed in seeds.items()}
        self._width = width
        self._columns = columns
        self._u = reconstruct(shares.u(rows, columns) for shares in self._shares.values())

    def correction(self, row_indices: NDArray[np.int64], position: StreamPosition) -> RingArray:
        """U_batch V - sum of all seeded C shares, uint64[batch, width]; ``row_indices`` int64[batch] into X."""
        u_batch = self._u[row_indices]
        v = reconstruct(shares.v(self._columns, self._width, position) for shares in self._shares.values())
        correction = ring_matmul(u_batch, v)
        for shares in self._shares.values():
            correction -= shares.c(len(u_batch), self._width, position)
        return correction


def product_share(
    e_and_u: RingArray, f: RingArray, v_share: RingArray, c_share: RingArray, *, first: bool
) -> RingArray:
    """Share of X_batch Theta [4], uint64[batch, width], 2f fractional bits.

    Args:
      e_and_u: the batch's rows of E and of this party's share of U side by side, uint64[batch, 2 columns]:
        E(<V> + [first] F) + <U> F is then one product instead of three.
      f: opened F, uint64[columns, width]; v_share: <V>_i; c_share: <C>_i with the correction where it belongs.
      first: exactly one party adds E F.
    """
    upper = v_share + f if first else v_share
    return ring_matmul(e_and_u, np.concatenate([upper, f])) + c_share
