"""A proof on shares that |x| stays below a bound, which tells nothing but that.

x is truncated by log2(bound) + f bits: the result q is -1, 0 or 1 wherever |x| < bound, and |q| >= 2 wherever |x| >= 2 bound
(in between it is 2 with probability |x| / bound - 1 and is found with that). q^3 - q is zero for -1, 0 and 1 only.
 [1] q - a is opened; m, m a, m a^2 and m (a^3 - a) are dealt, m uniform and known to nobody;
 [2] the sum of m (q^3 - q) over all values is opened: zero, or the bound was exceeded. With d = q - a it is
     m (d^3 - d) + (3 d^2) m a + (3 d) m a^2 + m (a^3 - a), linear in what is dealt.

Guarantees: values below the bound always pass. One at or above twice the bound is found with probability at least 1 - 2^-50 as
long as |q| < 2^12: a non-zero multiple of 2^v is hit by a uniform multiplier with probability 2^(v-64). A sum that is not zero says that
some value left the bound, and how often two divides what it left by; which value, and to which side, stays behind m. Values above 2^62
have wrapped by then.
"""

from collections.abc import Mapping

import numpy as np

from kernel.ring import RingArray
from kernel.secret.correlations import Item


def range_items(name: str, shape: tuple[int, int]) -> list[Item]:
    """The mask of q, the multipliers, and their products."""
    factors = (f"{name}.m", f"{name}.a")
    return [
        Item(f"{name}.a", shape),
        Item(f"{name}.m", shape),
        Item(f"{name}.m*a", shape, "product", factors),
        Item(f"{name}.m*a2", shape, "product with square", factors),
        Item(f"{name}.m*cubic", shape, "product with cube less itself", factors),
    ]


def excess(name: str, opened: RingArray, shares: Mapping[str, RingArray]) -> RingArray:
    """This party's share of the sum [2], words [1, 1]; ``opened`` is q - a."""
    three, squared = np.uint64(3), opened * opened
    total = (squared * opened - opened) * shares[f"{name}.m"]
    total += three * squared * shares[f"{name}.m*a"]
    total += three * opened * shares[f"{name}.m*a2"]
    total += shares[f"{name}.m*cubic"]
    return np.asarray(total.sum(dtype=np.uint64)).reshape(1, 1)
