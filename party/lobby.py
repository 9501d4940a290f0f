"""The party's standing mailbox: answers the doctor's probes of pinned peers, and nobody else."""

import threading
import time
from typing import Any

import structlog

from kernel.errors import PolicyError, RowsError, TertiumError
from kernel.sealed_envelope import Introducer, SealedLink
from kernel.version import VERSION
from kernel.wire.identity import Identity
from kernel.wire.stream import DuplexStream
from kernel.wire.tensor_frame import Payload, TensorFrame
from party.peer_links import Frame, RelayStream
from party.rows.alignment import Summary
from party.rows.loaders import declared_columns
from party.run_rows import open_rows, summary
from party.settings import PartySettings
from protos.v1 import common_pb2, relay_pb2

_log = structlog.get_logger()
LOBBY = "lobby"
_RETRY_SECONDS = 2.0


class Lobby:
    """Holds the lobby mailbox open and reopens it when the neutral server comes back."""

    def __init__(self, settings: PartySettings, identity: Identity, exchange: Any) -> None:
        self._settings, self._identity, self._exchange = settings, identity, exchange
        self._stop = threading.Event()
        self._links: dict[tuple[str, str], SealedLink] = {}

    def start(self) -> None:
        threading.Thread(target=self._serve, name="lobby", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def _serve(self) -> None:
        while not self._stop.is_set():
            stream: RelayStream = DuplexStream(self._exchange, "the relay")
            stream.send(TensorFrame(relay_pb2.RelayFrame(open=relay_pb2.OpenMailbox(mailbox=LOBBY))))
            try:
                while not self._stop.is_set():
                    frame = stream.poll(1.0)
                    if frame is not None:
                        self._answer(stream, frame)
            except TertiumError:
                self._stop.wait(_RETRY_SECONDS)
            finally:
                stream.close()

    def _answer(self, stream: RelayStream, received: Frame) -> None:
        frame = received.message
        try:
            if frame.WhichOneof("kind") == "introduction":
                stream.send(TensorFrame(relay_pb2.RelayFrame(introduction=self._introduce(frame.introduction))))
            elif frame.WhichOneof("kind") == "envelope":
                envelope, sealed = self._probe(frame.envelope, received.payload)
                stream.send(TensorFrame(relay_pb2.RelayFrame(envelope=envelope), sealed))
        except TertiumError as error:
            _log.warning("probe refused", sentence=str(error))
        except Exception as error:
            _log.error("probe failed", exc_info=error)  # the mailbox stays open for the next one

    def _introduce(self, theirs: relay_pb2.Introduction) -> relay_pb2.Introduction:
        pin = self._settings.policy.peers.get(theirs.sender)
        if pin is None:
            raise PolicyError(f"{theirs.sender!r} is not pinned in policy.peers")
        introducer = Introducer(
            self._identity,
            theirs.sender,
            mailbox=theirs.reply_mailbox,
            reply_mailbox=LOBBY,
            generation=theirs.generation,
            answers_nonce=theirs.nonce,
        )
        self._links = {(theirs.sender, theirs.reply_mailbox): introducer.complete(theirs, pin)}  # one probe at a time
        return introducer.message

    def _probe(self, envelope: relay_pb2.Envelope, payload: Payload) -> tuple[relay_pb2.Envelope, bytes]:
        mailbox = envelope.header.step.run
        link = self._links.get((envelope.header.step.sender, mailbox))
        if link is None:
            raise PolicyError(f"{envelope.header.step.sender!r} probed without an introduction")
        probe = relay_pb2.Probe.FromString(link.open_envelope(envelope, payload))
        answer = relay_pb2.ProbeAnswer(version=VERSION)
        if probe.table in self._settings.tables and probe.table in self._settings.policy.columns:
            answer.has_table = True
            try:
                found = self._summary(probe.table, probe.key)
                answer.rows, answer.order_hash = found.rows, found.order_hash
            except RowsError as error:
                _log.warning("probed table", sentence=str(error))
                answer.unreadable = True
        answer.unix_time_ms = time.time_ns() // 1_000_000  # after the table was read: that takes a while
        step = common_pb2.StepHeader(run=mailbox, purpose=common_pb2.PURPOSE_SET_UP, sender=self._identity.name)
        return link.seal(answer.SerializeToString(), step=step, mailbox=mailbox, topic="probe_answer")

    def _summary(self, name: str, key: bytes) -> Summary:
        """Row count and order hash of a table, from its id column or one other."""
        settings = self._settings.tables[name]
        columns = [] if settings.id is not None else list(declared_columns(settings))[:1]
        data, scratch = self._settings.data_directory, self._settings.state_directory
        return summary(open_rows(name, settings, columns, "", data, scratch), key)
