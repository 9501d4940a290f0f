"""Shaped links without root: a TCP relay a party in this process, with a rate and a delay in each direction.

A party dials the relay in place of the listening role; TLS passes through unread. It shapes what TCP carries, not
frames: 100 Mbit/s here are 100 Mbit/s of TLS records, where a namespace's link has 4 % less for them.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from queue import Queue

from coordinator.local.links.placement import Loopback
from coordinator.local.links.token_bucket import TokenBucket
from coordinator.local.links.traffic_control import burst_bytes
from kernel.errors import BadInputError

_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_PORTS = 28232
_PORTS_A_PARTY = 4  # two to listen at, two to dial from
_PIECE_SECONDS = 0.002
_PIECE_BYTES = (1448, 1 << 16)
_QUEUE_SECONDS = 0.2
_PIECES_WAITING = 1024
_CONNECT_SECONDS = 10.0


class Direction:
    """One way of a party's link, for all its connections.

    Args:
      delay_seconds: between a byte's last moment on the link and its delivery.
    """

    def __init__(self, delay_seconds: float) -> None:
        self._bucket, self._delay = TokenBucket(None, 0), delay_seconds
        self._piece_bytes = _PIECE_BYTES[1]

    def set_rate(self, rate_mbps: float | None) -> None:
        least, most = _PIECE_BYTES
        if rate_mbps is None:
            self._piece_bytes = most
            self._bucket.set_rate(None, 0)
        else:
            rate = rate_mbps * 1e6 / 8
            # a piece arrives whole: small enough that it does not hold up what follows, large enough for fast links
            self._piece_bytes = min(most, max(least, round(rate * _PIECE_SECONDS)))
            self._bucket.set_rate(rate, burst_bytes(rate_mbps))

    def carry(self, source: socket.socket, sink: socket.socket) -> None:
        """Everything from ``source`` to ``sink``, in time, up to the end of either; then the sink hears no more."""
        waiting: Queue[tuple[float, bytes]] = Queue(_PIECES_WAITING)
        writer = threading.Thread(target=_write, args=(waiting, sink), daemon=True, name="relay writer")
        writer.start()
        with contextlib.suppress(OSError):
            while piece := source.recv(self._piece_bytes):
                due = self._bucket.reserve(len(piece))
                _sleep_until(due - _QUEUE_SECONDS)  # no more than so much waits here; the rest waits at the sender
                waiting.put((due + self._delay, piece))
        waiting.put((0.0, b""))
        writer.join()


class RelayLinks(Loopback):
    """Links of one federation; a relay opens when an address is asked for, and all close with the context.

    Args:
      parties: names as in the plan; delay_ms: added each way.

    Raises:
      BadInputError: more parties than there are ports.
    """

    kind = "relay"

    def __init__(self, parties: Sequence[str], *, delay_ms: float = 0.0) -> None:
        super().__init__()
        limit = _local_ports() // _PORTS_A_PARTY
        if len(parties) > limit:
            raise BadInputError(
                f"{len(parties)} parties need {_PORTS_A_PARTY} ports each; {_PORT_RANGE} leaves enough for {limit}: "
                "use fewer parties"
            )
        self._links = {party: (Direction(delay_ms / 1000), Direction(delay_ms / 1000)) for party in parties}
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._closed = False
        self._relays: dict[tuple[str, str], str] = {}

    def __enter__(self) -> "RelayLinks":
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
            for one in self._open:
                _close(one)
            self._open.clear()

    def address(self, role: str, *, dialler: str) -> str:
        if dialler not in self._links:
            return self.listen(role)
        if (dialler, role) not in self._relays:
            host, _, port = self.listen(role).rpartition(":")
            self._relays[dialler, role] = f"127.0.0.1:{self._relay(dialler, (host, int(port)))}"
        return self._relays[dialler, role]

    def set_rate(self, rate_mbps: float | None) -> None:
        for ways in self._links.values():
            for way in ways:
                way.set_rate(rate_mbps)

    def connect(self, party: str) -> tuple[socket.socket, socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as target:
            target.settimeout(_CONNECT_SECONDS)
            port = self._relay(party, target.getsockname())
            near = socket.create_connection(("127.0.0.1", port), timeout=_CONNECT_SECONDS)
            far, _ = target.accept()
        return near, far

    def _relay(self, party: str, target: tuple[str, int]) -> int:
        """A port at which whoever dials is carried to ``target`` over the party's link."""
        try:
            listener = socket.create_server(("127.0.0.1", 0))
        except OSError as error:
            raise BadInputError(
                f"no port is left for the relay of {party!r} ({error.strerror}); use fewer parties"
            ) from error
        self._keep(listener)
        threading.Thread(target=self._accept, args=(party, listener, target), daemon=True, name="relay").start()
        port: int = listener.getsockname()[1]
        return port

    def _accept(self, party: str, listener: socket.socket, target: tuple[str, int]) -> None:
        with contextlib.suppress(OSError):  # closed: the end
            while True:
                near, _ = listener.accept()
                threading.Thread(target=self._serve, args=(party, near, target), daemon=True, name="relay").start()

    def _serve(self, party: str, near: socket.socket, target: tuple[str, int]) -> None:
        try:
            far = socket.create_connection(target, timeout=_CONNECT_SECONDS)
        except OSError:
            near.close()  # not listening yet; the party dials again
            return
        for end in (near, far):
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._keep(end)
        up, down = self._links[party]
        back = threading.Thread(target=down.carry, args=(far, near), daemon=True, name="relay")
        back.start()
        up.carry(near, far)
        back.join()
        self._drop(near, far)

    def _keep(self, one: socket.socket) -> None:
        with self._lock:
            if self._closed:
                _close(one)
            self._open.add(one)

    def _drop(self, *ends: socket.socket) -> None:
        with self._lock:
            for end in ends:
                self._open.discard(end)
                end.close()


def _write(waiting: "Queue[tuple[float, bytes]]", sink: socket.socket) -> None:
    broken = False
    while True:
        due, piece = waiting.get()
        if not piece:
            break
        if broken:
            continue  # the reader is not to wait for a full queue that nobody empties
        _sleep_until(due)
        try:
            sink.sendall(piece)
        except OSError:
            broken = True
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits on it
    one.close()


def _sleep_until(when: float) -> None:
    wait = when - time.monotonic()
    if wait > 0:
        time.sleep(wait)


def _local_ports() -> int:
    try:
        first, last = _PORT_RANGE.read_text().split()
    except (OSError, ValueError):
        return _USUAL_PORTS
    return int(last) - int(first) + 1
