"""kernel.phases, with a clock that the test turns."""

import time

import pytest

from kernel.phases import PhaseClock


class Hands:
    """``hands(seconds)`` moves the time on."""

    now = 100.0

    def __call__(self, seconds):
        self.now += seconds


@pytest.fixture
def hands(monkeypatch):
    turned = Hands()
    monkeypatch.setattr("kernel.phases.time.perf_counter", lambda: turned.now)
    return turned


def test_a_mark_books_what_passed_since_the_one_before(hands):
    clock = PhaseClock()
    hands(1.5)
    clock.mark("share")
    hands(0.25)
    clock.mark("wait")
    hands(2.0)
    clock.mark("share")
    assert clock.take() == {"share": 3.5, "wait": 0.25}


def test_what_passes_before_a_start_is_nobodys(hands):
    clock = PhaseClock()
    hands(40.0)
    clock.start()
    hands(1.0)
    clock.mark("share")
    hands(7.0)
    clock.start()
    clock.mark("wait")
    assert clock.take() == {"share": 1.0, "wait": 0.0}


def test_what_was_taken_is_gone_and_time_goes_on(hands):
    clock = PhaseClock()
    hands(1.0)
    clock.mark("share")
    taken = clock.take()
    assert clock.take() == {}
    hands(2.0)
    clock.mark("share")
    assert (taken, clock.take()) == ({"share": 1.0}, {"share": 2.0})


def test_the_phases_add_up_to_the_time_between_first_and_last_mark():
    """With the real clock: nothing is lost and nothing booked twice."""
    clock = PhaseClock()
    before = time.perf_counter()
    clock.start()
    for _ in range(50):
        for phase in ("share", "wait", "update"):
            clock.mark(phase)
    spent = time.perf_counter() - before
    assert 0 < sum(clock.take().values()) <= spent
