"""What a link really lets through: a plain TCP transfer, each way, before anything else is measured on it."""

import socket
import threading
import time
from dataclasses import dataclass

from coordinator.local.links.shaped_links import ShapedLinks
from kernel.errors import TertiumError

_SECONDS = 0.4
_BYTES = (1 << 16, 1 << 25)
_RECEIVE_BYTES = 1 << 18
_WAIT_SECONDS = 60.0
_TOO_FAST = 1.1


@dataclass(frozen=True)
class Throughput:
    """Payload of a party's link in Mbit/s: up from the party, down to it."""

    up_mbps: float
    down_mbps: float


def measure_throughput(links: ShapedLinks, party: str, rate_mbps: float | None) -> Throughput:
    """Both directions, one after the other, over a connection of its own.

    Raises:
      TertiumError: the link is faster than its rate, so what would be measured on it means nothing.
    """
    least, most = _BYTES
    size = most if rate_mbps is None else min(most, max(least, round(rate_mbps * 1e6 / 8 * _SECONDS)))
    near, far = links.connect(party)
    with near, far:
        for end in (near, far):
            end.settimeout(_WAIT_SECONDS)
        found = Throughput(_transfer(near, far, size), _transfer(far, near, size))
    if rate_mbps is not None and max(found.up_mbps, found.down_mbps) > _TOO_FAST * rate_mbps:
        raise TertiumError(
            f"the link of {party!r} lets {max(found.up_mbps, found.down_mbps):.4g} Mbit/s through, set are {rate_mbps:g}: "
            f"shaping by {links.kind} does not hold here; try the other --shaping"
        )
    return found


def _transfer(source: socket.socket, sink: socket.socket, size: int) -> float:
    """Mbit/s from the first bytes received to the last, so that neither start nor burst counts."""
    failed: list[OSError] = []

    def send() -> None:
        try:
            source.sendall(bytes(size))
        except OSError as error:
            failed.append(error)

    sender = threading.Thread(target=send, name="throughput sender")
    sender.start()
    try:
        piece_bytes = min(_RECEIVE_BYTES, size // 16)  # the first is not counted and must not be all
        first = received = len(sink.recv(piece_bytes))
        started = time.perf_counter()
        while received < size:
            piece = sink.recv(piece_bytes)
            if not piece:
                break
            received += len(piece)
        seconds = time.perf_counter() - started
    except OSError as error:
        failed.append(error)
    sender.join()
    if failed or received < size:
        raise TertiumError(f"a transfer over a shaped link broke off ({failed[0] if failed else 'closed'}); try again")
    return (received - first) * 8 / max(seconds, 1e-9) / 1e6
