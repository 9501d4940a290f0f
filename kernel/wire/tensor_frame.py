"""Messages whose tensor travels behind them, not in them.

Wire form of the streams that carry tensors (SplitTraining.Train, GanTraining.Share, Relay.Exchange, Dealing.Corrections):
length of the message (uint32, little endian), the message, then the bytes of its tensor (or seal) to the end. A protobuf
`bytes` field is copied when it is set, when it is serialised, when it is parsed and at every access; this way a tensor is copied
once into the frame, and the receiver's array is a view of what gRPC delivered (docs/decisions/0014).
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import DecodeError

from kernel.errors import WireError

Message = TypeVar("Message")
Payload = bytes | memoryview

_LENGTH = struct.Struct("<I")
FRAME_LENGTH_BYTES = _LENGTH.size

TENSOR_REQUESTS = frozenset(
    {"/tertium.v1.SplitTraining/Train", "/tertium.v1.GanTraining/Share", "/tertium.v1.Relay/Exchange"}
)
TENSOR_RESPONSES = TENSOR_REQUESTS | {"/tertium.v1.Dealing/Corrections"}
"""Methods whose requests and responses are frames."""


@dataclass(frozen=True, slots=True)
class TensorFrame(Generic[Message]):
    """A message and the bytes behind it; ``payload`` may be empty."""

    message: Message
    payload: Payload = b""


def require_bare(frame: TensorFrame[Any], what: str) -> None:
    """Hold a message that names no tensor to having none behind it.

    Raises:
      WireError: bytes follow it; ``what`` names message and sender.
    """
    if len(frame.payload):
        raise WireError(f"{len(frame.payload)} bytes follow {what}, which has none; run one version everywhere")


def pack_frame(frame: TensorFrame[Any] | bytes) -> bytes:
    """The wire form; copies the payload once. A frame that is packed already stays as it is.

    Pack before sending where the payload is overwritten by the next step, or goes to several receivers.
    """
    if isinstance(frame, bytes):
        return frame
    head: bytes = frame.message.SerializeToString()
    return b"".join((_LENGTH.pack(len(head)), head, frame.payload))


def unpack_frame(parse: Callable[[bytes], Message], data: bytes) -> TensorFrame[Message]:
    """The frame in ``data``; its payload is a view.

    Raises:
      WireError: shorter than it claims, or what it claims to be the message is none.
    """
    start = _LENGTH.size
    if len(data) < start or len(data) < start + (length := _LENGTH.unpack_from(data)[0]):
        raise WireError(f"a frame of {len(data)} bytes is shorter than its message; run one version everywhere")
    try:
        message = parse(data[start : start + length])
    except DecodeError as error:
        raise WireError(
            f"the first {length} bytes of a frame of {len(data)} are no message; run one version everywhere"
        ) from error
    return TensorFrame(message, memoryview(data)[start + length :])
