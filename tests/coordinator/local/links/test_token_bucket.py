"""The rate of a link, with a clock that the test turns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.local.links.token_bucket import TokenBucket


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def send(sizes, rests, rate, burst):
    """A sender that waits until it may, then rests: [(when the last byte left, size)]."""
    clock = Clock()
    bucket = TokenBucket(rate, burst, clock)
    sent = []
    for size, rest in zip(sizes, rests, strict=True):
        due = bucket.reserve(size)
        assert due >= clock.now
        clock.now = due
        sent.append((due, size))
        clock.now += rest
    return sent


SIZES = st.lists(st.integers(1, 5000), min_size=2, max_size=30)


@given(SIZES, st.data(), st.floats(10, 1e5), st.integers(0, 4000))
def test_no_window_lets_more_through_than_burst_and_rate(sizes, data, rate, burst):
    rests = data.draw(st.lists(st.floats(0, 3), min_size=len(sizes), max_size=len(sizes)))
    sent = send(sizes, rests, rate, burst)
    for first in range(len(sent)):
        for last in range(first, len(sent)):
            window = sent[last][0] - sent[first][0]
            passed = sum(size for _, size in sent[first + 1 : last + 1])
            assert passed <= burst + rate * window + 1e-3


@given(SIZES, st.floats(10, 1e5))
def test_who_never_rests_gets_the_whole_rate(sizes, rate):
    sent = send(sizes, [0.0] * len(sizes), rate, 0)
    assert sent[-1][0] - 100.0 == pytest.approx(sum(sizes) / rate, rel=1e-6)


def test_a_rest_saves_up_the_burst_and_no_more():
    clock = Clock()
    bucket = TokenBucket(1000.0, 200, clock)
    clock.now += 3600
    assert bucket.reserve(200) == clock.now
    assert bucket.reserve(1000) == pytest.approx(clock.now + 1.0)


def test_two_connections_share_the_rate():
    bucket = TokenBucket(1000.0, 0, Clock())
    assert [bucket.reserve(500) for _ in range(4)] == pytest.approx([100.5, 101.0, 101.5, 102.0])


def test_without_a_rate_nobody_waits_and_a_new_rate_owes_nothing():
    clock = Clock()
    bucket = TokenBucket(1.0, 0, clock)
    bucket.reserve(10_000)
    bucket.set_rate(None, 0)
    assert bucket.reserve(1 << 40) == clock.now
    bucket.set_rate(100.0, 0)
    assert bucket.reserve(100) == clock.now + 1.0
