"""Dialling: mutual TLS, keepalive and limits, the same on every link."""

import contextlib
from typing import Any

import grpc

from kernel.wire.identity import Identity

MAX_MESSAGE_BYTES = 64 << 20
"""Stated limit of one message; E is opened in chunks, and a plan whose activations exceed it is refused."""

OPENING_CHUNK_BYTES = 1 << 20
"""Words of E in one message: what a party sends and what a forecast counts."""

# A hung peer (SIGSTOP) is noticed only with all three ping settings.
_KEEPALIVE_MS = 5000
_PING_ANSWER_MS = 4000
_LIMITS = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
)
_READ_CHUNKS = (  # a tensor is read in few large pieces: 5-10 % less processor time a message of 160 kB
    ("grpc.experimental.tcp_read_chunk_size", 1 << 20),
    ("grpc.experimental.tcp_min_read_chunk_size", 1 << 18),
    ("grpc.experimental.tcp_max_read_chunk_size", 4 << 20),
)
_KEEPALIVE = (
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", _PING_ANSWER_MS),
    ("grpc.http2.ping_timeout_ms", _PING_ANSWER_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)
_PAUSE_MS = 2000
RECONNECT_SECONDS = 2 * _PAUSE_MS / 1000
"""In so many seconds a channel has dialled again, whatever pause it was in (jitter adds a fifth)."""

SERVER_OPTIONS = (
    *_LIMITS,
    *_READ_CHUNKS,
    *_KEEPALIVE,
    ("grpc.http2.min_ping_interval_without_data_ms", _KEEPALIVE_MS // 2),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", _KEEPALIVE_MS // 2),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.so_reuseport", 0),  # otherwise two servers bind one port silently
)


def dial(address: str, identity: Identity, server_name: str) -> Any:
    """A channel to ``host:port`` whose certificate must bear ``server_name``."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=identity.authority_pem,
        private_key=identity.key_pem,
        certificate_chain=identity.certificate_pem,
    )
    options = (
        *_LIMITS,
        *_READ_CHUNKS,
        *_KEEPALIVE,
        ("grpc.ssl_target_name_override", server_name),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", _PAUSE_MS),
        ("grpc.use_local_subchannel_pool", 1),
    )
    return grpc.secure_channel(address, credentials, options=options)


def connects_within(channel: Any, seconds: float) -> bool:
    """Whether the other side can be reached, given so many seconds: gRPC dials one that was away again only after a pause.

    Without it a call fails at once while the channel rests between two attempts, though the other side has come up since.
    """
    with contextlib.suppress(grpc.FutureTimeoutError):
        grpc.channel_ready_future(channel).result(timeout=seconds)
        return True
    return False
