"""What `tertium doctor` checks for a party, from where it runs and with the party's own certificate."""

import os
import secrets
import time
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import grpc

from kernel.errors import PeerError, TertiumError
from kernel.process import load_identity, load_settings
from kernel.randomness import SecureRandomness
from kernel.sealed_envelope import Introducer
from kernel.wire.channel import dial
from kernel.wire.diagnosis import Finding, attempt, reach, same_version_and_clock, writable
from kernel.wire.failures import error_of_rpc
from kernel.wire.identity import Identity
from kernel.wire.meter import LinkMeter, MeteredChannel
from kernel.wire.stream import DuplexStream
from kernel.wire.tensor_frame import TensorFrame
from party.defender import check_tensorflow
from party.lobby import LOBBY
from party.peer_links import Frame, RelayStream
from party.rows.builtin import default_data_directory
from party.rows.loaders import declared_columns
from party.rows.schema import TableSettings, select_columns
from party.run_rows import RunRows, open_rows, summary
from party.settings import PartySettings
from protos.v1 import (
    common_pb2,
    operation_pb2,
    operation_pb2_grpc,
    relay_pb2,
    relay_pb2_grpc,
    stack_control_pb2,
    stack_control_pb2_grpc,
)

_SECONDS = 5.0
_PROBE_SECONDS = 20.0


def examine(config: Path) -> Iterator[Finding]:
    """Findings in the order in which to mend them."""
    try:
        settings = load_settings(PartySettings, config)
        identity = load_identity(settings.tls, "party", settings.name)
    except TertiumError as error:
        yield Finding(False, str(error), "mend this first", error.exit_code)
        return
    days = (identity.certificate.not_valid_after_utc - datetime.now(UTC)).days
    yield Finding(
        True,
        f"config and certificate: party {settings.name!r}, {days} days left; peers pin {identity.fingerprint}",
    )
    yield writable("state directory", settings.state_directory)
    tables = yield from _tables(settings)
    jobs = set(settings.policy.job_kinds)
    if jobs - {"split_nn"}:
        yield attempt("TensorFlow for GANs", lambda: _gans(settings))
    yield from _coordinator(settings, identity)
    # parties of GANs have rows of their own: there is nothing to compare
    yield from _neutral_server(settings, identity, tables if "split_nn" in jobs else {})


def _gans(settings: PartySettings) -> str:
    check_tensorflow(settings.name, "a GAN for every class", "gan")
    tables = ", ".join(settings.policy.synthetic_rows)
    accepted = f"of tables {tables}" if tables else "of no table (synthetic_rows)"
    return f"installed; the policy accepts plans that send out synthetic rows {accepted}"


def _tables(settings: PartySettings) -> Generator[Finding, None, dict[str, RunRows]]:
    """Read every table with the columns the policy offers; returns those that could be read."""
    data_directory = settings.data_directory or default_data_directory(os.environ)
    readable: dict[str, RunRows] = {}
    for name, table_settings in settings.tables.items():

        def read(name: str = name, table_settings: TableSettings = table_settings) -> str:
            offered = settings.policy.columns.get(name)
            declared = tuple(declared_columns(table_settings))
            columns = declared if offered is None else select_columns(declared, offered)
            rows = open_rows(name, table_settings, columns, "", data_directory, settings.state_directory)
            rows.check()
            readable[name] = rows
            note = "" if offered is not None else " (the policy offers none of its columns)"
            return f"{rows.rows} rows, {len(columns)} columns{note}"

        yield attempt(f"table {name!r}", read)
    return readable


def _coordinator(settings: PartySettings, identity: Identity) -> Iterator[Finding]:
    finding = reach(settings.coordinator.address, identity, settings.coordinator.name, "coordinator")
    yield finding
    if not finding.ok:
        return
    channel = dial(settings.coordinator.address, identity, settings.coordinator.name)
    try:
        status = operation_pb2_grpc.OperationStub(channel).Status(operation_pb2.StatusRequest(), timeout=2 * _SECONDS)
    except grpc.RpcError as error:
        yield Finding(False, f"the coordinator's status: {error_of_rpc(error, 'the coordinator')}", "look at its log")
        return
    finally:
        channel.close()
    yield from same_version_and_clock("coordinator", status.version, status.unix_time_ms)
    yield Finding(
        settings.name in status.attending,
        f"attending the coordinator: {', '.join(status.attending) or 'nobody'}",
        f"start this party's daemon: tertium party serve CONFIG ({settings.name!r} does not attend)",
    )
    yield Finding(
        bool(status.neutral_server),
        "the coordinator reaches the neutral server",
        "run `tertium doctor` with the coordinator's config",
    )


def _neutral_server(settings: PartySettings, identity: Identity, tables: dict[str, RunRows]) -> Iterator[Finding]:
    finding = reach(settings.neutral_server.address, identity, settings.neutral_server.name, "neutral-server")
    yield finding
    if not finding.ok:
        return
    channel = dial(settings.neutral_server.address, identity, settings.neutral_server.name)
    try:
        reply = stack_control_pb2_grpc.StackControlStub(channel).Describe(
            stack_control_pb2.DescribeRequest(), timeout=_SECONDS
        )
        yield from same_version_and_clock("neutral server", reply.version, reply.unix_time_ms)
        mailbox = f"doctor-{secrets.token_hex(8)}"
        metered = MeteredChannel(channel, settings.name, settings.neutral_server.name, LinkMeter())
        stream: RelayStream = DuplexStream(relay_pb2_grpc.RelayStub(metered).Exchange, "the relay")
        try:
            stream.send(TensorFrame(relay_pb2.RelayFrame(open=relay_pb2.OpenMailbox(mailbox=mailbox))))
            stream.receive(_SECONDS)
            for peer, pin in settings.policy.peers.items():
                yield from _peer(stream, mailbox, identity, peer, pin, tables)
        finally:
            stream.close()
    except TertiumError as error:
        yield Finding(False, f"the relay: {error}", "look at the neutral server's log")
    except grpc.RpcError as error:
        yield Finding(False, f"the neutral server: {error_of_rpc(error, 'it')}", "look at its log")
    finally:
        channel.close()


def _peer(
    stream: RelayStream, mailbox: str, identity: Identity, peer: str, pin: str, tables: dict[str, RunRows]
) -> Iterator[Finding]:
    """Through the relay: pins on both sides, version, clock, rows and their order."""
    introducer = Introducer(identity, peer, mailbox=LOBBY, reply_mailbox=mailbox, generation=0)
    stream.send(TensorFrame(relay_pb2.RelayFrame(introduction=introducer.message)))
    try:
        frame = _answer(stream, peer, identity)
        link = introducer.complete(frame.message.introduction, pin)
    except TertiumError as error:
        yield Finding(
            False,
            f"peer {peer!r} through the relay: {error}",
            f"compare fingerprints with {peer!r} over another channel",
            error.exit_code,
        )
        return
    yield Finding(
        True,
        f"peer {peer!r} through the relay: reachable, its certificate is the pinned one, and it pins this one",
    )
    key = bytes(SecureRandomness().key())
    for name in list(tables) or [""]:
        step = common_pb2.StepHeader(run=mailbox, purpose=common_pb2.PURPOSE_SET_UP, sender=identity.name)
        probe = relay_pb2.Probe(table=name, key=key).SerializeToString()
        envelope, sealed = link.seal(probe, step=step, mailbox=LOBBY, topic="probe")
        stream.send(TensorFrame(relay_pb2.RelayFrame(envelope=envelope), sealed))
        try:
            received = _answer(stream, peer, identity)
            answer = relay_pb2.ProbeAnswer.FromString(link.open_envelope(received.message.envelope, received.payload))
        except TertiumError as error:
            yield Finding(False, f"peer {peer!r}, table {name!r}: {error}", f"look at the log of {peer!r}")
            return
        if name == next(iter(tables), ""):
            yield from same_version_and_clock(f"peer {peer!r}", answer.version, answer.unix_time_ms)
        if name:
            yield _compare(peer, name, tables[name], answer, key)


def _compare(peer: str, name: str, table: RunRows, answer: relay_pb2.ProbeAnswer, key: bytes) -> Finding:
    what = f"table {name!r} with {peer!r}"
    if not answer.has_table:
        return Finding(True, f"{what}: it offers no table of this name, nothing to compare")
    mine = summary(table, key)
    if answer.unreadable:
        return Finding(
            False, f"{what}: it cannot be read there", f"ask {peer!r} to run `tertium doctor` with its config", 2
        )
    if answer.rows != mine.rows:
        return Finding(
            False,
            f"{what}: {mine.rows} rows here, {answer.rows} there",
            "bring both tables to the same ids",
            2,
        )
    return Finding(
        answer.order_hash == mine.order_hash,
        f"{what}: {mine.rows} rows on both sides, order hashes {'agree' if answer.order_hash == mine.order_hash else 'differ'}",
        'the ids or their order differ: compare the id columns, or set align = "sort"',
        2,
    )


def _answer(stream: RelayStream, peer: str, identity: Identity) -> Frame:
    deadline = time.monotonic() + _PROBE_SECONDS
    while time.monotonic() < deadline:
        received = stream.poll(deadline - time.monotonic())
        if received is None:
            break
        frame = received.message
        kind = frame.WhichOneof("kind")
        if kind == "undeliverable" and frame.undeliverable.receiver == peer:
            raise PeerError(f"its daemon does not hold the relay's stream; start `tertium party serve` at {peer!r}")
        if (kind == "introduction" and frame.introduction.sender == peer) or (
            kind == "envelope" and frame.envelope.header.step.sender == peer
        ):
            return received
    raise PeerError(
        f"no answer; {peer!r} is busy or has not pinned {identity.name!r} (it must pin {identity.fingerprint}): look at its log"
    )
