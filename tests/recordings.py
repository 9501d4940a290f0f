"""What each role of a recorded run received, as parsed messages, and everything it left on disk."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message_factory import GetMessageClass
from local_runs import FinishedRun

from kernel.batch_order import Split, batch_seed, epoch_order, split_rows
from kernel.wire.tensor_frame import TENSOR_REQUESTS, TENSOR_RESPONSES, unpack_frame
from kernel.wire.transcripts import OPENED_METHOD, read_transcript
from party.rows.encoding import RowEncoder
from party.rows.loaders import declared_columns, load_table
from party.rows.schema import TableSettings, select_columns
from party.rows.table import Table
from protos.v1 import (
    common_pb2,
    coordination_pb2,
    dealing_pb2,
    gan_training_pb2,
    operation_pb2,
    relay_pb2,
    split_training_pb2,
    stack_control_pb2,
)

SERVER, COORDINATOR = "neutral-server", "coordinator"
_METHODS = {
    f"/{service.full_name}/{method.name}": method
    for module in (
        coordination_pb2,
        dealing_pb2,
        gan_training_pb2,
        operation_pb2,
        relay_pb2,
        split_training_pb2,
        stack_control_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


@dataclass(frozen=True)
class Received:
    """One message as its receiver got it. ``payload`` is what came behind it, ``data`` all of it as it was on the wire."""

    role: str
    sender: str  # empty where the receiver listens: any of its callers
    method: str
    message: Any
    payload: bytes
    data: bytes

    @property
    def kind(self) -> str:
        """As in docs/threat_model.md: `ServerFrame.cut_gradient`, `EnrolReply`; at a party, who can open it, an envelope
        is `Envelope[topic]`, at the relay `RelayFrame.envelope`."""
        name = self.message.DESCRIPTOR.name
        if "kind" not in self.message.DESCRIPTOR.oneofs_by_name:
            return str(name)
        which = self.message.WhichOneof("kind")
        if which == "envelope" and self.role != SERVER:
            return f"Envelope[{self.message.envelope.header.topic}]"
        return f"{name}.{which}"


@dataclass(frozen=True)
class Opened:
    """An opening inside an envelope, as its receiver read it."""

    step: common_pb2.StepHeader
    topic: str
    words: np.ndarray


@dataclass(frozen=True)
class Recording:
    """A run with its transcripts."""

    run: FinishedRun
    transcripts: Path

    @property
    def parties(self) -> list[str]:
        return [party.name for party in self.run.plan.parties]

    @property
    def label_holder(self) -> str:
        return next(party.name for party in self.run.plan.parties if party.label)

    @property
    def roles(self) -> list[str]:
        return [*self.parties, SERVER, COORDINATOR]

    @cached_property
    def _messages(self) -> dict[str, list[Received]]:
        return {role: list(self._read(role)) for role in self.roles}

    def received(self, role: str, kind: str = "") -> list[Received]:
        """What a role received, in order; of one kind where one is named."""
        return [one for one in self._messages[role] if kind in ("", one.kind)]

    def shares(self, party: str, purpose: int | None = None) -> np.ndarray:
        """The words the server got from a party in this run, uint[steps' rows, widths[0]], in order of arrival."""
        frames = [
            one
            for one in self.received(SERVER, "PartyFrame.share")
            if one.message.header.sender == party
            and one.message.header.run == self.run.run
            and purpose in (None, one.message.header.purpose)
        ]
        return np.concatenate([words_of(frame.message.share, frame.payload) for frame in frames])

    def opened(self, role: str, topic: str) -> list[Opened]:
        """What this run's envelopes of one topic held, as their receiver read them, in order; without its own shares."""
        found = []
        for record in read_transcript(self.transcripts / f"{role}.transcript"):
            if record.method == OPENED_METHOD + topic and record.link.endswith(f">{role}"):
                envelope = unpack_frame(relay_pb2.Envelope.FromString, record.message)
                header = envelope.message.header
                if header.step.run == self.run.run and header.step.sender != role:
                    opening = unpack_frame(relay_pb2.Opening.FromString, envelope.payload)
                    found.append(Opened(header.step, topic, words_of(opening.message.words, opening.payload)))
        return found

    def left_on_disk(self, role: str) -> Iterator[tuple[str, bytes]]:
        """Every file of a role (log, config, state); for the coordinator the run directory, too."""
        places = [self.run.roles / role]
        if role == COORDINATOR:
            places.append(self.run.directory)
        for place in places:
            for file in sorted(place.rglob("*")):
                inside = file.relative_to(place).parts
                if file.is_file() and not (place == self.run.directory and inside[0] == "roles"):
                    yield str(file.relative_to(place.parent)), file.read_bytes()

    def _read(self, role: str) -> Iterator[Received]:
        for record in read_transcript(self.transcripts / f"{role}.transcript"):
            sender, _, receiver = record.link.partition(">")
            if receiver != role or record.method.startswith(OPENED_METHOD):
                continue  # what the role itself sent; what was inside an envelope that is here already
            method = _METHODS[record.method]
            answered = bool(sender)  # a role that dials names its peer, and receives responses
            parse = GetMessageClass(method.output_type if answered else method.input_type).FromString
            if record.method in (TENSOR_RESPONSES if answered else TENSOR_REQUESTS):
                frame = unpack_frame(parse, record.message)
                yield Received(role, sender, record.method, frame.message, bytes(frame.payload), record.message)
            else:
                yield Received(role, sender, record.method, parse(record.message), b"", record.message)


def parts_of(message: Any) -> Iterator[Any]:
    """A message and all messages inside it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                yield from parts_of(one)


def words_of(tensor: common_pb2.RingTensor, payload: bytes) -> np.ndarray:
    """uint32 or uint64, in the message's shape."""
    return np.frombuffer(payload, f"<u{tensor.ring_bits // 8}").reshape(tuple(tensor.shape))


@dataclass(frozen=True)
class OwnedRows:
    """A party's rows as it holds them; read anew from the built-in table, encoded by the encoder it left on disk."""

    table: Table
    names: tuple[str, ...]
    encoded: np.ndarray


def rows_of(run: FinishedRun, party: str) -> OwnedRows:
    plan = next(one for one in run.plan.parties if one.name == party)
    settings = TableSettings(source=f"builtin:{plan.table}")
    names = select_columns(list(declared_columns(settings)), plan.columns)
    table = load_table(plan.table, settings, data_directory=None, columns=names)
    encoder = RowEncoder.from_state(run.barrier(party, 0)["row_encoder"])
    return OwnedRows(table, names, encoder.encode(table))


def labels_of(run: FinishedRun) -> np.ndarray:
    """The label column of a built-in table, in row order."""
    plan = next(one for one in run.plan.parties if one.label)
    settings = TableSettings(source=f"builtin:{plan.table}")
    return load_table(plan.table, settings, data_directory=None, columns=[plan.label]).values[plan.label]


def split_of(run: FinishedRun, rows: int) -> Split:
    return split_rows(rows, run.plan.test_fraction, run.plan.seed)


def order_of(run: FinishedRun, rows: int, epoch: int) -> np.ndarray:
    """Row numbers in the order of a training epoch."""
    return epoch_order(split_of(run, rows).train, batch_seed(run.plan.seed, epoch))
