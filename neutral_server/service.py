"""RPCs of the neutral server: decode, call, encode."""

import threading
import time
from collections.abc import Iterator
from typing import Any

from kernel.errors import StepError, TertiumError
from kernel.version import VERSION
from kernel.wire.relay import RelayDesk
from kernel.wire.server import require
from kernel.wire.tensor_frame import TensorFrame, require_bare
from neutral_server.live_session import LiveSession
from neutral_server.runs import RunTable
from neutral_server.session import StackSession
from neutral_server.shared_discriminator.session import SharedSession
from protos.v1 import (
    common_pb2,
    gan_training_pb2,
    gan_training_pb2_grpc,
    split_training_pb2,
    split_training_pb2_grpc,
    stack_control_pb2,
    stack_control_pb2_grpc,
)


class SplitTrainingService(split_training_pb2_grpc.SplitTrainingServicer):
    def __init__(self, runs: RunTable) -> None:
        self._runs = runs

    def Train(
        self, request_iterator: Iterator[Any], context: Any
    ) -> Iterator[TensorFrame[split_training_pb2.ServerFrame]]:
        return _session_stream(self._runs, StackSession, request_iterator, context)


class GanTrainingService(gan_training_pb2_grpc.GanTrainingServicer):
    def __init__(self, runs: RunTable) -> None:
        self._runs = runs

    def Share(
        self, request_iterator: Iterator[Any], context: Any
    ) -> Iterator[TensorFrame[gan_training_pb2.GanServerFrame]]:
        return _session_stream(self._runs, SharedSession, request_iterator, context)


class StackControlService(stack_control_pb2_grpc.StackControlServicer):
    def __init__(self, name: str, runs: RunTable, desk: RelayDesk) -> None:
        self._name, self._runs, self._desk = name, runs, desk

    def PrepareStack(
        self, request: stack_control_pb2.PrepareStackRequest, context: Any
    ) -> stack_control_pb2.PrepareStackReply:
        require(context, "coordinator")
        barriers = self._runs.prepare(request)
        self._desk.drop_run(request.run)  # the parties hear of the new generation after this
        return stack_control_pb2.PrepareStackReply(barriers=barriers)

    def BeginStack(
        self, request: stack_control_pb2.BeginStackRequest, context: Any
    ) -> stack_control_pb2.BeginStackReply:
        require(context, "coordinator")
        self._runs.begin(request)
        return stack_control_pb2.BeginStackReply()

    def OpenPass(self, request: stack_control_pb2.OpenPassRequest, context: Any) -> stack_control_pb2.OpenPassReply:
        require(context, "coordinator")
        self._runs.open_pass(request)
        return stack_control_pb2.OpenPassReply()

    def DescribePass(
        self, request: stack_control_pb2.DescribePassRequest, context: Any
    ) -> stack_control_pb2.DescribePassReply:
        require(context, "coordinator")
        session = self._runs.session(request.run, request.generation)
        return stack_control_pb2.DescribePassReply(
            phases=[
                common_pb2.PhaseSeconds(phase=phase, seconds=seconds)
                for phase, seconds in session.describe_pass().items()
            ],
            losses=session.describe_losses(),
        )

    def PrepareShared(
        self, request: stack_control_pb2.PrepareSharedRequest, context: Any
    ) -> stack_control_pb2.PrepareStackReply:
        require(context, "coordinator")
        barriers = self._runs.prepare_shared(request)
        self._desk.drop_run(request.run)
        return stack_control_pb2.PrepareStackReply(barriers=barriers)

    def BeginShared(
        self, request: stack_control_pb2.BeginSharedRequest, context: Any
    ) -> stack_control_pb2.BeginStackReply:
        require(context, "coordinator")
        self._runs.begin_shared(request)
        return stack_control_pb2.BeginStackReply()

    def OpenSharedEpoch(
        self, request: stack_control_pb2.OpenSharedEpochRequest, context: Any
    ) -> stack_control_pb2.OpenPassReply:
        require(context, "coordinator")
        self._runs.open_shared_epoch(request)
        return stack_control_pb2.OpenPassReply()

    def HoldStackBarrier(
        self, request: stack_control_pb2.HoldStackBarrierRequest, context: Any
    ) -> stack_control_pb2.HoldStackBarrierReply:
        require(context, "coordinator")
        return stack_control_pb2.HoldStackBarrierReply(manifest_hash=self._runs.hold(request))

    def CloseRun(self, request: stack_control_pb2.CloseRunRequest, context: Any) -> stack_control_pb2.CloseRunReply:
        require(context, "coordinator")
        self._runs.close(request)
        self._desk.drop_run(request.run)
        return stack_control_pb2.CloseRunReply()

    def Describe(self, request: stack_control_pb2.DescribeRequest, context: Any) -> stack_control_pb2.DescribeReply:
        require(context, "coordinator", "party", "operator", "neutral-server")
        return stack_control_pb2.DescribeReply(
            name=self._name,
            version=VERSION,
            unix_time_ms=time.time_ns() // 1_000_000,
            active_run=self._runs.active(),
        )


def _session_stream(
    runs: RunTable, kind: type[LiveSession[Any]], frames: Iterator[Any], context: Any
) -> Iterator[TensorFrame[Any]]:
    """A party's stream in a session: the first frame joins, the others are received by a thread of their own."""
    party = require(context, "party").name
    first = next(frames, None)
    if first is None or first.message.WhichOneof("kind") != "join" or first.message.header.sender != party:
        raise StepError(f"the first frame of {party!r} must be a join in its own name")
    require_bare(first, f"the join of {party!r}")
    session = runs.session_of(kind, first.message.header.run, first.message.header.generation)
    outbox = session.join(party)
    context.add_callback(outbox.close)

    def read() -> None:
        try:
            for frame in frames:
                session.receive(party, frame)
        except TertiumError as error:
            session.fail(error)
        except Exception as error:
            if context.is_active():
                session.fail(
                    TertiumError(f"the neutral server failed in a step ({type(error).__name__}); its log says more")
                )
                raise
        finally:
            session.left(party)

    threading.Thread(target=read, name=f"train {party}", daemon=True).start()
    yield from outbox
