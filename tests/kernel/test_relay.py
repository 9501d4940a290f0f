"""kernel.wire.relay: every frame to its mailbox, in the sender's own name, and nowhere else."""

import pytest

from kernel.errors import EnvelopeError, PeerError, WireError
from kernel.wire.relay import RelayDesk
from kernel.wire.tensor_frame import TensorFrame
from protos.v1 import common_pb2, relay_pb2

RUN = "run-1"
MEMBERS = {RUN: ("a", "b", "c"), "run-2": ("a", "b")}
MARK = object()


@pytest.fixture
def desk():
    return RelayDesk(lambda run: MEMBERS.get(run, ()))


def frames(outbox):
    """What waits in the outbox; raises what it was failed with. The outbox stays open."""
    outbox.put(MARK)
    return list(iter(iter(outbox).__next__, MARK))


def kinds(outbox):
    return [frame.message.WhichOneof("kind") for frame in frames(outbox)]


def opened(desk, party, mailbox=RUN):
    """An open mailbox whose greeting was read."""
    outbox = desk.open_mailbox(party, mailbox)
    assert frames(outbox)[0] == TensorFrame(relay_pb2.RelayFrame(opened=relay_pb2.MailboxOpen()))
    return outbox


def envelope(sender, receiver, mailbox=RUN, sealed=b"cannot read this", topic=""):
    step = common_pb2.StepHeader(run=mailbox, sender=sender)
    header = relay_pb2.EnvelopeHeader(step=step, receiver=receiver, mailbox=mailbox, topic=topic)
    return TensorFrame(relay_pb2.RelayFrame(envelope=relay_pb2.Envelope(header=header)), sealed)


def introduction(sender, receiver, mailbox=RUN):
    theirs = relay_pb2.Introduction(sender=sender, receiver=receiver, mailbox=mailbox, reply_mailbox=mailbox)
    return TensorFrame(relay_pb2.RelayFrame(introduction=theirs))


def forward(desk, sender, frame, source=RUN):
    desk.forward(sender, frame, source=source)


def test_frames_reach_their_receiver_in_order_and_nobody_else(desk):
    boxes = {party: opened(desk, party) for party in "abc"}
    sent = [introduction("a", "b"), envelope("a", "b", sealed=b"1"), envelope("a", "b", sealed=b"2")]
    for frame in sent:
        forward(desk, "a", frame)
    assert frames(boxes["b"]) == sent
    assert frames(boxes["a"]) == frames(boxes["c"]) == []


def test_mailboxes_of_one_party_are_apart(desk):
    run, other, lobby = opened(desk, "b"), opened(desk, "b", "run-2"), opened(desk, "b", "lobby")
    forward(desk, "a", envelope("a", "b", "run-2"))
    forward(desk, "c", envelope("c", "b", "lobby"))
    assert (len(frames(run)), len(frames(other)), len(frames(lobby))) == (0, 1, 1)


def test_early_frames_wait_for_their_mailbox(desk):
    opened(desk, "a")
    sent = [introduction("a", "b"), envelope("a", "b"), envelope("a", "c", sealed=b"for c")]
    for frame in sent:
        forward(desk, "a", frame)
    assert frames(desk.open_mailbox("b", RUN))[1:] == sent[:2]
    assert frames(desk.open_mailbox("c", RUN))[1:] == sent[2:]
    assert frames(desk.open_mailbox("b", RUN))[1:] == []  # handed out once


def test_what_waits_for_a_run_is_dropped_with_it(desk):
    forward(desk, "a", envelope("a", "b"))
    forward(desk, "a", envelope("a", "b", "run-2"))
    desk.drop_run(RUN)
    assert kinds(desk.open_mailbox("b", RUN)) == ["opened"]
    assert kinds(desk.open_mailbox("b", "run-2")) == ["opened", "envelope"]


def test_early_frames_are_bounded_and_their_room_comes_back(desk):
    mine = opened(desk, "a")
    big = envelope("a", "b", sealed=bytes(30 << 20))
    for _ in range(3):
        forward(desk, "a", big)
    assert kinds(mine) == ["undeliverable"]  # 64 MiB hold two
    desk.drop_run(RUN)
    forward(desk, "a", big)
    assert kinds(desk.open_mailbox("b", RUN)) == ["opened", "envelope"]
    for _ in range(2):
        forward(desk, "a", envelope("a", "c", sealed=bytes(30 << 20)))
    assert frames(mine) == []


def test_what_waits_is_bounded_in_its_messages_too(desk):
    """Nothing sealed, but a header of 30 MiB: it takes as much room as a seal would."""
    mine = opened(desk, "a")
    for _ in range(3):
        forward(desk, "a", envelope("a", "b", sealed=b"", topic="x" * (30 << 20)))
    assert kinds(mine) == ["undeliverable"]
    desk.drop_run(RUN)
    for _ in range(2):
        forward(desk, "a", envelope("a", "b", sealed=bytes(15 << 20), topic="x" * (15 << 20)))
    assert frames(mine) == []
    assert kinds(desk.open_mailbox("b", RUN)) == ["opened", "envelope", "envelope"]
    forward(desk, "a", envelope("a", "c", sealed=bytes(60 << 20)))  # all the room is there again
    assert kinds(desk.open_mailbox("c", RUN)) == ["opened", "envelope"]


def test_what_waits_is_bounded_in_number(desk):
    """1024 small frames a mailbox; another mailbox has its own."""
    mine = opened(desk, "a")
    for _ in range(1024):
        forward(desk, "a", introduction("a", "b"))
    assert frames(mine) == []
    forward(desk, "a", introduction("a", "b"))
    assert kinds(mine) == ["undeliverable"]
    forward(desk, "a", introduction("a", "c"))
    assert frames(mine) == []
    assert len(frames(desk.open_mailbox("b", RUN))) == 1 + 1024


def test_a_seal_is_forwarded_as_it_lies_in_the_frame(desk):
    """The desk neither copies nor parses it: the receiver's frame refers to the very bytes that came."""
    box = opened(desk, "b")
    sealed = memoryview(bytes(1000))[4:]
    forward(desk, "a", envelope("a", "b", sealed=sealed))
    (frame,) = frames(box)
    assert frame.payload is sealed


@pytest.mark.parametrize("frame", [envelope("a", "c"), introduction("a", "c")], ids=["envelope", "introduction"])
def test_a_frame_in_anothers_name_is_refused(desk, frame):
    receiver = opened(desk, "c")
    with pytest.raises(EnvelopeError, match="'b' sent a frame in the name of 'a'"):
        forward(desk, "b", frame)
    assert frames(receiver) == []


def test_an_unknown_mailbox_is_refused(desk):
    with pytest.raises(EnvelopeError, match="takes no part in a run called 'run-9'"):
        desk.open_mailbox("a", "run-9")
    with pytest.raises(EnvelopeError, match="'c' takes no part in a run called 'run-2'"):
        desk.open_mailbox("c", "run-2")
    with pytest.raises(EnvelopeError, match="'c' takes no part"):
        forward(desk, "c", envelope("c", "a", "run-2"))


def test_the_relay_forwards_introductions_and_envelopes_only(desk):
    for message in (relay_pb2.RelayFrame(), relay_pb2.RelayFrame(opened=relay_pb2.MailboxOpen())):
        for payload in (b"", b"with something behind it"):
            with pytest.raises(EnvelopeError, match="it forwards introductions and envelopes"):
                forward(desk, "a", TensorFrame(message, payload))


@pytest.mark.parametrize(("receiver", "mailbox"), [("b", "lobby"), ("b", "doctor-7"), ("stranger", RUN)])
def test_who_sends_to_nobody_is_told(desk, receiver, mailbox):
    mine = opened(desk, "a")
    forward(desk, "a", envelope("a", receiver, mailbox))
    notice = relay_pb2.Undeliverable(receiver=receiver, mailbox=mailbox)
    assert frames(mine) == [TensorFrame(relay_pb2.RelayFrame(undeliverable=notice))]


def test_a_failed_probe_does_not_disturb_the_senders_run(desk):
    """A party link takes an undeliverable notice as the loss of its peer."""
    run, doctor, peer = opened(desk, "a"), opened(desk, "a", "doctor-1"), opened(desk, "b")
    forward(desk, "a", introduction("a", "absent", "lobby"), source="doctor-1")
    assert frames(run) == frames(peer) == []
    assert kinds(doctor) == ["undeliverable"]


def test_a_frame_from_a_mailbox_that_has_closed_is_dropped(desk):
    run = opened(desk, "a")
    doctor = opened(desk, "a", "doctor-1")
    desk.close_mailbox("a", "doctor-1", doctor)
    forward(desk, "a", introduction("a", "absent", "lobby"), source="doctor-1")
    assert frames(run) == frames(doctor) == []


def test_a_restarted_daemon_replaces_its_mailbox(desk):
    old = opened(desk, "b")
    new = opened(desk, "b")
    with pytest.raises(PeerError, match="another process opened the mailbox 'run-1' of 'b'"):
        next(iter(old))
    desk.close_mailbox("b", RUN, old)  # the old stream ends only now; the new mailbox stays
    forward(desk, "a", envelope("a", "b"))
    assert kinds(new) == ["envelope"]


def test_a_closed_mailbox_receives_no_more(desk):
    box = opened(desk, "b")
    desk.close_mailbox("b", RUN, box)
    forward(desk, "a", envelope("a", "b"))
    assert frames(box) == []
    assert kinds(desk.open_mailbox("b", RUN)) == ["opened", "envelope"]  # it waited as an early one


def test_mailboxes_are_bounded_but_can_still_be_replaced(desk):
    for number in range(8):
        opened(desk, "a", f"doctor-{number}")
    with pytest.raises(PeerError, match="'a' has 8 mailboxes open already"):
        desk.open_mailbox("a", RUN)
    opened(desk, "a", "doctor-3")
    opened(desk, "b")  # another party's are counted apart


def test_bytes_behind_an_introduction_are_not_carried_along(desk):
    box = opened(desk, "b")
    bare = introduction("a", "b")
    with pytest.raises(WireError, match="5 bytes follow an introduction of 'a'"):
        forward(desk, "a", TensorFrame(bare.message, b"cargo"))
    assert frames(box) == []
