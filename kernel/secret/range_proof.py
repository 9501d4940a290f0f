"""A proof on shares that |x| stays below a bound, which tells nothing but that.

x is truncated by log2(bound) + f bits: the result q is -1, 0 or 1 wherever |x| < bound, and |q| >= 2 wherever |x| >= 2 bound
(in between it is 2 with probability |x| / bound - 1 and is found with that). q^3 - q is zero for -1, 0 and 1 only.
 [1] q - a is opened, a, a^2 and a^3 dealt; [2] the sum of public random multiples of all q^3 - q is opened: zero, or the bound was exceeded.

Guarantees: values below the bound always pass. One at or above twice the bound is found with probability at least 1 - 2^-50 as
long as |q| < 2^12: a non-zero multiple of 2^v is hit by a uniform multiplier with probability 2^(v-64). Values above 2^62 have wrapped by then.
"""

from collections.abc import Mapping

import numpy as np

from kernel.randomness import Keystream, SecretKey, StreamPosition
from kernel.ring import RingArray
from kernel.secret.correlations import Item

_MULTIPLIERS = Keystream(SecretKey(b"tertium range proof multipliers\0"))
"""Public: parties are semi-honest, and what they multiply is hidden already."""


def range_items(name: str, shape: tuple[int, int], of: str, shift: int) -> list[Item]:
    """For the value whose mask is ``of``: its other truncation, and the cubes."""
    return [
        Item(f"{name}.floor", shape, "floor", (of,), shift),
        Item(f"{name}.a", shape),
        Item(f"{name}.square", shape, "square", (f"{name}.a",)),
        Item(f"{name}.cube", shape, "cube", (f"{name}.a",)),
    ]


def excess(
    name: str, opened: RingArray, q: RingArray, shares: Mapping[str, RingArray], part: int, *, first: bool
) -> RingArray:
    """This party's share of the sum [2], words [1, 1].

    Args:
      opened: q - a; q: this party's share of q; part: which proof of the step this is.
    """
    three, squared = np.uint64(3), opened * opened
    cube = shares[f"{name}.cube"] + three * opened * shares[f"{name}.square"] + three * squared * shares[f"{name}.a"]
    if first:
        cube += squared * opened
    multipliers = _MULTIPLIERS.words(q.shape, 64, StreamPosition(0, 0, 0, part))
    return np.asarray(((cube - q) * multipliers).sum(dtype=np.uint64)).reshape(1, 1)
