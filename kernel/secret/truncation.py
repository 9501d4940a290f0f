"""Truncation on shares over Z_2^64 for any number of parties: exact at the top, unbiased in the last bit.

x is shared, |x| < 2^62, r uniform in Z_2^64 and known to nobody; the dealer deals floor(r / 2^t) and r's top bit b.
 [1] c = x + 2^62 + r is opened; x + 2^62 is in [0, 2^63), so that the sum wraps exactly where b = 1 and c's top bit is 0;
 [2] y = floor(c / 2^t) - 2^(62-t) - rho,  rho = floor(r / 2^t) - [c < 2^63] b 2^(64-t)  (mod 2^64).

Guarantees: y is floor(x / 2^t) or that plus one, the latter with probability (x mod 2^t) / 2^t: E[y] = x / 2^t and
|y 2^t - x| < 2^t. There is no failure for |x| < 2^62 (the two-party truncation of SecureML fails with probability
|x| / 2^64, and for three it is wrong every other time). c is uniform: it tells nothing. (Top bit against overflow as in Escudero,
Ghosh, Keller, Rachuri, Scholl 2020, "Improved primitives for MPC over mixed arithmetic-binary circuits", section 5, with the
dealer in the place of their preprocessing.)

[1] is a Beaver opening of y as well: y is public minus rho, and rho, its square and its products with others are known to the
dealer up to the public selection [c < 2^63]. What is multiplied next, element by element, needs no round of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kernel.errors import SettingsError
from kernel.ring import RingArray
from kernel.secret.correlations import Item

OFFSET_BITS = 62
_TOP = np.uint64(63)
_HALF_WORD = 32


def truncation_items(name: str, shape: tuple[int, int], shift: int, *, again: int = 0) -> list[Item]:
    """What a truncation by ``shift`` bits takes: the mask ``name``, ``name.floor`` and ``name.bit``.

    Args:
      again: the other shift, where what is opened is truncated twice.

    Raises:
      SettingsError: a shift out of range.
    """
    widest = max(shift, again)
    if not 1 <= shift <= widest <= OFFSET_BITS:
        raise SettingsError(f"a truncation by {widest} bits cannot be had in a ring of 64; 1 to {OFFSET_BITS} can")
    return [
        Item(name, shape),
        Item(f"{name}.floor", shape, "floor", (name,), shift),
        Item(f"{name}.bit", shape, "top bit", (name,), bits=32 if widest <= _HALF_WORD else 64),
    ]


def square_items(name: str, shape: tuple[int, int], shift: int) -> list[Item]:
    """What the square of a truncated value takes besides.

    Raises:
      SettingsError: a shift above 32, where the square of the wrap would count.
    """
    if shift > _HALF_WORD:
        raise SettingsError(f"a value truncated by {shift} bits cannot be squared; by at most {_HALF_WORD}")
    return [
        Item(f"{name}.square", shape, "square", (f"{name}.floor",)),
        Item(f"{name}.bit.floor", shape, "product", (f"{name}.bit", f"{name}.floor"), bits=32),
    ]


def product_items(left: str, left_shift: int, right: str, right_shift: int, shape: tuple[int, int]) -> list[Item]:
    """What the product of two truncated values takes besides.

    Raises:
      SettingsError: shifts above 64 together, where the product of the two wraps would count.
    """
    if left_shift + right_shift > 64:
        raise SettingsError(
            f"values truncated by {left_shift} and {right_shift} bits cannot be multiplied; at most 64 together"
        )
    return [
        Item(f"{left}*{right}", shape, "product", (f"{left}.floor", f"{right}.floor")),
        Item(
            f"{left}.bit*{right}",
            shape,
            "product",
            (f"{left}.bit", f"{right}.floor"),
            bits=32 if left_shift <= _HALF_WORD else 64,
        ),
        Item(
            f"{right}.bit*{left}",
            shape,
            "product",
            (f"{right}.bit", f"{left}.floor"),
            bits=32 if right_shift <= _HALF_WORD else 64,
        ),
    ]


def masked(share: RingArray, mask: RingArray, *, first: bool) -> RingArray:
    """This party's share of what is opened [1]; ``first`` at exactly one party."""
    total = share + mask
    if first:
        total += np.uint64(1 << OFFSET_BITS)
    return total


@dataclass(frozen=True, eq=False)
class Truncated:
    """A truncated value at one party: ``public`` minus rho.

    Attributes:
      public: floor(c / 2^t) - 2^(62-t), at every party; selected: [c < 2^63] as words 0 and 1, at every party.
      rho: this party's share of rho; floor: of floor(r / 2^t).
    """

    name: str
    shift: int
    public: RingArray
    selected: RingArray
    rho: RingArray
    first: bool

    @property
    def share(self) -> RingArray:
        """This party's share of y."""
        return self.public - self.rho if self.first else np.negative(self.rho)


def truncate(name: str, opened: RingArray, shares: Mapping[str, RingArray], shift: int, *, first: bool) -> Truncated:
    """[2]; ``opened`` is c, ``shares`` this party's of `truncation_items`."""
    return truncated_again(name, name, opened, shares, shift, first=first)


def truncated_again(
    name: str, of: str, opened: RingArray, shares: Mapping[str, RingArray], shift: int, *, first: bool
) -> Truncated:
    """As `truncate`, of a mask ``of`` that was opened for another shift: ``name.floor`` is dealt, mask and top bit are that one's."""
    selected = (opened >> _TOP) ^ np.uint64(1)
    public = (opened >> np.uint64(shift)) - np.uint64(1 << (OFFSET_BITS - shift))
    return Truncated(
        name, shift, public, selected, shares[f"{name}.floor"] - _wrap(selected, shares[f"{of}.bit"], shift), first
    )


def squared(value: Truncated, shares: Mapping[str, RingArray]) -> RingArray:
    """This party's share of y^2: public^2 - 2 public rho + rho^2, rho^2 = floor^2 - 2 [c < 2^63] b floor 2^(64-t)."""
    both = shares[f"{value.name}.square"] - _wrap(
        value.selected, shares[f"{value.name}.bit.floor"], value.shift
    ) * np.uint64(2)
    total: RingArray = both - np.uint64(2) * value.public * value.rho
    if value.first:
        total += value.public * value.public
    return total


def multiplied(left: Truncated, right: Truncated, shares: Mapping[str, RingArray]) -> RingArray:
    """This party's share of the product of two truncated values, element by element (`product_items` in this order)."""
    both = shares[f"{left.name}*{right.name}"].copy()
    both -= _wrap(left.selected, shares[f"{left.name}.bit*{right.name}"], left.shift)
    both -= _wrap(right.selected, shares[f"{right.name}.bit*{left.name}"], right.shift)
    both -= left.public * right.rho
    both -= right.public * left.rho
    if left.first:
        both += left.public * right.public
    return both


def _wrap(selected: RingArray, bit: RingArray, shift: int) -> RingArray:
    """[c < 2^63] b 2^(64-t): of the bit's share only the low t bits count."""
    wrap: RingArray = np.left_shift(selected * bit.astype(np.uint64), np.uint64(64 - shift))
    return wrap
