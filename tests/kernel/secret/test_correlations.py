"""kernel.secret.correlations: the dealer's corrections make every rule hold, by Python integers, for any number of parties."""

import numpy as np
import pytest
from lockstep import dealt, total
from uniformity import FAILURE, uniform_p

from kernel.errors import SettingsError
from kernel.randomness import SecretKey, StreamPosition
from kernel.secret.correlations import ROWS_MASK, CorrelatedShares, CorrelationDealer, Item, Recipe, correct

ROWS, COLUMNS = 9, 5
BATCH = np.array([7, 0, 3, 8])
HERE = StreamPosition(2, 5, 1)
RING = 1 << 64
RECIPE = Recipe(
    (
        Item("V", (COLUMNS, 3)),
        Item("C", (4, 3), "rows times", (ROWS_MASK, "V")),
        Item("W", (4, 3)),
        Item("X", (COLUMNS, 3), "transposed times", (ROWS_MASK, "W")),
        Item("B", (4, COLUMNS), "times transposed", ("W", "V")),
        Item("bit", (4, 3), "top bit", ("W",), bits=32),
        Item("floor", (4, 3), "floor", ("W",), shift=18),
        Item("square", (4, 3), "square", ("floor",)),
        Item("odd", (1, 3)),
        Item("odd bit", (1, 3), "top bit", ("odd",), bits=32),
        Item("cube", (4, 3), "product with square", ("W", "W")),
        Item("product", (4, 3), "product", ("bit", "floor")),
        Item("half product", (4, 3), "product", ("bit", "floor"), bits=32),
    )
)


def keys(parties, root=3):
    return [SecretKey(bytes([root, place]) * 16) for place in range(parties)]


def shares_of(parties, position=HERE, holder=-1, batch=BATCH):
    """(what all shares of U's batch rows add up to, every party's shares)."""
    dealer, mine = CorrelationDealer(keys(parties), ROWS, COLUMNS), [CorrelatedShares(key) for key in keys(parties)]
    found = [one.masks(RECIPE, position) for one in mine]
    correct(found[holder], RECIPE, dealer.correction(RECIPE, batch, position))
    return total([one.rows_mask(ROWS, COLUMNS)[batch] for one in mine]), found


@pytest.mark.parametrize("holder", [0, -1])
@pytest.mark.parametrize("parties", [2, 3, 4])
def test_every_rule_by_python_integers(parties, holder):
    u, found = shares_of(parties, holder=holder)
    opened = {item.name: total([one[item.name] for one in found]).astype(object) for item in RECIPE.items}
    u, v, w = u.astype(object), opened["V"], opened["W"]
    wanted = {
        "C": u @ v,
        "X": u.T @ w,
        "B": w @ v.T,
        "bit": w >> 63,
        "floor": w >> 18,
        "square": (w >> 18) ** 2,
        "odd bit": opened["odd"] >> 63,
        "cube": w**3,
        "product": (w >> 63) * (w >> 18),
        "half product": (w >> 63) * (w >> 18),
    }
    assert set(wanted) == set(RECIPE.places)
    for item, _ in RECIPE.places.values():
        assert np.array_equal(opened[item.name], wanted[item.name] % (1 << item.bits)), item.name
    assert 0 < (w >> 63).sum() < w.size


def test_a_correction_has_a_word_for_each_word_derived():
    """64-bit items: C 12, X 15, B 20, floor 12, square 12, cube 12, product 12; of 32 bits: 12 + 3 + 12, in pairs."""
    assert RECIPE.correction_words == 95 + 14
    correction = CorrelationDealer(keys(3), ROWS, COLUMNS).correction(RECIPE, BATCH, HERE)
    assert (correction.dtype, correction.shape) == (np.uint64, (109,))
    assert [item.bits for item, _ in RECIPE.places.values()] == [64] * 7 + [32] * 3


def test_a_recipe_of_masks_takes_no_correction():
    assert Recipe((Item("V", (2, 3)),)).correction_words == 0


def test_a_party_that_does_not_hold_the_correction_has_keystreams_alone():
    _, found = shares_of(3)
    for name, share in CorrelatedShares(keys(3)[1]).masks(RECIPE, HERE).items():
        assert np.array_equal(share, found[1][name])


def test_rows_stay_masked_alike_and_everything_else_is_fresh():
    mine = CorrelatedShares(keys(1)[0])
    assert np.array_equal(mine.rows_mask(ROWS, COLUMNS), mine.rows_mask(ROWS, COLUMNS))
    seen = [mine.masks(RECIPE, position) for position in (HERE, StreamPosition(2, 6, 1), StreamPosition(2, 5, 2))]
    for item in RECIPE.items:
        words = np.concatenate([one[item.name].ravel() for one in seen])
        assert len(np.unique(words)) == len(words), item.name


def test_items_are_streams_of_their_own():
    """Of one shape and width: none repeats another's words, nor the rows' mask."""
    mine = CorrelatedShares(keys(1)[0])
    found = mine.masks(Recipe(tuple(Item(str(number), (4, 3)) for number in range(256))), StreamPosition(0, 0, 0))
    words = np.concatenate([mine.rows_mask(4, 3).ravel(), *(one.ravel() for one in found.values())])
    assert len(np.unique(words)) == len(words)


def test_the_correction_holder_receives_uniform_words():
    """Though a bit is 0 or 1 and a floor never has a top bit (failure probability 1e-6 each)."""
    shape = (1 << 13, 1)
    items = (
        Item("W", shape),
        Item("bit", shape, "top bit", ("W",)),
        Item("floor", shape, "floor", ("W",), shift=40),
        Item("square", shape, "square", ("floor",)),
    )
    correction = CorrelationDealer(keys(2), 1, 1).correction(Recipe(items), np.zeros(1, np.int64), HERE)
    for words in np.split(correction, 3):
        assert uniform_p(words) > FAILURE


def test_shares_of_a_bit_are_uniform_at_every_party():
    shape = (1 << 13, 1)
    for share in dealt([Item("W", shape), Item("bit", shape, "top bit", ("W",), bits=32)], 3):
        assert uniform_p(share["bit"]) > FAILURE


def test_more_items_than_can_be_dealt():
    with pytest.raises(SettingsError, match="needs 257 correlated arrays, 256 can be dealt; use fewer layers"):
        Recipe(tuple(Item(str(number), (1, 1)) for number in range(257)))
