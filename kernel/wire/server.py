"""A gRPC server as every listening role runs it: mutual TLS, one port for itself, health, one interceptor for errors."""

import contextlib
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from kernel.errors import BadInputError, CertificateError, TertiumError
from kernel.wire.channel import SERVER_OPTIONS
from kernel.wire.failures import METADATA_KEY, failure_of, status_of
from kernel.wire.identity import Identity, Peer, Role, peer_from_uris
from kernel.wire.meter import Recorder
from kernel.wire.tensor_frame import TENSOR_REQUESTS, TENSOR_RESPONSES, pack_frame, unpack_frame

_log = structlog.get_logger()
_STREAMS_AT_ONCE = 128  # threads; every party holds up to three streams


def caller(context: Any) -> Peer:
    """Role and name in the certificate of whoever calls.

    Raises:
      CertificateError: the certificate binds none.
    """
    names = context.auth_context().get("x509_subject_alternative_name", ())
    return peer_from_uris([name.decode() for name in names])


def require(context: Any, *roles: Role) -> Peer:
    """The caller, if its certificate gives it one of ``roles``.

    Raises:
      CertificateError: another role.
    """
    peer = caller(context)
    if peer.role not in roles:
        raise CertificateError(f"{peer.name!r} calls as {peer.role}; this call is for {' or '.join(roles)}")
    return peer


def _note(level: str, event: str, **fields: Any) -> None:
    """Log; a broken log (closed standard error, full disk) must not change what the caller is told."""
    with contextlib.suppress(OSError, ValueError):
        getattr(_log, level)(event, **fields)


class ErrorInterceptor(grpc.ServerInterceptor):
    """Turns every exception into a status, and frames tensors; text of an unforeseen exception never leaves this process.

    With a recorder it also notes each received message, for view tests and evaluators.
    """

    def __init__(self, name: str, recorder: Recorder | None = None) -> None:
        self._name = name
        self._recorder = recorder

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        handler = continuation(details)
        if handler is None:
            return None
        method = details.method
        changes: dict[str, Any] = {}
        if method in TENSOR_REQUESTS or self._recorder is not None:
            changes["request_deserializer"] = self._receiving(method, handler.request_deserializer)
        if method in TENSOR_RESPONSES:
            changes["response_serializer"] = pack_frame
        for kind in ("unary_unary", "unary_stream", "stream_unary", "stream_stream"):
            behaviour = getattr(handler, kind)
            if behaviour is not None:
                wrap = self._guard_stream if kind.endswith("stream") else self._guard_call
                changes[kind] = wrap(behaviour, method)
        return handler._replace(**changes)

    def _receiving(self, method: str, deserializer: Any) -> Any:
        def deserialize(data: bytes) -> Any:
            if self._recorder is not None:
                self._recorder(f">{self._name}", method, data)
            return unpack_frame(deserializer, data) if method in TENSOR_REQUESTS else deserializer(data)

        return deserialize

    def _guard_call(self, behaviour: Any, method: str) -> Any:
        def guarded(request: Any, context: Any) -> Any:
            try:
                return behaviour(request, context)
            except Exception as error:
                self._answer(error, context, method)

        return guarded

    def _guard_stream(self, behaviour: Any, method: str) -> Any:
        def guarded(request: Any, context: Any) -> Any:
            try:
                yield from behaviour(request, context)
            except Exception as error:
                self._answer(error, context, method)

        return guarded

    def _answer(self, error: Exception, context: Any, method: str) -> None:
        if not context.is_active():
            return  # the caller has gone; there is nobody to tell
        if isinstance(error, TertiumError):
            _note("warning", "refused", method=method, sentence=str(error))
            failure = failure_of(error, origin=self._name)
            context.set_trailing_metadata(((METADATA_KEY, failure.SerializeToString()),))
            context.abort(status_of(error), str(error))
        incident = secrets.token_hex(4)
        _note("error", "fault", method=method, incident=incident, exc_info=error)
        context.abort(grpc.StatusCode.INTERNAL, f"fault {incident} at {self._name}; its log says more")


Service = tuple[Callable[[Any, Any], None], Any]
"""(generated ``add_…Servicer_to_server``, servicer)"""


class Listener:
    """A running gRPC server. ``port`` is the bound one."""

    def __init__(
        self, address: str, identity: Identity, services: Iterable[Service], recorder: Recorder | None = None
    ) -> None:
        self._server = grpc.server(
            ThreadPoolExecutor(_STREAMS_AT_ONCE, thread_name_prefix="grpc"),
            options=SERVER_OPTIONS,
            interceptors=(ErrorInterceptor(identity.name, recorder),),
        )
        for add, servicer in services:
            add(servicer, self._server)
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        credentials = grpc.ssl_server_credentials(
            [(identity.key_pem, identity.certificate_pem)],
            root_certificates=identity.authority_pem,
            require_client_auth=True,
        )
        try:
            self.port: int = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise BadInputError(
                f"cannot listen on {address}: the port is in use or the address is not this machine's; "
                "stop the other process or change `listen`"
            ) from error

    def start(self) -> None:
        self._server.start()
        self._health.set("", health_pb2.HealthCheckResponse.SERVING)

    def stop(self, grace_seconds: float = 2.0) -> None:
        """Tell health watchers, take no new call, let running ones finish within the grace."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace_seconds).wait()
