"""coordinator.roster: parties as threads that answer, fail, fall silent or leave."""

import threading
import time
from contextlib import contextmanager

import pytest

from coordinator.roster import Roster
from kernel.errors import BadInputError, PeerError, PolicyError, TertiumError
from kernel.wire.failures import failure_of
from protos.v1 import coordination_pb2

SECONDS = 10.0
SHORT_SECONDS = 0.2
Order, Report = coordination_pb2.PartyOrder, coordination_pb2.PartyReport


@pytest.fixture
def roster():
    roster = Roster()
    yield roster
    roster.close()


def orders(*names):
    return {name: Order(run="r", generation=1, predict=coordination_pb2.Predict()) for name in names}


@contextmanager
def party(roster, name, answer):
    """A party whose every order goes to ``answer(order) -> report or None``. Yields its aborts, complete when it ends."""
    attendance = roster.enter(name, "1.0")
    aborts = []

    def serve():
        for order in attendance.outbox:
            if order.WhichOneof("kind") == "abort":
                aborts.append(order.abort.sentence)
                continue
            report = answer(order)
            if report is not None:
                report.order = order.order
                roster.take_report(attendance, report)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield aborts
    finally:
        roster.leave(attendance)
        attendance.outbox.close()
        thread.join(SECONDS)


def predicted(order):
    return Report(predicted=coordination_pb2.Predicted(rows=7))


def failing(error):
    return lambda order: Report(failed=failure_of(error))


def silent(order):
    return None


def test_every_partys_report_comes_back_under_its_name(roster):
    with party(roster, "ann", predicted), party(roster, "bob", predicted):
        assert roster.names() == ["ann", "bob"]
        assert roster.versions() == {"ann": "1.0", "bob": "1.0"}
        reports = roster.ask(orders("ann", "bob"), SECONDS)
    assert {name: report.predicted.rows for name, report in reports.items()} == {"ann": 7, "bob": 7}
    assert roster.names() == []


def test_a_name_attends_once(roster):
    with party(roster, "ann", predicted), pytest.raises(PeerError, match="'ann' attends already"):
        roster.enter("ann", "1.0")
    with party(roster, "ann", predicted):  # and again after it has left
        assert roster.ask(orders("ann"), SECONDS)


# --- the root cause ---------------------------------------------------------------------------------------------------

LOST = PeerError("while waiting for order_hash of 'bob': the relay sent nothing")
CAUSES = {
    "policy before input": (PolicyError("refused"), BadInputError("bad cell")),
    "policy before a fault": (PolicyError("refused"), TertiumError("fault 12")),
    "policy before a peer": (PolicyError("refused"), LOST),
    "input before a peer": (BadInputError("bad cell"), LOST),
    "input before a fault": (BadInputError("bad cell"), TertiumError("fault 12")),
    "a fault before an echo": (TertiumError("fault 12"), PeerError("another role failed: fault 12")),
}


@pytest.mark.parametrize(("cause", "consequence"), CAUSES.values(), ids=CAUSES)
@pytest.mark.parametrize("first", ["cause", "consequence"])
def test_the_failure_that_explains_the_rest_is_raised_whichever_comes_first(cause, consequence, first, roster):
    """The second to fail does so only when it is told to abort, or a moment later."""
    told = threading.Event()
    early, late = (cause, consequence) if first == "cause" else (consequence, cause)

    def after_the_other(order):
        told.wait(SECONDS)
        return Report(failed=failure_of(late))

    def at_once(order):
        threading.Timer(0.05, told.set).start()
        return Report(failed=failure_of(early))

    with (
        party(roster, "ann", at_once),
        party(roster, "bob", after_the_other) as aborts,
        pytest.raises(TertiumError) as caught,
    ):
        roster.ask(orders("ann", "bob"), SECONDS)
    assert any("another role failed: ann: " in sentence for sentence in aborts)
    who = "ann" if early is cause else "bob"
    assert str(caught.value) == f"{who}: {cause}"
    assert caught.value.exit_code == cause.exit_code


def test_the_others_are_told_to_abort_at_once(roster):
    """Long before the deadline of the order."""
    started = time.monotonic()
    with (
        party(roster, "ann", failing(BadInputError("bad cell"))),
        party(roster, "bob", predicted) as aborts,
        pytest.raises(BadInputError, match="ann: bad cell"),
    ):
        roster.ask(orders("ann", "bob"), 600.0)
    assert aborts == ["another role failed: ann: bad cell"]
    assert time.monotonic() - started < SECONDS


# --- lost parties and timeouts ----------------------------------------------------------------------------------------


def test_a_party_that_leaves_fails_the_order_it_was_given(roster):
    attendance = roster.enter("ann", "1.0")

    def leave_when_asked():
        next(iter(attendance.outbox))
        roster.leave(attendance)

    threading.Thread(target=leave_when_asked, daemon=True).start()
    with pytest.raises(PeerError, match="'ann' is gone in the middle of an order"):
        roster.ask(orders("ann"), SECONDS)
    assert roster.names() == []


def test_a_lost_party_is_the_cause_only_where_nobody_knows_better(roster):
    attendance = roster.enter("ann", "1.0")

    def leave_when_asked():
        next(iter(attendance.outbox))
        roster.leave(attendance)

    with party(roster, "bob", failing(BadInputError("bad cell"))):
        threading.Thread(target=leave_when_asked, daemon=True).start()
        with pytest.raises(BadInputError, match="bob: bad cell"):
            roster.ask(orders("ann", "bob"), SECONDS)


def test_a_party_that_does_not_answer_is_named(roster, monkeypatch):
    monkeypatch.setattr("coordinator.roster._SETTLE_SECONDS", SHORT_SECONDS)
    with (
        party(roster, "ann", predicted),
        party(roster, "bob", silent),
        pytest.raises(PeerError, match="'bob' did not answer in time; look at its log"),
    ):
        roster.ask(orders("ann", "bob"), SHORT_SECONDS)


def test_a_party_that_is_not_there_any_more_is_named(roster):
    with party(roster, "ann", predicted), pytest.raises(PeerError, match="'bob' does not attend any more"):
        roster.ask(orders("ann", "bob"), SECONDS)


def test_waiting_for_parties_names_those_that_are_missing(roster):
    with (
        party(roster, "ann", predicted),
        pytest.raises(PeerError, match=r"bob, cat did not attend within 0\.2 s; start the daemon\(s\)"),
    ):
        roster.wait_for(["cat", "ann", "bob"], SHORT_SECONDS)


def test_waiting_ends_when_the_last_one_comes(roster):
    def come():
        roster.enter("bob", "1.0")

    timer = threading.Timer(0.05, come)
    timer.start()
    with party(roster, "ann", predicted):
        roster.wait_for(["ann", "bob"], SECONDS)
        assert roster.names() == ["ann", "bob"]
    timer.join(SECONDS)


# --- reports nobody asked for, and progress -----------------------------------------------------------------------------


def test_an_unasked_report_is_not_taken_for_an_answer(roster):
    attendance = roster.enter("ann", "1.0")
    roster.take_report(attendance, Report(order=77, predicted=coordination_pb2.Predicted(rows=1)))

    def answer():
        order = next(iter(attendance.outbox))
        roster.take_report(attendance, Report(order=order.order + 1, predicted=coordination_pb2.Predicted(rows=2)))
        roster.take_report(attendance, Report(order=order.order, predicted=coordination_pb2.Predicted(rows=3)))

    threading.Thread(target=answer, daemon=True).start()
    assert roster.ask(orders("ann"), SECONDS)["ann"].predicted.rows == 3


def test_progress_is_handed_on_while_an_order_runs_and_not_after(roster):
    seen = []

    def with_progress(order):
        roster.take_report(attendance, Report(progress=coordination_pb2.Progress(step=1)))
        return predicted(order)

    with party(roster, "ann", with_progress):
        attendance = roster._attending["ann"]
        roster.ask(orders("ann"), SECONDS, lambda name, progress: seen.append((name, progress.step)))
        assert seen == [("ann", 1)]
        roster.take_report(attendance, Report(progress=coordination_pb2.Progress(step=2)))
    assert seen == [("ann", 1)]
