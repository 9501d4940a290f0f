"""party.first_layer.ahead: everything once, in order, at most one step early."""

import numpy as np
import pytest

from kernel.errors import StepError
from kernel.randomness import StreamPosition
from party.first_layer.ahead import Ahead

BATCHES = [np.arange(0, 3), np.arange(3, 6), np.arange(6, 8)]


@pytest.fixture
def made():
    return []


@pytest.fixture
def ahead(made):
    def make(position, rows):
        made.append(position.step)
        return position, rows.tolist()

    found = Ahead(make)
    found.open_pass(4, 2, BATCHES)
    return found


def at(step, epoch=4):
    return StreamPosition(epoch, step, 2)


def test_each_step_gets_its_own_whether_made_early_or_not(ahead, made):
    assert ahead.take(at(0)) == (at(0), [0, 1, 2])
    ahead.make_ahead()
    assert made == [0, 1]
    assert ahead.take(at(1)) == (at(1), [3, 4, 5])
    assert ahead.take(at(2)) == (at(2), [6, 7])
    assert made == [0, 1, 2]


def test_nothing_is_made_twice_or_more_than_one_step_early(ahead, made):
    for _ in range(3):
        ahead.make_ahead()
    assert made == [0]


def test_a_pass_ends_quietly(ahead, made):
    for step in range(3):
        ahead.take(at(step))
    ahead.make_ahead()
    assert made == [0, 1, 2]
    with pytest.raises(StepError, match="step 3 was asked for out of order"):
        ahead.take(at(3))


@pytest.mark.parametrize("wrong", [at(1), at(0, epoch=5), StreamPosition(4, 0, 3)])
def test_another_step_than_the_due_one_is_refused(ahead, wrong):
    with pytest.raises(StepError, match="used once, in order"):
        ahead.take(wrong)


def test_a_step_is_given_out_once(ahead):
    ahead.take(at(0))
    with pytest.raises(StepError, match="out of order"):
        ahead.take(at(0))


def test_a_new_pass_drops_what_was_made_for_the_old_one(ahead):
    ahead.make_ahead()
    ahead.open_pass(5, 2, BATCHES[1:])
    assert ahead.take(at(0, epoch=5)) == (at(0, epoch=5), [3, 4, 5])


def test_a_pass_is_opened_once(ahead):
    ahead.open_pass(4, 3, BATCHES)  # another purpose is another pass
    with pytest.raises(StepError, match="epoch 4 was ordered twice in one generation"):
        ahead.open_pass(4, 2, BATCHES[:1])
