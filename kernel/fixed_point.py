"""Fixed point in a ring: a real x is the word round(x * 2^f) mod 2^k.

Encoding checks instead of hoping: a value that does not fit, or is not finite, raises an error with the remedy.
Rounding is to the nearest (ties to even), so one encoded number is off by at most 2^-(f+1).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import FixedPointError
from kernel.ring import RingArray, RingBits, ring_dtype


@dataclass(frozen=True)
class FixedPoint:
    """A ring of ``ring_bits`` with ``fractional_bits`` f; ``addends`` numbers of full range may be summed without wrap."""

    ring_bits: RingBits
    fractional_bits: int
    addends: int = 1

    def __post_init__(self) -> None:
        if self.ring_bits not in (32, 64):
            raise FixedPointError(f"ring_bits is {self.ring_bits}; use 32 or 64")
        if not 1 <= self.fractional_bits <= self.ring_bits - 4:
            raise FixedPointError(
                f"fractional_bits is {self.fractional_bits}; a ring of {self.ring_bits} bits takes 1 to {self.ring_bits - 4}"
            )

    @property
    def limit(self) -> float:
        """Largest magnitude one addend may have."""
        bound = 2.0 ** (self.ring_bits - 1 - self.fractional_bits)
        # above 2^53 a float has no room for "- 1" alone
        return float(min(bound - 1, np.nextafter(bound, 0.0))) / self.addends

    def check(self, magnitude: float, what: str) -> None:
        """Refuse a magnitude the ring cannot hold; ``what`` names the quantity and whose it is."""
        if not np.isfinite(magnitude):
            raise FixedPointError(f"{what} is not finite (NaN or infinity); look at the learning rate and the table")
        if magnitude > self.limit:
            needed = int(np.ceil(np.log2(magnitude * self.addends + 1)))
            left = self.ring_bits - 1 - self.fractional_bits
            remedy = (
                "lower the learning rate, use ring_bits=64 or scale the columns"
                if self.ring_bits == 32
                else "lower the learning rate or fractional_bits, or scale the columns"
            )
            raise FixedPointError(
                f"|{what}| with {self.addends} addend(s) needs {needed} integer bits; "
                f"the ring leaves {left} with f={self.fractional_bits}: {remedy}"
            )

    def encode(self, values: NDArray[Any], what: str, *, out: RingArray | None = None) -> RingArray:
        """Words of ``values`` (float32 or float64, any shape), uint32 or uint64.

        Args:
          out: words of the values' shape to write to; ``values`` serve as scratch then and are overwritten.

        Raises:
          FixedPointError: a value is not finite or exceeds `limit`.
        """
        magnitude = float(max(values.max(initial=0.0), -values.min(initial=0.0)))
        self.check(magnitude, what)
        # float32 times a power of two is exact; 64-bit words need float64's mantissa
        exact = np.float32 if self.ring_bits == 32 and values.dtype == np.float32 else np.float64
        in_place = out is not None and values.dtype == exact
        scaled = np.multiply(values, exact(2.0**self.fractional_bits), out=values if in_place else None)
        np.rint(scaled, out=scaled)
        words = np.empty(values.shape, ring_dtype(self.ring_bits)) if out is None else out
        signed = words.view(np.dtype("<i4") if self.ring_bits == 32 else np.dtype("<i8"))
        np.copyto(signed, scaled, casting="unsafe")
        return words

    def decode(self, words: RingArray) -> NDArray[np.float64]:
        """Reals of ``words``, float64, exact for magnitudes below 2^53 words."""
        signed = words.view(np.dtype("<i4") if self.ring_bits == 32 else np.dtype("<i8"))
        return signed.astype(np.float64) * 2.0**-self.fractional_bits


def product_error_bound(inner: int, max_left: float, max_right: float, fractional_bits: int) -> float:
    """Bound on |decode(encode(A) encode(B)) - A B| for one entry of a product over ``inner`` terms.

    Each factor is off by at most e = 2^-(f+1), so a term is off by at most e(|a| + |b|) + e^2. The ring product itself
    is exact.
    """
    error = 2.0 ** -(fractional_bits + 1)
    return inner * (error * (max_left + max_right) + error * error)
