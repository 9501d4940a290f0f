"""The operator's end: submits plans, watches runs, fetches their files."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc

from coordinator.event_message import decode_event
from coordinator.fetched_files import RUN_FILES, is_fetched
from coordinator.run_store import Event
from kernel.durable import write_durably
from kernel.errors import BadInputError, PeerError, WireError
from kernel.plan_message import safe_run_name
from kernel.process import TlsSettings, load_identity
from kernel.wire.channel import dial
from kernel.wire.diagnosis import Finding, reach
from kernel.wire.failures import error_of_rpc
from protos.v1 import operation_pb2, operation_pb2_grpc

_CALL_SECONDS = 30.0


class OperatorClient:
    """A channel to one coordinator.

    Args:
      certificates: directory with authority.pem, operator.pem and operator.key (`tertium certs init` makes it).
    """

    def __init__(self, address: str, certificates: Path, coordinator_name: str = "coordinator") -> None:
        tls = TlsSettings(
            certificate=certificates / "operator.pem",
            key=certificates / "operator.key",
            authority=certificates / "authority.pem",
        )
        self._peer = f"the coordinator at {address}"
        identity = load_identity(tls, "operator")
        self._diagnose: Callable[[], Finding] = lambda: reach(address, identity, coordinator_name, "coordinator")
        self._channel = dial(address, identity, coordinator_name)
        self._stub = operation_pb2_grpc.OperationStub(self._channel)

    def wait_ready(self, timeout_seconds: float) -> None:
        """Wait until the coordinator answers.

        Raises:
          PeerError: nobody does in time; says what stands in the way. BadInputError: the address is none.
        """
        try:
            grpc.channel_ready_future(self._channel).result(timeout=timeout_seconds)
        except grpc.FutureTimeoutError:
            found = self._diagnose()
            if found.ok:
                raise PeerError(f"{self._peer} was not ready within {timeout_seconds:g} s; try again") from None
            kind = BadInputError if found.exit_code == BadInputError.exit_code else PeerError
            raise kind(f"{found.what} (waited {timeout_seconds:g} s); {found.advice}") from None

    def status(self) -> operation_pb2.StatusReply:
        reply: operation_pb2.StatusReply = self._call(self._stub.Status, operation_pb2.StatusRequest())
        return reply

    def submit(self, plan_text: str, run: str = "") -> tuple[str, int]:
        reply = self._call(self._stub.Submit, operation_pb2.SubmitRequest(plan_toml=plan_text, run=run))
        return safe_run_name(reply.run), reply.first_event

    def resume(self, run: str) -> tuple[str, int]:
        reply = self._call(self._stub.Resume, operation_pb2.ResumeRequest(run=run))
        return safe_run_name(reply.run), reply.first_event

    def predict(self, run: str, table: str) -> tuple[str, int]:
        reply = self._call(self._stub.SubmitPrediction, operation_pb2.PredictionRequest(run=run, table=table))
        return safe_run_name(reply.run), reply.first_event

    def sample(self, run: str, party: str, rows_per_class: int, classes: Sequence[int], seed: int) -> tuple[str, int]:
        """Synthetic rows of one party's generators; `fetch` brings them once the event `sampled` says which file."""
        request = operation_pb2.SampleRequest(
            run=run, party=party, rows_per_class=rows_per_class, classes=classes, seed=seed
        )
        reply = self._call(self._stub.Sample, request)
        return safe_run_name(reply.run), reply.first_event

    def cancel(self, run: str) -> None:
        self._call(self._stub.Cancel, operation_pb2.CancelRequest(run=run))

    def watch(self, run: str, first_event: int) -> Iterator[Event]:
        """Events as they come, up to the one that ends this stretch; keepalive finds a dead coordinator."""
        try:
            for message in self._stub.Watch(operation_pb2.WatchRequest(run=run, first_event=first_event)):
                yield decode_event(message)
        except grpc.RpcError as error:
            raise error_of_rpc(error, self._peer) from error

    def fetch(self, run: str, directory: Path) -> None:
        """Plan, events, metrics and synthetic rows of a run into ``directory``; a file that is equal is left alone."""
        parts: dict[str, bytearray] = {}
        try:
            for part in self._stub.FetchRun(operation_pb2.FetchRunRequest(run=run), timeout=_CALL_SECONDS):
                if not is_fetched(part.path):
                    raise WireError(
                        f"the coordinator sent a file called {part.path!r}; wanted {', '.join(sorted(RUN_FILES))} and samples"
                    )
                parts.setdefault(part.path, bytearray()).extend(part.data)
        except grpc.RpcError as error:
            raise error_of_rpc(error, self._peer) from error
        for name, data in parts.items():
            file = directory / name
            if not file.exists() or file.read_bytes() != bytes(data):
                write_durably(file, bytes(data))

    def close(self) -> None:
        self._channel.close()

    def _call(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=_CALL_SECONDS)
        except grpc.RpcError as error:
            raise error_of_rpc(error, self._peer) from error
