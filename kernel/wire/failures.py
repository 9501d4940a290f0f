"""Errors over the wire: a TertiumError becomes a gRPC status with a typed Failure, and back.

Anything that is not a TertiumError is logged where it happened under an id; the other side is told the id only.
"""

from typing import Any

import grpc

from kernel.errors import BadInputError, PeerError, PolicyError, RangeError, TertiumError
from protos.v1 import common_pb2

METADATA_KEY = "tertium-failure-bin"

_REASONS: tuple[tuple[type[TertiumError], common_pb2.FailureReason, Any], ...] = (
    (RangeError, common_pb2.FAILURE_REASON_RANGE, grpc.StatusCode.INVALID_ARGUMENT),
    (BadInputError, common_pb2.FAILURE_REASON_BAD_INPUT, grpc.StatusCode.INVALID_ARGUMENT),
    (PeerError, common_pb2.FAILURE_REASON_PEER, grpc.StatusCode.FAILED_PRECONDITION),
    (PolicyError, common_pb2.FAILURE_REASON_POLICY, grpc.StatusCode.PERMISSION_DENIED),
    (TertiumError, common_pb2.FAILURE_REASON_FAULT, grpc.StatusCode.INTERNAL),
)


def failure_of(error: TertiumError, *, run: str = "", step: int = 0, origin: str = "") -> common_pb2.Failure:
    """The typed detail of an error."""
    reason = next(reason for kind, reason, _ in _REASONS if isinstance(error, kind))
    return common_pb2.Failure(run=run, step=step, reason=reason, sentence=str(error), origin=origin)


def status_of(error: TertiumError) -> Any:
    """The gRPC status code of an error."""
    return next(code for kind, _, code in _REASONS if isinstance(error, kind))


def error_of(failure: common_pb2.Failure) -> TertiumError:
    """The error a Failure describes; its class carries the exit code."""
    for kind, reason, _ in _REASONS:
        if failure.reason == reason:
            return kind(failure.sentence)
    return TertiumError(failure.sentence or "a process failed without saying why; look at its log")


def error_of_rpc(error: grpc.RpcError, peer: str) -> TertiumError:
    """The TertiumError behind a failed call to ``peer`` (name and address)."""
    metadata = error.trailing_metadata() if hasattr(error, "trailing_metadata") else None
    for key, value in metadata or ():
        if key == METADATA_KEY:
            return error_of(common_pb2.Failure.FromString(value))
    code = error.code() if hasattr(error, "code") else None
    details = error.details() if hasattr(error, "details") else ""
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return PeerError(f"{peer} did not answer in time; see whether it is alive and reachable (tertium doctor)")
    if code == grpc.StatusCode.UNAVAILABLE:
        return PeerError(f"{peer} is not reachable; see whether it runs and where it listens (tertium doctor)")
    if code == grpc.StatusCode.CANCELLED:
        return PeerError(f"the call to {peer} was cancelled")
    return PeerError(f"{peer} answered {code.name if code else 'nothing'}: {details}")
