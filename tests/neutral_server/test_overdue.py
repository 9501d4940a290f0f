"""A party that hangs and stays connected: the session names it, and nobody else, once others have waited for it."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_defended_session import Defended
from test_session import BATCH, EPOCH, EVALUATE, ROWS, TRAIN, Federation, gradient

from kernel.errors import PeerError
from kernel.run_state import RunState
from neutral_server import live_session

WAIT_SECONDS = 0.05


class Clock:
    """The sessions' time; it stands still between calls of ``pass_time``."""

    def __init__(self):
        self.seconds = 0.0

    def pass_time(self):
        self.seconds += 2 * WAIT_SECONDS


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(live_session, "time", SimpleNamespace(monotonic=lambda: made.seconds))
    return made


@pytest.fixture
def training():
    made = Federation()
    made.session.open_pass(EPOCH, TRAIN, ROWS, BATCH)
    return made


@pytest.fixture
def overdue(clock):
    """``overdue(session)``: the session after its parties' time is up."""

    def after(session):
        clock.pass_time()
        session.fail_if_overdue(WAIT_SECONDS)
        return session

    return after


def test_who_owes_a_share_is_named_to_all(training, overdue):
    for party in ("a", "c"):
        training.deliver(party, training.share(party, 0))
    assert overdue(training.session).state is RunState.PAUSED
    for party in training.outboxes:
        with pytest.raises(PeerError, match=r"^'b' sent nothing for 0\.05 s at step 0, while others waited; see"):
            training.sent(party)


def test_the_label_holder_owes_its_gradient(training, overdue):
    for party in training.outboxes:
        training.deliver(party, training.share(party, 0))
    overdue(training.session)
    with pytest.raises(PeerError, match=r"^'b' sent nothing"):
        training.sent("a")


def test_others_that_go_on_sending_do_not_hide_who_is_silent(training, clock):
    training.deliver("a", training.share("a", 0))
    clock.pass_time()
    training.deliver("b", training.share("b", 0))
    training.session.fail_if_overdue(WAIT_SECONDS)
    with pytest.raises(PeerError, match=r"^'c' sent nothing"):
        training.sent("a")


def test_a_party_that_came_late_is_not_overdue(training, clock):
    for party in ("a", "c"):
        training.deliver(party, training.share(party, 0))
    clock.pass_time()
    training.deliver("b", training.share("b", 0))
    training.session.fail_if_overdue(WAIT_SECONDS)
    assert training.session.state is RunState.TRAINING


def test_nobody_is_overdue_before_anybody_began_a_step(training, overdue):
    assert overdue(training.session).state is RunState.TRAINING
    training.train_step(0)
    assert overdue(training.session).state is RunState.TRAINING


def test_nobody_is_overdue_between_passes(training, overdue):
    for step in range(3):
        training.train_step(step)
    assert overdue(training.session).state is RunState.READY


def test_who_owes_a_share_of_an_evaluation_is_named(training, overdue):
    federation = Federation()
    federation.session.open_pass(EPOCH, EVALUATE, ROWS, BATCH)
    for step in range(2):
        federation.deliver("b", federation.share("b", step, EVALUATE))
    overdue(federation.session)
    with pytest.raises(PeerError, match=r"^'a', 'c' sent nothing"):
        federation.sent("b")


def test_who_owes_a_share_of_a_defenders_gradient_is_named(overdue):
    defended = Defended()
    for party in defended.outboxes:
        defended.share(party)
    defended.head()
    for party in ("a", "b"):
        defended.pull(party)
    overdue(defended.session)
    with pytest.raises(PeerError, match=r"^'c' sent nothing"):
        defended.sent("a")


def test_a_step_that_ended_is_owed_nothing(training, overdue):
    training.train_step(0)
    assert np.array_equal([len(training.sent(party)) for party in ("a", "c")], [1, 1])
    training.deliver("b", gradient(0))  # a repeat
    assert overdue(training.session).state is RunState.TRAINING
