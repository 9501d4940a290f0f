"""The runs this neutral server holds: one live session at a time, barriers and generations on disk."""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from kernel.durable import BarrierStore, write_durably
from kernel.errors import BadInputError, PeerError, StepError
from kernel.fixed_point import FixedPoint
from kernel.network import NetworkSpec
from kernel.plan_message import check_micro_batches, cut_dtype, network_spec, ring_of, safe_run_name
from kernel.run_state import RunState
from neutral_server.defence import Defence
from neutral_server.session import Stack, StackSession
from protos.v1 import common_pb2, stack_control_pb2

_log = structlog.get_logger()


class RunTable:
    """Life of runs at the server. ``make_stack`` builds a hidden stack (TensorFlow) for a network."""

    def __init__(self, name: str, state_directory: Path, make_stack: Callable[[NetworkSpec], Stack]) -> None:
        self._name, self._directory, self._make_stack = name, state_directory, make_stack
        self._lock = threading.Lock()
        self._session: StackSession | None = None
        self._store: BarrierStore | None = None
        self._stack: Stack | None = None

    def members(self, run: str) -> Iterable[str]:
        """Parties of the live run of that name."""
        session = self._session
        return session.parties if session is not None and session.run == run and self.active() else ()

    def active(self) -> str:
        session = self._session
        return (
            "" if session is None or session.state in (RunState.DONE, RunState.PAUSED, RunState.FAILED) else session.run
        )

    def session(self, run: str, generation: int) -> StackSession:
        """The live session.

        Raises:
          StepError: another run or generation is live.
        """
        session = self._session
        if session is None or (session.run, session.generation) != (run, generation):
            live = "none" if session is None else f"run {session.run!r} generation {session.generation}"
            raise StepError(f"run {run!r} generation {generation} is not live at the neutral server; live: {live}")
        return session

    def prepare(self, request: stack_control_pb2.PrepareStackRequest) -> list[int]:
        """Open a new generation; returns the barriers held under its plan."""
        run = safe_run_name(request.run)
        with self._lock:
            if self.active() and self.active() != run:
                raise BadInputError(f"the neutral server is busy with run {self.active()!r}; wait for it or cancel it")
            directory = self._directory / run
            self._raise_generation(directory / "generation", run, request.generation)
            if self._session is not None:
                self._session.fail(StepError(f"generation {request.generation} of run {run!r} replaced this one"))
            spec = network_spec(request.network)
            ring = ring_of(request.ring)
            dtype, pieces = cut_dtype(request.cut_dtype), check_micro_batches(request.micro_batches)
            if request.label_holder not in request.parties or len(set(request.parties)) < 2:
                raise BadInputError(
                    f"a run needs two parties or more and a label holder among them; found {list(request.parties)}"
                )
            stack = self._make_stack(spec)
            self._stack = stack
            self._store = BarrierStore(directory / "barriers", request.plan_hash)
            self._session = StackSession(
                name=self._name,
                run=run,
                generation=request.generation,
                network=spec,
                ring=ring,
                scale_bits=request.scale_bits,
                parties=list(request.parties),
                label_holder=request.label_holder,
                stack=stack,
                cut_dtype=dtype,
                micro_batches=pieces,
                defence=_defence(request),
            )
            _log.info("prepared", run=run, generation=request.generation, parties=len(request.parties))
            return self._store.held()

    def begin(self, request: stack_control_pb2.BeginStackRequest) -> None:
        """Load a barrier (0 that is not yet held: keep the initial weights) and compile."""
        session = self.session(request.run, request.generation)
        store = self._barriers()
        if self._stack is not None and request.barrier in store.held():
            self._stack.load(store.load(request.barrier)["stack"])
        elif request.barrier != 0:
            raise BadInputError(f"barrier {request.barrier} is not held here; held: {store.held()}")
        session.begin(list(request.batch_sizes))

    def hold(self, request: stack_control_pb2.HoldStackBarrierRequest) -> bytes:
        session = self.session(request.run, request.generation)
        return self._barriers().hold(request.barrier, {"stack": session.held_state()})

    def open_pass(self, request: stack_control_pb2.OpenPassRequest) -> None:
        purpose: common_pb2.Purpose = request.purpose
        self.session(request.run, request.generation).open_pass(
            request.epoch, purpose, request.rows, request.batch_rows, frozen=request.frozen
        )

    def close(self, request: stack_control_pb2.CloseRunRequest) -> None:
        session = self.session(request.run, request.generation)
        if request.sentence:
            session.fail(StepError(request.sentence))
        session.close()
        _log.info("closed", run=request.run, generation=request.generation, state=session.state.value)

    def stop(self) -> None:
        """The server is stopping: tell the parties of a live run."""
        session = self._session
        if session is not None:
            session.fail(
                PeerError(
                    f"the neutral server is stopping; restart it and resume with `tertium run --resume {session.run}`"
                )
            )
            session.close()

    def _barriers(self) -> BarrierStore:
        if self._store is None:
            raise StepError("no run was prepared")
        return self._store

    def _raise_generation(self, path: Path, run: str, generation: int) -> None:
        last = int(path.read_text()) if path.exists() else 0
        if generation <= last:
            raise StepError(f"generation {generation} of run {run!r} is not new here; the last one was {last}")
        write_durably(path, str(generation).encode())


def _defence(request: stack_control_pb2.PrepareStackRequest) -> Defence | None:
    if not request.HasField("defender"):
        return None
    ring = ring_of(request.defender.ring)
    return Defence(
        request.defender.weight, FixedPoint(ring.ring_bits, ring.fractional_bits, addends=len(request.parties))
    )
