"""RPCs of the coordinator: decode, call, encode. The dealer's are in dealer.py."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coordinator.clients import StackClient
from coordinator.event_message import encode_event
from coordinator.fetched_files import files_of
from coordinator.roster import Roster
from coordinator.run_store import AliveCheck, RunStore
from coordinator.runner import Runner
from coordinator.sampling import Sampling
from kernel.errors import CertificateError, PeerError, TertiumError, WireError
from kernel.version import VERSION
from kernel.wire.server import require
from protos.v1 import coordination_pb2, coordination_pb2_grpc, operation_pb2, operation_pb2_grpc

_FILE_PART_BYTES = 1 << 20


class CoordinationService(coordination_pb2_grpc.CoordinationServicer):
    def __init__(self, roster: Roster) -> None:
        self._roster = roster

    def Attend(self, request_iterator: Iterator[Any], context: Any) -> Iterator[coordination_pb2.PartyOrder]:
        party = require(context, "party").name
        first = next(request_iterator, None)
        if first is None or first.WhichOneof("kind") != "hello":
            raise WireError(f"the first report of {party!r} must be a hello")
        if first.hello.name != party:
            raise CertificateError(
                f"{first.hello.name!r} attends with the certificate of {party!r}; name and certificate must agree"
            )
        if first.hello.version != VERSION:
            raise PeerError(
                f"{party!r} runs version {first.hello.version}, the coordinator {VERSION}; run one version everywhere"
            )
        attendance = self._roster.enter(party, first.hello.version)
        context.add_callback(attendance.outbox.close)
        welcome = coordination_pb2.Welcome(version=VERSION, unix_time_ms=time.time_ns() // 1_000_000)
        attendance.outbox.put(coordination_pb2.PartyOrder(welcome=welcome))

        def read() -> None:
            try:
                for report in request_iterator:
                    self._roster.take_report(attendance, report)
            except Exception:
                if context.is_active():
                    raise
            finally:
                self._roster.leave(attendance)
                attendance.outbox.close()

        threading.Thread(target=read, name=f"attend {party}", daemon=True).start()
        yield from attendance.outbox


class OperationService(operation_pb2_grpc.OperationServicer):
    def __init__(self, name: str, runner: Runner, store: RunStore, roster: Roster, stack: StackClient) -> None:
        self._name, self._runner, self._store, self._roster, self._stack = name, runner, store, roster, stack

    def Submit(self, request: operation_pb2.SubmitRequest, context: Any) -> operation_pb2.SubmitReply:
        require(context, "operator")
        run, first = self._runner.submit(request.plan_toml, request.run)
        return operation_pb2.SubmitReply(run=run, first_event=first)

    def Resume(self, request: operation_pb2.ResumeRequest, context: Any) -> operation_pb2.SubmitReply:
        require(context, "operator")
        run, first = self._runner.resume(request.run)
        return operation_pb2.SubmitReply(run=run, first_event=first)

    def SubmitPrediction(self, request: operation_pb2.PredictionRequest, context: Any) -> operation_pb2.SubmitReply:
        require(context, "operator")
        run, first = self._runner.predict(request.run, request.table)
        return operation_pb2.SubmitReply(run=run, first_event=first)

    def Sample(self, request: operation_pb2.SampleRequest, context: Any) -> operation_pb2.SubmitReply:
        require(context, "operator")
        sampling = Sampling(request.party, request.rows_per_class, tuple(request.classes), request.seed)
        run, first = self._runner.sample(request.run, sampling)
        return operation_pb2.SubmitReply(run=run, first_event=first)

    def Watch(self, request: operation_pb2.WatchRequest, context: Any) -> Iterator[operation_pb2.Event]:
        require(context, "operator")
        for number, event in self._store.get(request.run).watch(request.first_event, AliveCheck(context)):
            yield encode_event(number, event)

    def Cancel(self, request: operation_pb2.CancelRequest, context: Any) -> operation_pb2.CancelReply:
        require(context, "operator")
        self._runner.cancel(request.run)
        return operation_pb2.CancelReply()

    def FetchRun(self, request: operation_pb2.FetchRunRequest, context: Any) -> Iterator[operation_pb2.FilePart]:
        require(context, "operator")
        directory = self._store.get(request.run).directory
        for file in files_of(directory):
            yield from _file_parts(directory / file, file)

    def Status(self, request: operation_pb2.StatusRequest, context: Any) -> operation_pb2.StatusReply:
        require(context, "operator", "party", "coordinator")
        try:
            server = self._stack.describe().name
        except TertiumError:
            server = ""
        return operation_pb2.StatusReply(
            name=self._name,
            version=VERSION,
            unix_time_ms=time.time_ns() // 1_000_000,
            attending=self._roster.names(),
            active_run=self._runner.active_run(),
            neutral_server=server,
        )


def _file_parts(path: Path, name: str) -> Iterator[operation_pb2.FilePart]:
    data = path.read_bytes()
    for start in range(0, max(1, len(data)), _FILE_PART_BYTES):
        yield operation_pb2.FilePart(
            path=name, data=data[start : start + _FILE_PART_BYTES], last=start + _FILE_PART_BYTES >= len(data)
        )
