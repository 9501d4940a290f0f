"""A party's sealed links to its peers: one relay stream, one pair of keys per peer."""

from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Any

from kernel.errors import EnvelopeError, PeerError, StepError, TertiumError
from kernel.sealed_envelope import Introducer, SealedLink
from kernel.wire.identity import Identity
from kernel.wire.meter import LinkMeter, Recorder
from kernel.wire.stream import DuplexStream
from kernel.wire.tensor_frame import TensorFrame, pack_frame, require_bare
from kernel.wire.transcripts import OPENED_METHOD
from protos.v1 import common_pb2, relay_pb2

Frame = TensorFrame[relay_pb2.RelayFrame]
RelayStream = DuplexStream[Frame, Frame]
StepKey = tuple[int, int, int]
"""(purpose, epoch, step)"""


class PeerLinks:
    """Links of one run generation. Used by one thread; `interrupt` may come from another.

    Args:
      exchange: the relay stub's Exchange; pins: fingerprint per peer name; mailbox: the run id;
      relay: who forwards, in words; recorder: an evaluator's, told what was inside the seals.
    """

    def __init__(
        self,
        exchange: Any,
        identity: Identity,
        pins: Mapping[str, str],
        *,
        mailbox: str,
        generation: int,
        wait_seconds: float,
        relay: str = "the relay at the neutral server",
        recorder: Recorder | None = None,
    ) -> None:
        self._identity, self._pins, self._recorder = identity, dict(pins), recorder
        self._mailbox, self._generation, self._wait = mailbox, generation, wait_seconds
        self._stream: RelayStream = DuplexStream(exchange, relay)
        self._links: dict[str, SealedLink] = {}
        self._waiting: dict[str, deque[tuple[str, StepKey, bytes]]] = defaultdict(deque)
        self.meter = LinkMeter()

    @property
    def rounds(self) -> int:
        return self._stream.rounds

    @property
    def links(self) -> Mapping[str, SealedLink]:
        return self._links

    def meet(self) -> None:
        """Open the mailbox and agree on keys with every peer.

        Raises:
          CertificateError, EnvelopeError: a peer is not who the pin says; PeerError: a peer did not come.
        """
        self._stream.send(
            TensorFrame(
                relay_pb2.RelayFrame(open=relay_pb2.OpenMailbox(mailbox=self._mailbox, generation=self._generation))
            )
        )
        if self._stream.receive(self._wait).message.WhichOneof("kind") != "opened":
            raise EnvelopeError("the relay did not confirm the mailbox; run one version everywhere")
        introducers = {}
        for peer in self._pins:
            introducers[peer] = Introducer(
                self._identity,
                peer,
                mailbox=self._mailbox,
                reply_mailbox=self._mailbox,
                generation=self._generation,
            )
            self._stream.send(TensorFrame(relay_pb2.RelayFrame(introduction=introducers[peer].message)))
        while len(self._links) < len(introducers):
            frame = self._frame(f"introductions of {', '.join(sorted(set(introducers) - set(self._links)))}")
            if frame.message.WhichOneof("kind") == "introduction":
                require_bare(frame, "an introduction through the relay")
                theirs = frame.message.introduction
                if theirs.sender not in introducers or theirs.sender in self._links:
                    raise EnvelopeError(
                        f"an introduction of {theirs.sender!r} was not expected; the relay misbehaves: stop the run"
                    )
                self._links[theirs.sender] = introducers[theirs.sender].complete(theirs, self._pins[theirs.sender])
            else:
                self._take_envelope(frame)

    def send(self, peer: str, topic: str, payload: bytes, step: common_pb2.StepHeader) -> None:
        """Seal and send."""
        envelope, sealed = self._links[peer].seal(payload, step=step, mailbox=self._mailbox, topic=topic)
        self.meter.count(f"{self._identity.name}>{peer}", envelope.ByteSize() + len(sealed))
        self._stream.send(TensorFrame(relay_pb2.RelayFrame(envelope=envelope), sealed))

    def receive(self, peer: str, topic: str, step: common_pb2.StepHeader) -> bytes:
        """The next payload of ``peer``, which must be ``topic`` of the given step.

        Raises:
          StepError: it is something else; EnvelopeError: replayed or altered; PeerError: it did not come.
        """
        while not self._waiting[peer]:
            self._take_envelope(self._frame(f"{topic} of {peer!r}"))
        found, key, payload = self._waiting[peer].popleft()
        wanted = (step.purpose, step.epoch, step.step)
        if (found, key) != (topic, wanted):
            raise StepError(f"{peer!r} sent {found!r} for (purpose, epoch, step) {key}; wanted {topic!r} for {wanted}")
        return payload

    @property
    def recorded(self) -> bool:
        """Whether an evaluator is told what is inside seals."""
        return self._recorder is not None

    def record_own(self, topic: str, payload: bytes, step: common_pb2.StepHeader) -> None:
        """For an evaluator: this party's own share of what its peers' envelopes reveal to it."""
        header = relay_pb2.EnvelopeHeader(step=step, receiver=self._identity.name, mailbox=self._mailbox, topic=topic)
        self._record(relay_pb2.Envelope(header=header), payload)

    def interrupt(self, error: TertiumError) -> None:
        self._stream.interrupt(error)

    def close(self) -> None:
        self._stream.close()

    def _frame(self, what: str) -> Frame:
        try:
            return self._stream.receive(self._wait)
        except PeerError as error:
            raise PeerError(f"while waiting for {what}: {error}") from error

    def _take_envelope(self, received: Frame) -> None:
        frame = received.message
        kind = frame.WhichOneof("kind")
        if kind == "undeliverable":
            raise PeerError(
                f"{frame.undeliverable.receiver!r} has no open mailbox for {frame.undeliverable.mailbox!r}; is its daemon running?"
            )
        if kind != "envelope":
            raise EnvelopeError(f"the relay sent {kind or 'an empty frame'}; wanted an envelope")
        header = frame.envelope.header
        link = self._links.get(header.step.sender)
        if link is None:
            raise EnvelopeError(
                f"an envelope of {header.step.sender!r} arrived before its introduction; the relay misbehaves: stop the run"
            )
        payload = link.open_envelope(frame.envelope, received.payload)
        if (header.step.run, header.step.generation) != (self._mailbox, self._generation):
            raise StepError(
                f"{link.peer!r} sent an envelope for run {header.step.run!r} generation {header.step.generation}; "
                f"this is run {self._mailbox!r} generation {self._generation}"
            )
        self._record(frame.envelope, payload)
        key = (header.step.purpose, header.step.epoch, header.step.step)
        self._waiting[link.peer].append((header.topic, key, payload))

    def _record(self, envelope: relay_pb2.Envelope, payload: bytes) -> None:
        if self._recorder is not None:
            link = f"{envelope.header.step.sender}>{self._identity.name}"
            self._recorder(link, OPENED_METHOD + envelope.header.topic, pack_frame(TensorFrame(envelope, payload)))
