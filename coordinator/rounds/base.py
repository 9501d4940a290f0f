"""One generation of a run, whatever its job: orders to the parties, calls to the neutral server, what both spent.

A failure anywhere aborts the parties, closes the run at the server and goes on to whoever started the rounds; the barriers
that were committed stand.
"""

import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from coordinator.clients import StackClient
from coordinator.metrics_file import write_metrics
from coordinator.roster import OnProgress, Reports, Roster
from coordinator.run_store import RunRecord
from coordinator.settings import CoordinatorSettings
from kernel.errors import PeerError, StepError, TertiumError
from kernel.plan_message import plan_hash
from kernel.run_state import RunState
from protos.v1 import common_pb2, coordination_pb2, stack_control_pb2

_log = structlog.get_logger()

Order = Callable[[], coordination_pb2.PartyOrder]


class Rounds(ABC):
    """What the rounds of every job share.

    Args:
      server: the line to the neutral server; None for a job it takes no part in.
    """

    def __init__(
        self, record: RunRecord, roster: Roster, server: StackClient | None, settings: CoordinatorSettings
    ) -> None:
        self._record, self._roster, self._server, self._settings = record, roster, server, settings
        self._cancelled = threading.Event()
        self._plan = record.plan.message()
        self._names = [party.name for party in self._plan.parties]
        self._generation = record.next_generation()
        self._prepared: dict[str, coordination_pb2.Prepared] = {}

    def train(self) -> None:
        """The whole run, from the newest common barrier to the report's numbers.

        Raises:
          TertiumError: a role failed; the run is paused and its barriers stand.
        """
        self._guarded(self._train)

    def cancel(self) -> None:
        self._cancelled.set()
        self._roster.abort(self._names, "the operator cancelled the run")

    def _only(self, name: str) -> None:
        """From here on this party is the only role that takes part in the generation."""
        self._names, self._server = [name], None

    def _require_server(self) -> StackClient:
        if self._server is None:
            raise StepError("the neutral server takes no part in this run")
        return self._server

    @abstractmethod
    def _train(self) -> None:
        """From the newest common barrier to the run's end."""

    def _release(self) -> None:  # noqa: B027 - a job may hold nothing besides
        """Whatever the rounds hold besides; called when they end, however they do."""

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            sentence = str(error) if isinstance(error, TertiumError) else "the coordinator failed; its log says more"
            self._roster.abort(self._names, f"the run is paused: {sentence}")
            self._close_server(sentence)
            raise
        finally:
            self._release()

    def _wait_for_parties(self) -> None:
        self._roster.wait_for(self._names, self._settings.wait_seconds)
        for name in self._names:
            self._record.note("joined", party=name)

    def _prepare_parties(self, prepare: coordination_pb2.Prepare) -> None:
        """Raises PeerError: a party computes another plan hash."""
        reports = self._ask(lambda: coordination_pb2.PartyOrder(prepare=prepare), 4 * self._settings.wait_seconds)
        self._prepared = {name: report.prepared for name, report in reports.items()}
        for name, one in self._prepared.items():
            if one.plan_hash != plan_hash(self._plan):
                raise PeerError(f"{name!r} computes another plan hash; run one version everywhere")

    def _note_prepared(self, name: str, **more: Any) -> None:
        one = self._prepared[name]
        self._record.note(
            "prepared",
            party=name,
            rows=one.rows,
            train_rows=one.train_rows,
            test_rows=one.test_rows,
            columns=one.encoded_columns,
            **more,
        )

    def _note_generation(self, barrier: int) -> None:
        kind = "generation" if self._generation == 1 else "resumed"
        self._record.note(kind, generation=self._generation, barrier=barrier)

    def _common_barriers(self, held_by_server: Iterable[int] | None) -> set[int]:
        """Of the parties, and of the server where it takes part (None: it does not)."""
        held: list[Iterable[int]] = [one.barriers for one in self._prepared.values()]
        if held_by_server is not None:
            held.append(held_by_server)
        return set(held[0]).intersection(*held[1:])

    def _train_epochs(self, start: int, train: Callable[[int], None]) -> None:
        """The epochs after barrier ``start``, with a barrier as often as the plan says and after the last."""
        if start == 0:
            self._hold_barrier(0)
        self._record.move(RunState.TRAINING)
        for epoch in range(start + 1, self._plan.epochs + 1):
            train(epoch)
            if epoch % self._plan.barrier_every_epochs == 0 or epoch == self._plan.epochs:
                self._hold_barrier(epoch)

    def _end(self) -> None:
        """Of a run that is trained and evaluated."""
        self._finish()
        self._record.move(RunState.DONE)
        write_metrics(self._record)

    def _hold_barrier(self, barrier: int) -> None:
        """Every role persists; the barrier counts when it is committed here."""
        hold = coordination_pb2.HoldBarrier(barrier=barrier)
        self._ask(lambda: coordination_pb2.PartyOrder(hold_barrier=hold), self._settings.wait_seconds)
        if self._server is not None:
            self._server.hold(
                stack_control_pb2.HoldStackBarrierRequest(
                    run=self._record.run, generation=self._generation, barrier=barrier
                )
            )
        self._record.note("barrier", barrier=barrier)

    def _finish(self) -> None:
        reports = self._ask(
            lambda: coordination_pb2.PartyOrder(finish=coordination_pb2.Finish()), self._settings.wait_seconds
        )
        self._close_server("")
        links = bytes_by_link(report.finished.links for report in reports.values())
        if self._server is not None:
            links.update(bytes_by_link([self._server.meter.take()]))
        self._record.note(
            "traffic",
            generation=self._generation,
            bytes=dict(sorted(links.items())),
            relayed_bytes=dict(sorted(bytes_by_link(report.finished.relayed for report in reports.values()).items())),
            versions=self._roster.versions(),
        )

    def _note_step(self, progress: coordination_pb2.Progress, *, with_loss: bool = True) -> None:
        if 0 < progress.step <= progress.steps:
            self._record.note(
                "progress",
                epoch=progress.epoch,
                step=progress.step,
                steps=progress.steps,
                rows=progress.rows,
                **({"loss": progress.loss} if with_loss else {}),
            )

    def _close_server(self, sentence: str) -> None:
        if self._server is None:
            return
        try:
            self._server.close_run(self._record.run, self._generation, sentence)
        except TertiumError as error:
            _log.warning("the neutral server did not close the run", sentence=str(error))

    def _ask(self, order: Order, timeout_seconds: float, progress: OnProgress | None = None) -> Reports:
        """The same order to every party of the run."""
        return self._ask_each({name: order() for name in self._names}, timeout_seconds, progress)

    def _ask_each(
        self,
        orders: Mapping[str, coordination_pb2.PartyOrder],
        timeout_seconds: float,
        progress: OnProgress | None = None,
    ) -> Reports:
        if self._cancelled.is_set():
            raise PeerError("the operator cancelled the run")
        for order in orders.values():
            order.run, order.generation = self._record.run, self._generation
        return self._roster.ask(orders, timeout_seconds, progress)


def bytes_by_link(usages: Iterable[Iterable[common_pb2.LinkUsage]]) -> Counter[str]:
    """What several processes counted, added up."""
    links: Counter[str] = Counter()
    for reported in usages:
        for usage in reported:
            links[usage.link] += usage.bytes
    return links


def seconds_by_phase(phases: Iterable[common_pb2.PhaseSeconds]) -> dict[str, float]:
    return {phase.phase: phase.seconds for phase in phases}
