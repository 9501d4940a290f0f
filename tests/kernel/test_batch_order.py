"""kernel.batch_order: every row once, the same at every party, and nothing left out at the end."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.batch_order import batch_seed, batch_sizes, batches, epoch_order, micro_batches, split_rows
from kernel.errors import BadInputError


@settings(deadline=None)
@given(st.integers(2, 400), st.floats(0.01, 0.99), st.integers(0, 2**63 - 1))
def test_a_split_is_disjoint_complete_and_of_the_size_asked_for(rows, fraction, seed):
    if not 1 <= round(rows * fraction) <= rows - 1:
        return
    split = split_rows(rows, fraction, seed)
    assert len(split.test) == round(rows * fraction)
    assert np.array_equal(np.sort(np.concatenate([split.train, split.test])), np.arange(rows))
    assert np.array_equal(split.train, np.sort(split.train))
    assert np.array_equal(split.test, np.sort(split.test))
    assert split.train.dtype == split.test.dtype == np.int64


def test_every_party_draws_the_same_split_and_another_seed_another():
    first, again, other = split_rows(200, 0.25, 9), split_rows(200, 0.25, 9), split_rows(200, 0.25, 10)
    assert np.array_equal(first.test, again.test)
    assert not np.array_equal(first.test, other.test)


def test_held_out_rows_come_from_everywhere():
    """Each row with probability 0.24: 400 draws, all 50 counts within 6 standard deviations."""
    counts = np.bincount(np.concatenate([split_rows(50, 0.24, seed).test for seed in range(400)]), minlength=50)
    assert np.abs(counts - 400 * 0.24).max() < 6 * np.sqrt(400 * 0.24 * 0.76)


@pytest.mark.parametrize(
    ("rows", "fraction", "sentence"),
    [
        (10, 0.0, "leave 10 to train and 0 to test"),
        (10, 0.01, "leave 10 to train and 0 to test"),
        (10, 1.0, "leave 0 to train and 10 to test"),
        (1, 0.5, "each side needs at least one row"),
        (0, 0.5, "each side needs at least one row"),
    ],
)
def test_an_empty_side_is_refused(rows, fraction, sentence):
    with pytest.raises(BadInputError, match=sentence):
        split_rows(rows, fraction, 1)


def test_an_epoch_is_a_permutation_of_the_training_rows():
    train = split_rows(97, 0.3, 4).train
    order = epoch_order(train, batch_seed(4, 1))
    assert not np.array_equal(order, train)
    assert np.array_equal(np.sort(order), train)
    assert np.array_equal(order, epoch_order(train, batch_seed(4, 1)))


def test_every_epoch_and_seed_has_an_order_of_its_own():
    train = np.arange(60)
    orders = {tuple(epoch_order(train, batch_seed(seed, epoch))) for seed in range(5) for epoch in range(1, 11)}
    assert len(orders) == 50


def test_seeds_of_epochs_fit_the_message_field():
    seeds = {batch_seed(2**63 - 1, epoch) for epoch in range(200)}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**63 for seed in seeds)


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 320))
def test_batches_are_the_order_in_pieces(rows, batch_rows):
    order = np.random.default_rng(rows).permutation(rows)
    pieces = list(batches(order, batch_rows))
    assert np.array_equal(np.concatenate(pieces), order)
    assert [len(piece) for piece in pieces] == batch_sizes(rows, batch_rows)
    assert all(len(piece) == batch_rows for piece in pieces[:-1])
    assert 1 <= len(pieces[-1]) <= batch_rows


def test_an_uneven_last_batch_keeps_its_rows():
    assert batch_sizes(10, 4) == [4, 4, 2]
    assert batch_sizes(8, 4) == [4, 4]
    assert batch_sizes(3, 4) == [3]
    assert batch_sizes(0, 4) == []


@pytest.mark.parametrize(
    ("rows", "pieces", "wanted"),
    [
        (10, 1, [(0, 10)]),
        (10, 2, [(0, 5), (5, 10)]),
        (10, 3, [(0, 4), (4, 8), (8, 10)]),
        (10, 4, [(0, 3), (3, 6), (6, 9), (9, 10)]),
        (9, 4, [(0, 3), (3, 6), (6, 9)]),  # pieces of equal size come first: fewer of them
        (2, 5, [(0, 1), (1, 2)]),
    ],
)
def test_micro_batches_by_hand(rows, pieces, wanted):
    assert [(piece.start, piece.stop) for piece in micro_batches(rows, pieces)] == wanted
