"""Runs at the coordinator, one at a time: submitted, resumed, predicted with, sampled from, cancelled."""

import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from coordinator.clients import StackClient
from coordinator.dealer import Dealer
from coordinator.gan_plan import GanPlan
from coordinator.job_plan import parse_job_plan, protocol_of, split_plan
from coordinator.metrics_file import write_metrics
from coordinator.roster import Roster
from coordinator.rounds.base import Rounds
from coordinator.rounds.gan import GanRounds
from coordinator.rounds.secret_network import SecretNetworkRounds
from coordinator.rounds.split_nn import SplitNnRounds
from coordinator.run_store import RunRecord, RunStore
from coordinator.sampling import Sampling, check_sampling
from coordinator.settings import CoordinatorSettings
from coordinator.stack_secrets import StackSecrets
from kernel.errors import BadInputError, PolicyError, TertiumError
from kernel.plan_message import plan_hash
from kernel.run_state import RunState
from kernel.secret.plan import without_server
from kernel.wire.failures import failure_of
from kernel.wire.relay import RelayDesk
from protos.v1 import common_pb2

_log = structlog.get_logger()


class Runner:
    """Owns the active run's thread.

    Attributes:
      relay: forwards sealed envelopes of runs without a neutral server.
    """

    def __init__(
        self,
        store: RunStore,
        roster: Roster,
        stack: StackClient,
        dealer: Dealer,
        settings: CoordinatorSettings,
    ) -> None:
        self._store, self._roster, self._stack, self._dealer, self._settings = (
            store,
            roster,
            stack,
            dealer,
            settings,
        )
        self.relay = RelayDesk(self.relayed_parties)
        self._secrets = StackSecrets.kept_at(settings.secrets_key or settings.runs_directory / "secrets.key")
        self._lock = threading.Lock()
        self._active: tuple[RunRecord, Rounds] | None = None
        self._thread: threading.Thread | None = None

    def active_run(self) -> str:
        active = self._active
        return active[0].run if active is not None else ""

    def relayed_parties(self, run: str) -> list[str]:
        """Parties whose envelopes are forwarded here: of the active run, where its plan has no neutral server."""
        active = self._active
        if active is None or active[0].run != run:
            return []
        plan = active[0].plan.message()
        return [party.name for party in plan.parties] if without_server(plan) else []

    def submit(self, plan_text: str, wanted: str) -> tuple[str, int]:
        """Start a new run; returns its id and the number of its first event."""
        with self._lock:
            self._check_idle()
            plan = parse_job_plan(plan_text)
            run = wanted or f"{plan.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
            record = self._store.create(run, plan_text)
            record.note("submitted", plan_hash=plan_hash(plan.message()).hex(), protocol=protocol_of(plan))
            return self._train(record)

    def resume(self, run: str) -> tuple[str, int]:
        """Continue a paused run from the newest barrier all roles hold."""
        with self._lock:
            self._check_idle()
            record = self._store.get(run)
            if record.state is RunState.DONE:
                raise BadInputError(f"run {run!r} is done; nothing is left to resume")
            if record.state is RunState.FAILED:
                raise BadInputError(
                    f"run {run!r} failed for a reason that resuming cannot mend (see its events); submit it again"
                )
            record.move(RunState.JOINED)
            return self._train(record)

    def predict(self, run: str, table: str) -> tuple[str, int]:
        """Predict the rows of a table every party declares."""
        with self._lock:
            self._check_idle()
            record = self._store.get(run)
            split_plan(record.plan, "predict")
            _check_done(record, "predicts")
            rounds = self._split_rounds(record)
            return self._start(record, rounds, lambda: rounds.predict(table, _request()))

    def sample(self, run: str, sampling: Sampling) -> tuple[str, int]:
        """Synthetic rows of one party's generators, into the run directory."""
        with self._lock:
            self._check_idle()
            record = self._store.get(run)
            check_sampling(record, sampling)
            rounds = self._gan_rounds(record)
            return self._start(record, rounds, lambda: rounds.sample(sampling, _request()))

    def cancel(self, run: str) -> None:
        active = self._active
        if active is None or active[0].run != run:
            raise BadInputError(f"run {run!r} is not active here; active: {self.active_run() or 'none'}")
        active[1].cancel()

    def _check_idle(self) -> None:
        if self._active is not None:
            raise BadInputError(f"the coordinator is busy with run {self.active_run()!r}; wait for it, or cancel it")

    def _train(self, record: RunRecord) -> tuple[str, int]:
        of_gans = isinstance(record.plan, GanPlan)
        rounds: Rounds = self._gan_rounds(record) if of_gans else self._split_rounds(record)
        return self._start(record, rounds, rounds.train)

    def _split_rounds(self, record: RunRecord) -> SplitNnRounds | SecretNetworkRounds:
        if without_server(record.plan.message()):
            return SecretNetworkRounds(record, self._roster, self._dealer, self._settings, self.relay)
        return SplitNnRounds(record, self._roster, self._stack, self._dealer, self._settings, self._secrets)

    def _gan_rounds(self, record: RunRecord) -> GanRounds:
        return GanRounds(record, self._roster, self._stack, self._settings, self._secrets)

    def _start(self, record: RunRecord, rounds: Rounds, work: Callable[[], None]) -> tuple[str, int]:
        first = record.next_number
        self._active = (record, rounds)
        self._thread = threading.Thread(
            target=self._carry_out, args=(record, work), name=f"run {record.run}", daemon=True
        )
        self._thread.start()
        return record.run, first

    def _carry_out(self, record: RunRecord, work: Callable[[], None]) -> None:
        trained = record.state is RunState.DONE
        try:
            work()
        except TertiumError as error:
            self._note_failure(record, error, trained)
        except Exception as error:
            incident = secrets.token_hex(4)
            _log.error("fault", run=record.run, incident=incident, exc_info=error)
            self._note_failure(record, TertiumError(f"fault {incident} at the coordinator; its log says more"), trained)
        else:
            if not trained:
                write_metrics(record)
                self._active = None
                record.note(
                    "done",
                    seconds=sum(event["seconds"] for event in record.events if event["event"] == "epoch"),
                )
        finally:
            self._active = None

    def _note_failure(self, record: RunRecord, error: TertiumError, trained: bool) -> None:
        """A lost peer or a fault pauses the run; bad input and policy end it. A failed prediction leaves a done run done."""
        _log.warning("run stopped", run=record.run, sentence=str(error))
        ended = isinstance(error, BadInputError | PolicyError)
        if not trained:
            record.move(RunState.FAILED if ended and record.state is not RunState.TRAINING else RunState.PAUSED)
        reason = common_pb2.FailureReason.Name(failure_of(error).reason)
        self._active = None
        paused = record.state is RunState.PAUSED
        told = "--resume" in str(error)
        until = " when its cause is gone; unchanged rows would stop it here again" if ended else ""
        hint = f" (resume with `tertium run --resume {record.run}`{until})" if paused and not told else ""
        record.note("paused" if paused else "failed", reason=reason, sentence=f"{error}{hint}")


def _check_done(record: RunRecord, purpose: str) -> None:
    if record.state is not RunState.DONE:
        raise BadInputError(f"run {record.run!r} is {record.state.value}; it must be done before it {purpose}")


def _request() -> str:
    """A name for what a done run is asked for; it is part of a file's name."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
