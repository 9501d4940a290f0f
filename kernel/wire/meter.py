"""Bytes and messages per link, counted where messages are serialised, so nothing is serialised twice to be counted.

The side that dialled counts both directions of its link; gRPC's 5-byte frame per message is included, TLS and HTTP/2
framing is not.
"""

import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from kernel.wire.tensor_frame import TENSOR_REQUESTS, TENSOR_RESPONSES, pack_frame, unpack_frame
from protos.v1 import common_pb2

GRPC_FRAME_BYTES = 5
Recorder = Callable[[str, str, bytes], None]
"""Called as (link, method, serialised message)."""


class LinkMeter:
    """Counts per link; safe to use from gRPC's threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes: dict[str, int] = defaultdict(int)
        self._messages: dict[str, int] = defaultdict(int)

    def count(self, link: str, payload_bytes: int) -> None:
        with self._lock:
            self._bytes[link] += payload_bytes + GRPC_FRAME_BYTES
            self._messages[link] += 1

    def take(self) -> list[common_pb2.LinkUsage]:
        """What was counted since the last take, and start again at zero."""
        with self._lock:
            usage = [
                common_pb2.LinkUsage(link=link, bytes=count, messages=self._messages[link])
                for link, count in sorted(self._bytes.items())
            ]
            self._bytes.clear()
            self._messages.clear()
        return usage


class MeteredChannel:
    """A gRPC channel whose serialisers count (and, for an evaluator, record) what passes, and frame tensors.

    Stubs are built on it as on any channel. ``me`` and ``peer`` name the ends of the link.
    """

    def __init__(self, channel: Any, me: str, peer: str, meter: LinkMeter, recorder: Recorder | None = None) -> None:
        self._channel = channel
        self._up, self._down = f"{me}>{peer}", f"{peer}>{me}"
        self._meter = meter
        self._recorder = recorder

    def _wrap(self, kind: str, method: str, serializer: Any, deserializer: Any, **options: Any) -> Any:
        def serialize(message: Any) -> bytes:
            data: bytes = pack_frame(message) if method in TENSOR_REQUESTS else serializer(message)
            self._seen(self._up, method, data)
            return data

        def deserialize(data: bytes) -> Any:
            self._seen(self._down, method, data)
            return unpack_frame(deserializer, data) if method in TENSOR_RESPONSES else deserializer(data)

        return getattr(self._channel, kind)(
            method, request_serializer=serialize, response_deserializer=deserialize, **options
        )

    def _seen(self, link: str, method: str, data: bytes) -> None:
        self._meter.count(link, len(data))
        if self._recorder is not None:
            self._recorder(link, method, data)

    def unary_unary(self, method: str, request_serializer: Any, response_deserializer: Any, **options: Any) -> Any:
        return self._wrap("unary_unary", method, request_serializer, response_deserializer, **options)

    def unary_stream(self, method: str, request_serializer: Any, response_deserializer: Any, **options: Any) -> Any:
        return self._wrap("unary_stream", method, request_serializer, response_deserializer, **options)

    def stream_unary(self, method: str, request_serializer: Any, response_deserializer: Any, **options: Any) -> Any:
        return self._wrap("stream_unary", method, request_serializer, response_deserializer, **options)

    def stream_stream(self, method: str, request_serializer: Any, response_deserializer: Any, **options: Any) -> Any:
        return self._wrap("stream_stream", method, request_serializer, response_deserializer, **options)

    def close(self) -> None:
        self._channel.close()
