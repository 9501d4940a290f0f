"""The runs this neutral server holds: one live session at a time, barriers and generations on disk."""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import structlog

from kernel.durable import BarrierStore, write_durably
from kernel.errors import BadInputError, PeerError, StepError
from kernel.fixed_point import FixedPoint
from kernel.gan.schedule import Group
from kernel.gan.spec import ImageShape, adam_spec, net_kind, shared_spec
from kernel.network import NetworkSpec
from kernel.plan_message import check_micro_batches, cut_dtype, network_spec, ring_of, safe_run_name
from kernel.run_state import RunState
from neutral_server.defence import Defence
from neutral_server.gradient_shares import GradientShares
from neutral_server.live_session import LiveSession
from neutral_server.session import Stack, StackSession
from neutral_server.shared_discriminator.session import SharedSession
from protos.v1 import common_pb2, stack_control_pb2

_log = structlog.get_logger()
_MAX_STEPS = 1_000_000
_MAX_SHIFT = 32
Session = TypeVar("Session", bound=LiveSession[Any])
Request = TypeVar("Request", stack_control_pb2.PrepareStackRequest, stack_control_pb2.PrepareSharedRequest)


class RunTable:
    """Life of runs at the server.

    Args:
      make_stack: builds a hidden stack (TensorFlow) for a network.
      require_tensorflow: imports it for what it is told, or raises BadInputError with the remedy.
      wait_seconds: how long parties may wait for another one in a step before the run pauses and names it.
    """

    def __init__(
        self,
        name: str,
        state_directory: Path,
        make_stack: Callable[[NetworkSpec], Stack],
        require_tensorflow: Callable[[str], None],
        wait_seconds: float,
    ) -> None:
        self._name, self._directory, self._wait_seconds = name, state_directory, wait_seconds
        self._make_stack, self._require_tensorflow = make_stack, require_tensorflow
        self._lock = threading.Lock()
        self._session: LiveSession[Any] | None = None
        self._store: BarrierStore | None = None

    def members(self, run: str) -> Iterable[str]:
        """Parties of the live run of that name."""
        session = self._session
        return session.parties if session is not None and session.run == run and self.active() else ()

    def active(self) -> str:
        session = self._session
        return (
            "" if session is None or session.state in (RunState.DONE, RunState.PAUSED, RunState.FAILED) else session.run
        )

    def session(self, run: str, generation: int) -> LiveSession[Any]:
        """The live session.

        Raises:
          StepError: another run or generation is live.
        """
        session = self._session
        if session is None or (session.run, session.generation) != (run, generation):
            live = "none" if session is None else f"run {session.run!r} generation {session.generation}"
            raise StepError(f"run {run!r} generation {generation} is not live at the neutral server; live: {live}")
        return session

    def session_of(self, kind: type[Session], run: str, generation: int) -> Session:
        """The live session.

        Raises:
          StepError: another run or generation is live, or its job is another.
        """
        session = self.session(run, generation)
        if not isinstance(session, kind):
            found, wanted = (part.replace("_", " ") for part in (session.part, kind.part))
            raise StepError(f"run {run!r} has a {found} at the neutral server and no {wanted}")
        return session

    def prepare(self, request: stack_control_pb2.PrepareStackRequest) -> list[int]:
        """Open a new generation; returns the barriers held under its plan."""
        return self._open(request, self._stack_session)

    def prepare_shared(self, request: stack_control_pb2.PrepareSharedRequest) -> list[int]:
        """As ``prepare``, of a privGAN run."""
        return self._open(request, self._shared_session)

    def begin(self, request: stack_control_pb2.BeginStackRequest) -> None:
        """Load a barrier (0 that is not yet held: keep the initial weights) and compile."""
        session = self.session_of(StackSession, request.run, request.generation)
        self._load(session, request.barrier)
        session.begin(list(request.batch_sizes))

    def begin_shared(self, request: stack_control_pb2.BeginSharedRequest) -> None:
        """As ``begin``; the nets are made here, where the parties' columns are known."""
        session = self.session_of(SharedSession, request.run, request.generation)
        session.lay_out(request.columns, _image_shape(request), _groups(request, len(session.parties)))
        self._load(session, request.barrier)
        session.begin()

    def hold(self, request: stack_control_pb2.HoldStackBarrierRequest) -> bytes:
        session = self.session(request.run, request.generation)
        return self._barriers().hold(request.barrier, {session.part: session.held_state()})

    def open_pass(self, request: stack_control_pb2.OpenPassRequest) -> None:
        purpose: common_pb2.Purpose = request.purpose
        self.session_of(StackSession, request.run, request.generation).open_pass(
            request.epoch, purpose, request.rows, request.batch_rows, frozen=request.frozen
        )

    def open_shared_epoch(self, request: stack_control_pb2.OpenSharedEpochRequest) -> None:
        self.session_of(SharedSession, request.run, request.generation).open_epoch(request.epoch)

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

    def _open(self, request: Request, make_session: Callable[[str, Request], LiveSession[Any]]) -> list[int]:
        run = safe_run_name(request.run)
        with self._lock:
            if self.active() and self.active() != run:
                raise BadInputError(f"the neutral server is busy with run {self.active()!r}; wait for it or cancel it")
            directory = self._directory / run
            self._raise_generation(directory / "generation", run, request.generation)
            if self._session is not None:
                self._session.fail(StepError(f"generation {request.generation} of run {run!r} replaced this one"))
            session = make_session(run, request)
            self._store = BarrierStore(directory / "barriers", request.plan_hash)
            self._session = session
            threading.Thread(target=self._watch, args=(session,), name=f"watch {run}", daemon=True).start()
            _log.info("prepared", run=run, generation=request.generation, parties=len(request.parties))
            return self._store.held()

    def _watch(self, session: LiveSession[Any]) -> None:
        """Hold a session's parties to ``wait_seconds`` until it ends."""
        while not session.ended.wait(min(1.0, self._wait_seconds / 4)):
            session.fail_if_overdue(self._wait_seconds)

    def _stack_session(self, run: str, request: stack_control_pb2.PrepareStackRequest) -> StackSession:
        spec = network_spec(request.network)
        if not spec.widths:
            raise BadInputError(
                "a network without widths has no layer for the neutral server; the parties compute it alone"
            )
        ring = ring_of(request.ring)
        dtype, pieces = cut_dtype(request.cut_dtype), check_micro_batches(request.micro_batches)
        if request.label_holder not in request.parties or len(set(request.parties)) < 2:
            raise BadInputError(
                f"a run needs two parties or more and a label holder among them; found {list(request.parties)}"
            )
        return StackSession(
            name=self._name,
            run=run,
            generation=request.generation,
            network=spec,
            ring=ring,
            scale_bits=request.scale_bits,
            parties=list(request.parties),
            label_holder=request.label_holder,
            stack=self._make_stack(spec),
            cut_dtype=dtype,
            micro_batches=pieces,
            defence=_defence(request),
            gradient_shares=_gradient_shares(request),
        )

    def _shared_session(self, run: str, request: stack_control_pb2.PrepareSharedRequest) -> SharedSession:
        shared = shared_spec(request.shared, net_kind(request.kind), len(request.parties))
        adam = adam_spec(request.learning_rate, request.beta_1)
        if not 2 <= len(set(request.parties)) == len(request.parties) or not 1 <= request.batch_rows <= _MAX_STEPS:
            raise BadInputError(
                f"a privGAN run needs two parties or more, none twice, and batches of 1 to {_MAX_STEPS} rows; found "
                f"{list(request.parties)} and {request.batch_rows}"
            )
        self._require_tensorflow("a shared discriminator")
        return SharedSession(
            name=self._name,
            run=run,
            generation=request.generation,
            parties=list(request.parties),
            shared=shared,
            adam=adam,
            batch_rows=request.batch_rows,
            seed=request.seed,
        )

    def _load(self, session: LiveSession[Any], barrier: int) -> None:
        store = self._barriers()
        if barrier in store.held():
            session.load(store.load(barrier)[session.part])
        elif barrier != 0:
            raise BadInputError(f"barrier {barrier} is not held here; held: {store.held()}")

    def _barriers(self) -> BarrierStore:
        if self._store is None:
            raise StepError("no run was prepared")
        return self._store

    def _raise_generation(self, path: Path, run: str, generation: int) -> None:
        last = int(path.read_text()) if path.exists() else 0
        if generation <= last:
            raise StepError(f"generation {generation} of run {run!r} is not new here; the last one was {last}")
        write_durably(path, str(generation).encode())


def _gradient_shares(request: stack_control_pb2.PrepareStackRequest) -> GradientShares | None:
    if not request.HasField("gradient_sharing"):
        return None
    sharing = request.gradient_sharing
    if not 0 <= sharing.shift <= _MAX_SHIFT or request.micro_batches != 1:
        raise BadInputError(
            f"a gradient times 2^{sharing.shift} in {request.micro_batches} micro-batches cannot be shared; at most 2^{_MAX_SHIFT}, in one piece"
        )
    return GradientShares(list(request.parties), ring_of(sharing.ring), sharing.shift)


def _defence(request: stack_control_pb2.PrepareStackRequest) -> Defence | None:
    if not request.HasField("defender"):
        return None
    ring = ring_of(request.defender.ring)
    return Defence(
        request.defender.weight, FixedPoint(ring.ring_bits, ring.fractional_bits, addends=len(request.parties))
    )


def _image_shape(request: stack_control_pb2.BeginSharedRequest) -> ImageShape | None:
    height, width = request.image_height, request.image_width
    if request.columns < 1 or ((height or width) and height * width != request.columns):
        raise BadInputError(
            f"rows of {request.columns} columns that are images of {height} x {width} pixels do not exist"
        )
    return ImageShape(height, width) if height else None


def _groups(request: stack_control_pb2.BeginSharedRequest, parties: int) -> list[Group]:
    """The groups as a server knows them: which classes they are it is not told."""
    for one in request.groups:
        if one.models < 1 or len(one.steps) != parties or not 1 <= max(one.steps) <= _MAX_STEPS:
            raise BadInputError(
                f"a group of {one.models} models with steps {list(one.steps)} cannot be trained by {parties} parties"
            )
    return [Group(tuple(range(one.models)), tuple(one.steps)) for one in request.groups]
