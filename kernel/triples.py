"""Matrix triples (U, V, C) with C = U_batch V, dealt as seeds and one correction (Beaver 1991; Algorithm 1 of P2N2).

Numbered as in the protocol:
 [1] every party has a dealer seed; its shares of U (all rows, one per run generation) and of V and C (one per step) are
     keystreams of that seed, so nothing travels for them;
 [2] the dealer, who knows all seeds, computes U_batch V and sends the *correction holder* the one matrix that makes
     the C shares add up;
 [3] parties open E = X - U once and F = Theta - V each step (the dealer sees neither);
 [4] party i computes E <V>_i + <C>_i before F is known, and adds (<U>_i + [i is first] E) F: an additive share of
     X Theta.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kernel.randomness import Keystream, SecretKey, StreamPosition, derive_key
from kernel.ring import RingArray, RingBits, multiply_add, ring_dtype, ring_matmul


class SeededShares:
    """One party's shares of U, V and C in a ring of ``bits``, from its dealer seed [1]."""

    def __init__(self, seed: SecretKey, bits: RingBits = 64) -> None:
        self._bits = bits
        self._u = Keystream(derive_key(seed, "triple", "U"))
        self._v = Keystream(derive_key(seed, "triple", "V"))
        self._c = Keystream(derive_key(seed, "triple", "C"))

    def u(self, rows: int, columns: int) -> RingArray:
        """Share of U, words [rows, columns]; the same at every call: X is masked once."""
        return self._u.words((rows, columns), self._bits, StreamPosition(0, 0, 0))

    def add_u(self, total: RingArray) -> None:
        """``total +=`` the share of U."""
        self._u.add_to(total, StreamPosition(0, 0, 0))

    def v(self, columns: int, width: int, position: StreamPosition) -> RingArray:
        """Share of a fresh V, words [columns, width]."""
        return self._v.words((columns, width), self._bits, position)

    def fill_v(self, out: RingArray, position: StreamPosition) -> None:
        """The share of V into an array of its shape."""
        self._v.fill(out, position)

    def add_v(self, total: RingArray, position: StreamPosition) -> None:
        """``total +=`` the share of V."""
        self._v.add_to(total, position)

    def c(self, batch: int, width: int, position: StreamPosition) -> RingArray:
        """Share of C before the correction, words [batch, width]."""
        return self._c.words((batch, width), self._bits, position)

    def fill_c(self, out: RingArray, position: StreamPosition) -> None:
        """The share of C before the correction into an array of its shape."""
        self._c.fill(out, position)

    def subtract_c(self, total: RingArray, position: StreamPosition) -> None:
        """``total -=`` the share of C."""
        self._c.subtract_from(total, position)


class TripleDealer:
    """The dealer's side [2]: knows every seed of one run generation, never an opening.

    Args:
      seeds: dealer seed per party.
      rows, columns: shape of X over all parties' encoded columns; width: of the first layer; bits: of the ring.
    """

    def __init__(
        self, seeds: Mapping[str, SecretKey], rows: int, columns: int, width: int, bits: RingBits = 64
    ) -> None:
        self._shares = [SeededShares(seed, bits) for seed in seeds.values()]
        self._u = np.zeros((rows, columns), ring_dtype(bits))
        for shares in self._shares:
            shares.add_u(self._u)
        self._v_shape, self._bits = (columns, width), bits

    def correction(self, row_indices: NDArray[np.int64], position: StreamPosition) -> RingArray:
        """U_batch V - sum of all seeded C shares, words [batch, width]; ``row_indices`` int64[batch] into X."""
        v: RingArray = np.zeros(self._v_shape, ring_dtype(self._bits))
        for shares in self._shares:
            shares.add_v(v, position)
        correction = ring_matmul(self._u[row_indices], v)
        for shares in self._shares:
            shares.subtract_c(correction, position)
        return correction


def prepare_product(e: RingArray, v_share: RingArray, c_share: RingArray) -> RingArray:
    """What of [4] needs no F: E <V>_i + <C>_i, into ``c_share``.

    Args:
      e: the batch's rows of E, words [batch, columns]; v_share: words [columns, width]; c_share: words [batch, width].
    """
    multiply_add(e, v_share, c_share)
    return c_share


def finish_product(prepared: RingArray, factor: RingArray, f: RingArray) -> RingArray:
    """Share of X_batch Theta [4], into ``prepared``, twice the factors' fractional bits.

    Args:
      prepared: from `prepare_product`; f: opened F, words [columns, width];
      factor: the batch's rows of this party's share of U, words [batch, columns]; at exactly one party plus E.
    """
    multiply_add(factor, f, prepared)
    return prepared
