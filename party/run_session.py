"""What every session of a party is: one generation of one run, within the party's own policy; its links and their cost."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from kernel.durable import BarrierStore, write_durably
from kernel.errors import StepError, TertiumError
from kernel.plan_message import check_plan_message, safe_run_name
from kernel.randomness import SecureRandomness
from kernel.run_state import RunState, advance
from kernel.secret.plan import without_server
from kernel.wire.identity import Identity
from kernel.wire.meter import LinkMeter, Recorder
from kernel.wire.stream import DuplexStream
from party.membership import Membership
from party.peer_links import PeerLinks
from party.policy import check_plan
from party.rows.loaders import declared_columns
from party.settings import PartySettings
from party.usage import Usage, UsageTotals
from protos.v1 import coordination_pb2, plan_pb2


class RunSession(ABC):
    """States as in kernel/run_state.py. Orders come from one thread; `interrupt` may come from another.

    Args:
      stubs: split_training, gan_training, relay and dealing stubs on metered channels; meter: of those channels;
      send_progress: called with Progress messages while an epoch runs.
      recorder: an evaluator's.
    """

    def __init__(
        self,
        settings: PartySettings,
        identity: Identity,
        *,
        run: str,
        generation: int,
        stubs: dict[str, Any],
        meter: LinkMeter,
        send_progress: Callable[[coordination_pb2.Progress], None],
        recorder: Recorder | None = None,
    ) -> None:
        self.run, self.generation = safe_run_name(run), generation
        self._settings, self._identity, self._stubs, self._meter = settings, identity, stubs, meter
        self._send_progress, self._recorder = send_progress, recorder
        self._directory = settings.state_directory / self.run
        self.state = RunState.JOINED
        self._links: PeerLinks | None = None
        self._stream: DuplexStream[Any, Any] | None = None
        self._interrupted: TertiumError | None = None
        self._usage = UsageTotals(meter)
        self._relayed: UsageTotals | None = None

    @abstractmethod
    def prepare(self, order: coordination_pb2.Prepare) -> coordination_pb2.Prepared:
        """Policy first, then peers, then rows."""

    @abstractmethod
    def answers(
        self, order: coordination_pb2.PartyOrder, report: coordination_pb2.PartyReport
    ) -> Mapping[str, Callable[[], None]]:
        """Per kind of order that this job knows, what carries it out and writes the report."""

    def finish(self) -> coordination_pb2.Finished:
        self._take_usage()
        self.state = advance(self.state, RunState.DONE)
        self.close()
        return coordination_pb2.Finished(
            links=self._usage.totals(), relayed=self._relayed.totals() if self._relayed is not None else ()
        )

    def interrupt(self, error: TertiumError) -> None:
        """Wake whatever waits; the order in progress fails with ``error``."""
        self._interrupted = error
        for link in (self._links, self._stream):
            if link is not None:
                link.interrupt(error)

    def close(self) -> None:
        if self.state is not RunState.DONE:
            self.state = RunState.PAUSED
        if self._stream is not None:
            self._stream.close(flush_seconds=1.0 if self.state is RunState.DONE else 0.0)
        if self._links is not None:
            self._links.close()

    # --- steps of the orders -----------------------------------------------------------------------------------

    def _accept(self, plan: plan_pb2.RunPlan) -> dict[str, list[str]]:
        """Hold a plan to what any plan is held to, then to this party's policy; returns the columns of its tables."""
        check_plan_message(plan)
        tables = {name: list(declared_columns(table)) for name, table in self._settings.tables.items()}
        check_plan(self._settings.policy, plan, self._settings.name, tables)
        self._membership = Membership(self._settings.name, self.run, self.generation, plan)
        self._plan, self._part = plan, self._membership.part
        return tables

    def _open_generation(self) -> None:
        """A generation is used once: masks, triples and keys derive from it. Noted on disk before anything is."""
        path = self._directory / "generation"
        last = int(path.read_text()) if path.exists() else 0
        if self.generation <= last:
            raise StepError(
                f"generation {self.generation} of run {self.run!r} is not new here; the last one was {last}"
            )
        write_durably(path, str(self.generation).encode())
        self._store = BarrierStore(self._directory / "barriers", self._membership.plan_hash)

    def _meet_peers(self) -> PeerLinks:
        self._check_interrupted()
        pins = {name: self._settings.policy.peers[name] for name in self._membership.peers}
        at_coordinator = without_server(self._membership.plan)
        links = PeerLinks(
            self._stubs["coordinator_relay" if at_coordinator else "relay"].Exchange,
            self._identity,
            pins,
            mailbox=self.run,
            generation=self.generation,
            wait_seconds=self._settings.wait_seconds,
            relay="the relay at the coordinator" if at_coordinator else "the relay at the neutral server",
            recorder=self._recorder,
        )
        self._links = links
        self._check_interrupted()
        self._relayed = UsageTotals(links.meter)
        links.meet()
        return links

    def _load_barrier(self, barrier: int) -> dict[str, dict[str, NDArray[Any]]] | None:
        """The parts of a barrier; None where training starts (barrier 0 that was not held yet).

        Raises:
          StepError: it is not held here.
        """
        held = self._store.held()
        if barrier in held:
            return self._store.load(barrier)
        if barrier != 0:
            raise StepError(f"barrier {barrier} is not held by {self._settings.name!r}; held: {held}")
        return None

    def _initialisation_key(self) -> bytes:
        """This party's own, so that neither server nor coordinator knows where training started."""
        path = self._settings.state_directory / "initialisation.key"
        if not path.exists():
            write_durably(path, SecureRandomness().key())
            path.chmod(0o600)
        return path.read_bytes()

    def _rounds(self) -> int:
        return (self._stream.rounds if self._stream else 0) + (self._links.rounds if self._links else 0)

    def _take_usage(self) -> tuple[Usage, Usage]:
        return self._usage.take(), self._relayed.take() if self._relayed is not None else []

    def _end_account(self) -> None:
        """What was spent so far is no epoch's. Not when an epoch is ordered: by then a peer may have sent its first opening."""
        self._take_usage()

    def _check_interrupted(self) -> None:
        """Called before a stream is opened, and when it is set: `interrupt` has met the stream, or is met here."""
        if self._interrupted is not None:
            raise self._interrupted

    def _require_links(self) -> PeerLinks:
        if self._links is None:
            raise StepError("peers were not met yet")
        return self._links
