"""neutral_server.reconstruction: only the complete sum, each party once."""

from itertools import permutations

import numpy as np
import pytest

from kernel.errors import StepError
from neutral_server.reconstruction import StepShares

PARTIES = ("a", "b", "c")


def shares(bits=64, seed=1):
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, 1 << bits, (3, 2), np.dtype(f"u{bits // 8}")) for name in PARTIES}


def add(step, name, words):
    step.add(name, words, words.tobytes())


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", list(permutations(PARTIES)))
def test_the_sum_does_not_depend_on_who_comes_first(bits, order):
    step, words = StepShares(PARTIES), shares(bits)
    for name in order:
        assert not step.complete
        add(step, name, words[name])
    assert step.complete
    exact = sum(one.astype(object) for one in words.values()) % (1 << bits)
    assert np.array_equal(step.reconstruct().astype(object), exact)


def test_an_incomplete_sum_is_never_given():
    step, words = StepShares(PARTIES), shares()
    with pytest.raises(StepError, match=r"\['a', 'b', 'c'\] are missing"):
        step.reconstruct()
    add(step, "a", words["a"])
    add(step, "c", words["c"])
    with pytest.raises(StepError, match=r"shares of \['b'\] are missing"):
        step.reconstruct()


def test_a_repeat_with_the_same_bytes_counts_once():
    step, words = StepShares(PARTIES), shares()
    for name in ("a", "b", "b", "a", "c", "a"):
        add(step, name, words[name])
    assert np.array_equal(step.reconstruct(), words["a"] + words["b"] + words["c"])
    assert step.repeated("a", words["a"].tobytes())
    assert not StepShares(PARTIES).repeated("a", b"")


@pytest.mark.parametrize("complete", [False, True])
def test_a_repeat_with_other_bytes_is_refused_and_changes_nothing(complete):
    step, words = StepShares(PARTIES), shares()
    for name in PARTIES if complete else PARTIES[:2]:
        add(step, name, words[name])
    other = words["a"] + np.uint64(1)
    with pytest.raises(StepError, match="'a' repeated a step with other bytes"):
        add(step, "a", other)
    if not complete:
        add(step, "c", words["c"])
    assert np.array_equal(step.reconstruct(), words["a"] + words["b"] + words["c"])


def test_the_first_share_is_not_added_into_the_message_it_came_in():
    step, words = StepShares(PARTIES), shares()
    received = {name: np.frombuffer(one.tobytes(), one.dtype).reshape(one.shape) for name, one in words.items()}
    for name, one in received.items():
        add(step, name, one)
    assert all(np.array_equal(received[name], words[name]) for name in PARTIES)
