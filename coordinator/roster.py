"""Who attends: one stream per party, orders down, reports up."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError

import structlog

from kernel.errors import BadInputError, PeerError, PolicyError, TertiumError
from kernel.wire.failures import error_of
from kernel.wire.stream import Outbox
from protos.v1 import coordination_pb2

_log = structlog.get_logger()
_SETTLE_SECONDS = 5.0

OnProgress = Callable[[str, coordination_pb2.Progress], None]
Reports = dict[str, coordination_pb2.PartyReport]


class Attendance:
    """One party's stream."""

    def __init__(self, name: str, version: str) -> None:
        self.name, self.version = name, version
        self.outbox: Outbox[coordination_pb2.PartyOrder] = Outbox()
        self.pending: dict[int, Future[coordination_pb2.PartyReport]] = {}


class Roster:
    """Attending parties, and orders to them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._attending: dict[str, Attendance] = {}
        self._orders = 0
        self._progress: OnProgress | None = None

    def names(self) -> list[str]:
        with self._changed:
            return sorted(self._attending)

    def versions(self) -> dict[str, str]:
        with self._changed:
            return {name: one.version for name, one in self._attending.items()}

    def enter(self, name: str, version: str) -> Attendance:
        """Raises PeerError: the name attends already."""
        with self._changed:
            if name in self._attending:
                raise PeerError(f"{name!r} attends already; stop the other process with this certificate")
            attendance = Attendance(name, version)
            self._attending[name] = attendance
            self._changed.notify_all()
        _log.info("attending", party=name)
        return attendance

    def leave(self, attendance: Attendance) -> None:
        """The stream ended: whatever was asked of the party fails."""
        with self._changed:
            if self._attending.get(attendance.name) is attendance:
                del self._attending[attendance.name]
                self._changed.notify_all()
            pending = list(attendance.pending.values())
            attendance.pending.clear()
        for future in pending:
            future.set_exception(PeerError(f"{attendance.name!r} is gone in the middle of an order"))
        _log.info("gone", party=attendance.name)

    def close(self) -> None:
        """End every stream: the coordinator is stopping."""
        with self._changed:
            for attendance in self._attending.values():
                attendance.outbox.close()

    def take_report(self, attendance: Attendance, report: coordination_pb2.PartyReport) -> None:
        if report.WhichOneof("kind") == "progress":
            if self._progress is not None:
                self._progress(attendance.name, report.progress)
            return
        with self._changed:
            future = attendance.pending.pop(report.order, None)
        if future is None:
            _log.warning("unasked report", party=attendance.name, order=report.order)
        else:
            future.set_result(report)

    def wait_for(self, names: Iterable[str], timeout_seconds: float) -> None:
        """Until all attend.

        Raises:
          PeerError: names those that do not.
        """
        wanted = set(names)
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while missing := wanted - set(self._attending):
                if not self._changed.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    raise PeerError(
                        f"{', '.join(sorted(missing))} did not attend within {timeout_seconds:g} s; start the daemon(s), "
                        "and run `tertium doctor` with their config"
                    )

    def ask(
        self,
        orders: Mapping[str, coordination_pb2.PartyOrder],
        timeout_seconds: float,
        progress: OnProgress | None = None,
    ) -> Reports:
        """Give each party its order and wait for all reports.

        When one fails, the others are told to abort, and the failure that explains the rest is raised: a policy or
        input error before a fault, a fault before a lost peer.
        """
        self._progress = progress
        futures = {name: self._order(name, order) for name, order in orders.items()}
        deadline = time.monotonic() + timeout_seconds
        try:
            return {name: _report(name, future, deadline) for name, future in _as_they_fail(futures, deadline)}
        except TertiumError as error:
            self.abort(orders, f"another role failed: {error}")
            raise _root_cause([error, *_settle(futures)]) from None
        finally:
            self._progress = None

    def abort(self, names: Iterable[str], sentence: str) -> None:
        """Interrupt whatever the parties are doing for the run."""
        with self._changed:
            for name in names:
                if name in self._attending:
                    self._attending[name].outbox.put(
                        coordination_pb2.PartyOrder(abort=coordination_pb2.Abort(sentence=sentence))
                    )

    def _order(self, name: str, order: coordination_pb2.PartyOrder) -> "Future[coordination_pb2.PartyReport]":
        future: Future[coordination_pb2.PartyReport] = Future()
        with self._changed:
            attendance = self._attending.get(name)
            if attendance is None:
                future.set_exception(
                    PeerError(f"{name!r} does not attend any more; restart its daemon and resume the run")
                )
                return future
            self._orders += 1
            order.order = self._orders
            attendance.pending[order.order] = future
            attendance.outbox.put(order)
        return future


def _as_they_fail(
    futures: Mapping[str, "Future[coordination_pb2.PartyReport]"], deadline: float
) -> Iterable[tuple[str, "Future[coordination_pb2.PartyReport]"]]:
    """Wait until all are done or one has failed, failed ones first."""
    ready = threading.Event()
    left = threading.Semaphore(0)

    def done(future: "Future[coordination_pb2.PartyReport]") -> None:
        left.release()
        if _failed(future):
            ready.set()

    for future in futures.values():
        future.add_done_callback(done)
    for _ in futures:
        while not left.acquire(timeout=0.05):
            if ready.is_set() or time.monotonic() > deadline:
                break
        if ready.is_set():
            break
    return sorted(futures.items(), key=lambda item: not (item[1].done() and _failed(item[1])))


def _failed(future: "Future[coordination_pb2.PartyReport]") -> bool:
    return future.exception() is not None or future.result().WhichOneof("kind") == "failed"


def _report(name: str, future: "Future[coordination_pb2.PartyReport]", deadline: float) -> coordination_pb2.PartyReport:
    try:
        report = future.result(timeout=max(0.0, deadline - time.monotonic()))
    except FutureTimeoutError:
        raise PeerError(f"{name!r} did not answer in time; look at its log") from None
    if report.WhichOneof("kind") == "failed":
        error = error_of(report.failed)
        raise type(error)(f"{name}: {error}")
    return report


def _settle(futures: Mapping[str, "Future[coordination_pb2.PartyReport]"]) -> list[TertiumError]:
    """Give the other parties a moment to say what they saw."""
    errors = []
    deadline = time.monotonic() + _SETTLE_SECONDS
    for name, future in futures.items():
        try:
            _report(name, future, deadline)
        except TertiumError as error:
            errors.append(error)
    return errors


def _root_cause(errors: list[TertiumError]) -> TertiumError:
    def rank(error: TertiumError) -> int:
        if isinstance(error, PolicyError):
            return 0
        if isinstance(error, BadInputError):
            return 1
        return (
            3
            if isinstance(error, PeerError) and ("is gone" in str(error) or "another role failed" in str(error))
            else 2
        )

    return min(errors, key=rank)
