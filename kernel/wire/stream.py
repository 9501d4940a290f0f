"""Both ends of a bidirectional stream, with a deadline on every wait."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import grpc

from kernel.errors import PeerError, TertiumError
from kernel.wire.failures import error_of_rpc

Sent = TypeVar("Sent")
Received = TypeVar("Received")

_END = object()
_FULL_SECONDS = 0.5


class Outbox(Generic[Sent]):
    """Messages on their way out: any thread puts, gRPC's thread iterates. `fail` ends the iteration with an error."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def put(self, message: Sent) -> None:
        self._queue.put(message)

    def close(self) -> None:
        self._queue.put(_END)

    def fail(self, error: TertiumError) -> None:
        self._queue.put(error)

    def __iter__(self) -> Iterator[Sent]:
        while True:
            item = self._queue.get()
            if item is _END:
                return
            if isinstance(item, TertiumError):
                raise item
            yield item


class InboundStream(Generic[Received]):
    """What a peer streams to us; a thread of its own reads, so that every wait has a deadline.

    Args:
      call: a gRPC call that yields messages; peer: whom it reaches, for error messages;
      prefetch: how many messages may wait here before the peer is slowed down; 0: no bound.
    """

    def __init__(self, call: Any, peer: str, *, prefetch: int = 0) -> None:
        self.peer = peer
        self._call = call
        # SimpleQueue is C and does without a lock of its own, but has no bound
        self._inbox: queue.Queue[Any] | queue.SimpleQueue[Any] = (
            queue.Queue(prefetch) if prefetch else queue.SimpleQueue()
        )
        self._error: TertiumError | None = None
        self._closed = threading.Event()
        self.rounds = 0
        threading.Thread(target=self._read, name=f"read {peer}", daemon=True).start()

    def _read(self) -> None:
        try:
            for message in self._call:
                self._deliver(message)
            self.interrupt(PeerError(f"{self.peer} ended the stream"))
        except grpc.RpcError as error:
            self.interrupt(error_of_rpc(error, self.peer))

    def _deliver(self, message: Received) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._inbox.put(message, timeout=_FULL_SECONDS)
                return

    def poll(self, timeout_seconds: float) -> Received | None:
        """The next message, or None after the timeout.

        Raises:
          PeerError: the stream broke (the peer's own error where it gave one).
        """
        broken = self._error is not None
        try:
            item = self._inbox.get(timeout=0 if broken else timeout_seconds)
        except queue.Empty:
            item = _END
        if self._error is not None and item is _END:
            raise self._error
        if item is _END:
            return None
        received: Received = item
        return received

    def receive(self, timeout_seconds: float) -> Received:
        """The next message.

        Raises:
          PeerError: nothing came in time, or the stream broke.
        """
        self.rounds += 1
        message = self.poll(timeout_seconds)
        if message is None:
            raise PeerError(
                f"{self.peer} sent nothing for {timeout_seconds:g} s; see whether it is alive (tertium doctor)"
            )
        return message

    def interrupt(self, error: TertiumError) -> None:
        """Wake whoever waits, with ``error``; the first error stays."""
        self._error = self._error or error
        with contextlib.suppress(queue.Full):
            self._inbox.put_nowait(_END)

    def close(self) -> None:
        self._closed.set()
        self._call.cancel()


class DuplexStream(InboundStream[Received], Generic[Sent, Received]):
    """The dialling end of a bidirectional stream.

    Args:
      method: a stub's stream method; peer: whom it reaches.
    """

    def __init__(self, method: Callable[..., Any], peer: str) -> None:
        self._outbox: Outbox[Sent] = Outbox()
        super().__init__(method(iter(self._outbox)), peer)

    def send(self, message: Sent) -> None:
        self._outbox.put(message)

    def close(self, flush_seconds: float = 0.0) -> None:
        """End the sending side, give the peer ``flush_seconds`` to finish, and cancel what is left."""
        self._outbox.close()
        deadline = time.monotonic() + flush_seconds
        while self._call.is_active() and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        super().close()
