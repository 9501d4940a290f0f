"""Correlated randomness of a step: masks that no one knows, and what the dealer derives from them.

Every party's share of a mask, and of a derived value before its correction, is a keystream of its dealer seed: nothing travels
for it. The dealer, who knows all seeds, sums the masks, derives, and sends the *correction holder* one word for each word
derived (Beaver 1991; seeds as in kernel/triples.py). It sees no opening.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kernel.errors import SettingsError
from kernel.randomness import Keystream, SecretKey, StreamPosition, derive_key
from kernel.ring import RingArray, RingBits, ring_dtype, ring_matmul

ROWS_MASK = "U"
"""The rows' own mask, drawn once a run generation; of a step its rows."""
_MAX_ITEMS = 256  # a stream position has one byte for the part
_WORD_BYTES = 8


@dataclass(frozen=True)
class Item:
    """One array of a step: a mask (no rule), or derived by ``rule`` from the items it is ``of``.

    ``bits`` 32 where only the low 32 bits are ever used (what is multiplied by 2^32 or more afterwards).
    """

    name: str
    shape: tuple[int, int]
    rule: str = ""
    of: tuple[str, ...] = ()
    shift: int = 0
    bits: RingBits = 64

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]


def _floor(shift: int, mask: RingArray) -> RingArray:
    return mask >> np.uint64(shift)


_RULES: dict[str, Callable[..., RingArray]] = {
    "rows times": lambda _, left, right: ring_matmul(left, right),
    "transposed times": lambda _, left, right: ring_matmul(np.ascontiguousarray(left.T), right),
    "times transposed": lambda _, left, right: ring_matmul(left, np.ascontiguousarray(right.T)),
    "square": lambda _, one: one * one,
    "product with square": lambda _, left, right: left * right * right,
    "product with cube less itself": lambda _, left, right: left * (right * right * right - right),
    "product": lambda _, left, right: left * right,
    "floor": _floor,
    "top bit": lambda _, mask: mask >> np.uint64(63),
}


@dataclass(frozen=True)
class Recipe:
    """The items of a step, in the order in which they are derived: one may be of any before it."""

    items: tuple[Item, ...]

    def __post_init__(self) -> None:
        if len(self.items) > _MAX_ITEMS:
            raise SettingsError(
                f"a step on shares needs {len(self.items)} correlated arrays, {_MAX_ITEMS} can be dealt; use fewer layers"
            )

    @cached_property
    def places(self) -> dict[str, tuple[Item, slice]]:
        """Where each derived item is among the octets of a correction: 64-bit words first."""
        found, start = {}, 0
        for item in sorted((item for item in self.items if item.rule), key=lambda item: -item.bits):
            end = start + item.size * item.bits // 8
            found[item.name], start = (item, slice(start, end)), end
        return found

    @property
    def correction_words(self) -> int:
        """64-bit words of a step's correction."""
        return -(-sum(item.size * item.bits // 8 for item, _ in self.places.values()) // _WORD_BYTES)

    def parts(self, correction: RingArray) -> dict[str, RingArray]:
        """Views of a correction, words [correction_words]: each derived item's, in its own words and shape."""
        octets = correction.view(np.uint8)
        return {
            name: octets[place].view(ring_dtype(item.bits)).reshape(item.shape)
            for name, (item, place) in self.places.items()
        }


class CorrelatedShares:
    """One party's shares, from its dealer seed."""

    def __init__(self, seed: SecretKey) -> None:
        self._rows = Keystream(derive_key(seed, "correlation", ROWS_MASK))
        self._step = Keystream(derive_key(seed, "correlation", "step"))

    def rows_mask(self, rows: int, columns: int) -> RingArray:
        """Share of U, words [rows, columns]; the same at every call."""
        return self._rows.words((rows, columns), 64, StreamPosition(0, 0, 0))

    def masks(self, recipe: Recipe, position: StreamPosition) -> dict[str, RingArray]:
        """Shares of all items by name; of derived ones before the correction."""
        return {
            item.name: self._step.words(
                item.shape, item.bits, StreamPosition(position.epoch, position.step, position.purpose, part)
            )
            for part, item in enumerate(recipe.items)
        }


def correct(shares: Mapping[str, RingArray], recipe: Recipe, correction: RingArray) -> None:
    """Add a step's correction, words [recipe.correction_words], at its holder, in place."""
    for name, part in recipe.parts(correction).items():
        shares[name][...] += part


class CorrelationDealer:
    """The dealer's side: knows every seed of one run generation, never an opening.

    Args:
      seeds: dealer seed per party; rows, columns: shape of X over all parties' encoded columns.
    """

    def __init__(self, seeds: Sequence[SecretKey], rows: int, columns: int) -> None:
        self._shares = [CorrelatedShares(seed) for seed in seeds]
        self._u: RingArray = np.zeros((rows, columns), ring_dtype(64))
        for shares in self._shares:
            self._u += shares.rows_mask(rows, columns)

    def correction(self, recipe: Recipe, row_indices: np.ndarray, position: StreamPosition) -> RingArray:
        """Words [recipe.correction_words] for a step on the rows ``row_indices`` int64[batch] of X."""
        totals = self._shares[0].masks(recipe, position)
        for shares in self._shares[1:]:
            for name, share in shares.masks(recipe, position).items():
                totals[name] += share
        known: dict[str, RingArray] = {ROWS_MASK: self._u[row_indices]}
        out = np.zeros(recipe.correction_words, ring_dtype(64))
        parts = recipe.parts(out)
        for item in recipe.items:
            if not item.rule:
                known[item.name] = totals[item.name]
                continue
            value = known[item.name] = _RULES[item.rule](item.shift, *(known[name] for name in item.of))
            np.subtract(value.astype(ring_dtype(item.bits), copy=False), totals[item.name], out=parts[item.name])
        return out
