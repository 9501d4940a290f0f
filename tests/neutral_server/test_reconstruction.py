"""neutral_server.reconstruction: only the complete sum, each party once."""

from itertools import permutations

import numpy as np
import pytest

from kernel.errors import StepError
from neutral_server.reconstruction import Contributions, StepShares

PARTIES = ("a", "b", "c")


def shares(bits=64, seed=1):
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, 1 << bits, (3, 2), np.dtype(f"u{bits // 8}")) for name in PARTIES}


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", list(permutations(PARTIES)))
def test_the_sum_does_not_depend_on_who_comes_first(bits, order):
    step, words = StepShares(PARTIES), shares(bits)
    for name in order:
        assert not step.complete
        assert step.add(name, words[name])
    assert step.complete
    exact = sum(one.astype(object) for one in words.values()) % (1 << bits)
    assert np.array_equal(step.reconstruct().astype(object), exact)


def test_an_incomplete_sum_is_never_given():
    step, words = StepShares(PARTIES), shares()
    with pytest.raises(StepError, match=r"\['a', 'b', 'c'\] are missing"):
        step.reconstruct()
    step.add("a", words["a"])
    step.add("c", words["c"])
    with pytest.raises(StepError, match=r"shares of \['b'\] are missing"):
        step.reconstruct()


def test_a_repeat_with_the_same_bytes_counts_once():
    step, words = StepShares(PARTIES), shares()
    order = ("a", "b", "b", "a", "c", "a")
    assert [step.add(name, words[name].copy()) for name in order] == [True, True, False, False, True, False]
    assert np.array_equal(step.reconstruct(), words["a"] + words["b"] + words["c"])
    assert not step.add("a", words["a"])
    assert StepShares(PARTIES).add("a", np.empty((0, 2), np.uint64))  # nothing is a share too, the first time


@pytest.mark.parametrize("complete", [False, True])
def test_a_repeat_with_other_bytes_is_refused_and_changes_nothing(complete):
    step, words = StepShares(PARTIES), shares()
    for name in PARTIES if complete else PARTIES[:2]:
        step.add(name, words[name])
    last_bit = words["a"].copy()
    last_bit[-1, -1] ^= np.uint64(1)
    for other in (words["a"] + np.uint64(1), last_bit, words["a"][:-1], words["a"].astype(np.uint32)):
        with pytest.raises(StepError, match="'a' repeated a step with other bytes"):
            step.add("a", other)
    if not complete:
        step.add("c", words["c"])
    assert np.array_equal(step.reconstruct(), words["a"] + words["b"] + words["c"])


def test_the_first_share_is_not_added_into_the_message_it_came_in():
    step, words = StepShares(PARTIES), shares()
    received = {name: np.frombuffer(one.tobytes(), one.dtype).reshape(one.shape) for name, one in words.items()}
    for name, one in received.items():
        step.add(name, one)
    assert all(np.array_equal(received[name], words[name]) for name in PARTIES)


def test_contributions_are_kept_apart_and_taken_once():
    found = Contributions(["bob", "ann"])
    assert found.missing == ["ann", "bob"]
    assert found.add("bob", np.ones(2))
    assert not found.add("bob", np.ones(2))
    assert (found.missing, found.complete) == (["ann"], False)
    with pytest.raises(StepError, match="'bob' repeated a step with other bytes"):
        found.add("bob", np.zeros(2))
    assert found.add("ann", np.zeros(2))
    assert found.complete
    assert {party: array.tolist() for party, array in found.received.items()} == {"ann": [0, 0], "bob": [1, 1]}
