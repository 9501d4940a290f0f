"""The coordinator's line to the neutral server."""

from typing import Any

import grpc

from coordinator.settings import ServerAddress
from kernel.errors import TertiumError
from kernel.wire.channel import dial
from kernel.wire.failures import error_of_rpc
from kernel.wire.identity import Identity
from kernel.wire.meter import LinkMeter, MeteredChannel, Recorder
from protos.v1 import stack_control_pb2, stack_control_pb2_grpc

_SHORT_SECONDS = 30.0
_COMPILE_SECONDS = 300.0


class StackClient:
    """Unary calls with deadlines; errors come back as TertiumErrors."""

    def __init__(self, server: ServerAddress, identity: Identity, recorder: Recorder | None = None) -> None:
        self.name = server.name
        self.meter = LinkMeter()
        self._peer = f"the neutral server at {server.address}"
        self._channel = dial(server.address, identity, server.name)
        self._stub = stack_control_pb2_grpc.StackControlStub(
            MeteredChannel(self._channel, identity.name, server.name, self.meter, recorder)
        )

    def prepare(self, request: stack_control_pb2.PrepareStackRequest) -> list[int]:
        # the first network waits for TensorFlow's import
        return list(self._call(self._stub.PrepareStack, request, _COMPILE_SECONDS, wait=True).barriers)

    def begin(self, request: stack_control_pb2.BeginStackRequest) -> None:
        self._call(self._stub.BeginStack, request, _COMPILE_SECONDS)

    def open_pass(self, request: stack_control_pb2.OpenPassRequest) -> None:
        self._call(self._stub.OpenPass, request, _SHORT_SECONDS)

    def prepare_shared(self, request: stack_control_pb2.PrepareSharedRequest) -> list[int]:
        return list(self._call(self._stub.PrepareShared, request, _COMPILE_SECONDS, wait=True).barriers)

    def begin_shared(self, request: stack_control_pb2.BeginSharedRequest) -> None:
        self._call(self._stub.BeginShared, request, _COMPILE_SECONDS)

    def open_shared_epoch(self, request: stack_control_pb2.OpenSharedEpochRequest) -> None:
        self._call(self._stub.OpenSharedEpoch, request, _SHORT_SECONDS)

    def describe_pass(self, run: str, generation: int) -> stack_control_pb2.DescribePassReply:
        """Seconds per phase at the server, and a shared discriminator's losses, since the last question."""
        request = stack_control_pb2.DescribePassRequest(run=run, generation=generation)
        reply: stack_control_pb2.DescribePassReply = self._call(self._stub.DescribePass, request, _SHORT_SECONDS)
        return reply

    def hold(self, request: stack_control_pb2.HoldStackBarrierRequest) -> bytes:
        return bytes(self._call(self._stub.HoldStackBarrier, request, _SHORT_SECONDS).manifest_hash)

    def close_run(self, run: str, generation: int, sentence: str) -> None:
        request = stack_control_pb2.CloseRunRequest(run=run, generation=generation, sentence=sentence)
        self._call(self._stub.CloseRun, request, _SHORT_SECONDS)

    def describe(self, timeout_seconds: float = 5.0) -> stack_control_pb2.DescribeReply:
        reply: stack_control_pb2.DescribeReply = self._call(
            self._stub.Describe, stack_control_pb2.DescribeRequest(), timeout_seconds
        )
        return reply

    def close(self) -> None:
        self._channel.close()

    def _call(self, method: Any, request: Any, timeout_seconds: float, *, wait: bool = False) -> Any:
        try:
            return method(request, timeout=timeout_seconds, wait_for_ready=wait)
        except grpc.RpcError as error:
            translated: TertiumError = error_of_rpc(error, self._peer)
            raise translated from error
