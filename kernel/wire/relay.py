"""The sealed relay: forwards introductions and envelopes between parties' mailboxes; it cannot read an envelope.

A mailbox is (party name, mailbox name). "lobby" is the party's daemon, always open; a run's mailboxes hold what comes
early, within bounds, until their party opens them; "doctor-…" belongs to a person's check.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable

from kernel.errors import EnvelopeError, PeerError
from kernel.wire.stream import Outbox
from kernel.wire.tensor_frame import TensorFrame, require_bare
from protos.v1 import relay_pb2

LOBBY = "lobby"
_EARLY_BYTES = 64 << 20
_EARLY_FRAMES = 1024
_MAILBOXES_PER_PARTY = 8

Address = tuple[str, str]
Frame = TensorFrame[relay_pb2.RelayFrame]


class RelayDesk:
    """Mailboxes by address. ``members`` gives the parties of a prepared run, or nothing."""

    def __init__(self, members: Callable[[str], Iterable[str]]) -> None:
        self._members = members
        self._lock = threading.Lock()
        self._open: dict[Address, Outbox[Frame]] = {}
        self._early: dict[Address, deque[Frame]] = {}
        self._early_bytes = 0

    def open_mailbox(self, party: str, mailbox: str) -> Outbox[Frame]:
        """The party's mailbox, with what came early in it; a second opening replaces the first (a restarted daemon)."""
        self._check_mailbox(party, mailbox)
        outbox: Outbox[Frame] = Outbox()
        outbox.put(TensorFrame(relay_pb2.RelayFrame(opened=relay_pb2.MailboxOpen())))
        with self._lock:
            if sum(owner == party and name != mailbox for owner, name in self._open) >= _MAILBOXES_PER_PARTY:
                raise PeerError(f"{party!r} has {_MAILBOXES_PER_PARTY} mailboxes open already; close one")
            replaced = self._open.pop((party, mailbox), None)
            if replaced is not None:
                replaced.fail(PeerError(f"another process opened the mailbox {mailbox!r} of {party!r}"))
            for frame in self._early.pop((party, mailbox), ()):
                self._early_bytes -= _bytes_of(frame)
                outbox.put(frame)
            self._open[(party, mailbox)] = outbox
        return outbox

    def close_mailbox(self, party: str, mailbox: str, outbox: Outbox[Frame]) -> None:
        with self._lock:
            if self._open.get((party, mailbox)) is outbox:
                del self._open[(party, mailbox)]

    def close(self) -> None:
        """End every stream: the server is stopping."""
        with self._lock:
            for outbox in self._open.values():
                outbox.close()

    def drop_run(self, run: str) -> None:
        """Forget what waits for a run's mailboxes, and end those that are open: they are of an earlier generation.

        Otherwise an introduction of the new one could go to a stream that its party has left.
        """
        with self._lock:
            for address in [address for address in self._open if address[1] == run]:
                self._open.pop(address).close()
            for address in [address for address in self._early if address[1] == run]:
                self._early_bytes -= sum(_bytes_of(frame) for frame in self._early.pop(address))

    def forward(self, sender: str, received: Frame, *, source: str) -> None:
        """Hand a frame to its receiver; ``source`` is the sender's own mailbox, the one that is told when it cannot be.

        A sender's other mailboxes hear nothing: a probe of an absent party must not disturb a run.

        Raises:
          EnvelopeError: the frame claims another sender than the certificate, or a mailbox it has no business with.
        """
        frame = received.message
        kind = frame.WhichOneof("kind")
        if kind == "introduction":
            require_bare(received, f"an introduction of {sender!r}")
            claimed, receiver, mailbox = (
                frame.introduction.sender,
                frame.introduction.receiver,
                frame.introduction.mailbox,
            )
        elif kind == "envelope":
            header = frame.envelope.header
            claimed, receiver, mailbox = header.step.sender, header.receiver, header.mailbox
        else:
            raise EnvelopeError(
                f"{sender!r} sent {kind or 'an empty frame'} to the relay; it forwards introductions and envelopes"
            )
        if claimed != sender:
            raise EnvelopeError(f"{sender!r} sent a frame in the name of {claimed!r}")
        self._check_mailbox(sender, mailbox)
        with self._lock:
            outbox = self._open.get((receiver, mailbox))
            if outbox is not None:
                outbox.put(received)
                return
            waiting = self._early.get((receiver, mailbox), ())
            room = self._early_bytes + _bytes_of(received) <= _EARLY_BYTES and len(waiting) < _EARLY_FRAMES
            if receiver in self._members(mailbox) and room:
                self._early.setdefault((receiver, mailbox), deque()).append(received)
                self._early_bytes += _bytes_of(received)
                return
            origin = self._open.get((sender, source))
        if origin is not None:
            notice = relay_pb2.Undeliverable(receiver=receiver, mailbox=mailbox)
            origin.put(TensorFrame(relay_pb2.RelayFrame(undeliverable=notice)))

    def _check_mailbox(self, party: str, mailbox: str) -> None:
        if mailbox == LOBBY or mailbox.startswith("doctor-"):
            return
        if party not in self._members(mailbox):
            raise EnvelopeError(f"{party!r} takes no part in a run called {mailbox!r}; the coordinator prepares runs")


def _bytes_of(frame: Frame) -> int:
    """What a waiting frame takes: a long name in a header counts like a long seal."""
    return frame.message.ByteSize() + len(frame.payload)
