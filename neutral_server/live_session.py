"""What every kind of session is to its parties and to the coordinator: streams, an end for all of them, and a state.

States as in kernel/run_state.py. A session is one generation of one run; what its frames say is its own matter
(session.py, shared_discriminator/session.py).
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from numpy.typing import NDArray

from kernel.errors import PeerError, StepError, TertiumError
from kernel.phases import PhaseClock
from kernel.run_state import RunState
from kernel.wire.stream import Outbox
from kernel.wire.tensor_frame import TensorFrame
from protos.v1 import common_pb2

Answer = TypeVar("Answer")
"""The message a party is answered with."""


class LiveSession(ABC, Generic[Answer]):
    """Thread-safe: every party's stream calls it from a thread of its own."""

    part: ClassVar[str]
    """Name of its state in a barrier."""

    def __init__(self, *, name: str, run: str, generation: int, parties: Sequence[str]) -> None:
        self.run, self.generation, self.parties = run, generation, tuple(parties)
        self._name = name
        self._lock = threading.RLock()
        self._outboxes: dict[str, Outbox[TensorFrame[Answer]]] = {}
        self._error: TertiumError | None = None
        self._clocks = dict.fromkeys(self.parties, time.monotonic())
        """When each party was last heard of or answered."""
        self.ended = threading.Event()
        self.state = RunState.JOINED
        self.phases = PhaseClock()

    def receive(self, party: str, frame: TensorFrame[Any]) -> None:
        """One frame of a party's stream.

        Raises:
          StepError: not the step that is due; WireError: not the agreed tensor. Either fails the run.
        """
        with self._lock:
            self._check_alive()
            self.phases.mark("wait for frames")
            self._check_origin(party, frame.message.header)
            self._take(party, frame)
            self.phases.mark("send")
            self._clocks[party] = time.monotonic()

    @abstractmethod
    def _take(self, party: str, frame: TensorFrame[Any]) -> None:
        """What ``receive`` does with a frame that is for this session, in order and under its lock."""

    @abstractmethod
    def _waits(self) -> Iterable[tuple[Collection[str], Collection[str]]]:
        """Of each step that somebody has begun: parties that wait, and those whose frames they wait for."""

    @abstractmethod
    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `held_state` gave; before the first step."""

    @abstractmethod
    def held_state(self) -> dict[str, NDArray[Any]]:
        """All that a barrier keeps, between passes."""

    @abstractmethod
    def _joined(self, party: str, header: common_pb2.StepHeader) -> Answer:
        """The first answer on a party's stream."""

    @abstractmethod
    def _left_at(self) -> str:
        """Where a party that leaves in training leaves the others, as in "… at step 3"."""

    def join(self, party: str) -> Outbox[TensorFrame[Answer]]:
        """Take a party's stream; its first answer says that it joined."""
        with self._lock:
            self._check_alive()
            if party not in self.parties:
                raise StepError(f"{party!r} takes no part in run {self.run}; its parties are {', '.join(self.parties)}")
            if party in self._outboxes:
                raise StepError(f"{party!r} already holds a stream of run {self.run}; one party, one stream")
            outbox: Outbox[TensorFrame[Answer]] = Outbox()
            self._outboxes[party] = outbox
            outbox.put(TensorFrame(self._joined(party, self._set_up_header())))
            return outbox

    def left(self, party: str) -> None:
        """A party's stream ended."""
        with self._lock:
            outbox = self._outboxes.pop(party, None)
            if outbox is not None:
                outbox.close()
            if self.state is RunState.TRAINING:
                self.fail(
                    PeerError(
                        f"{party!r} left the run at {self._left_at()}; restart it and resume with `tertium run --resume {self.run}`"
                    )
                )

    def fail(self, error: TertiumError) -> None:
        """Pause the run and tell every party why; weights since the last barrier are dropped."""
        with self._lock:
            if self._error is None:
                self._error = error
                self.state = RunState.PAUSED
                self.ended.set()
                for outbox in self._outboxes.values():
                    outbox.fail(error)

    def fail_if_overdue(self, wait_seconds: float) -> None:
        """Pause the run where a party has waited so long for one that was silent as long, and name that one: it can hang and stay connected."""
        with self._lock:
            if self.state is not RunState.TRAINING:
                return
            now = time.monotonic()
            idle = {party for party, heard in self._clocks.items() if now - heard >= wait_seconds}
            overdue = {
                party for waiting, missing in self._waits() if idle & set(waiting) for party in idle & set(missing)
            }
            if overdue:
                self.fail(
                    PeerError(
                        f"{', '.join(map(repr, sorted(overdue)))} sent nothing for {wait_seconds:g} s at {self._left_at()}, while "
                        "others waited; see whether it hangs or waits for the dealer or a peer (tertium doctor), restart what hangs, "
                        f"and resume with `tertium run --resume {self.run}`; if all are well, raise wait_seconds at all roles"
                    )
                )

    def close(self) -> None:
        """The coordinator is done with this generation."""
        with self._lock:
            self.ended.set()
            self.state = RunState.DONE if self._error is None else self.state
            self._error = self._error or StepError(f"generation {self.generation} of run {self.run} is closed")
            for outbox in self._outboxes.values():
                outbox.close()

    def describe_pass(self) -> dict[str, float]:
        """Seconds per phase since the last question."""
        with self._lock:
            return self.phases.take()

    def describe_losses(self) -> list[common_pb2.NetLoss]:
        """Mean losses since the last question, where the neutral server knows any."""
        return []

    def _check_alive(self) -> None:
        if self._error is not None:
            raise self._error

    def _check_origin(self, party: str, header: common_pb2.StepHeader) -> None:
        """Hold a header to its stream: who sent it, for which run and generation."""
        if header.sender != party:
            raise StepError(f"a frame on the stream of {party!r} claims to be from {header.sender!r}")
        if (header.run, header.generation) != (self.run, self.generation):
            raise StepError(
                f"{party!r} sent a frame for run {header.run!r} generation {header.generation}; "
                f"this stream is for run {self.run!r} generation {self.generation}"
            )

    def _set_up_header(self) -> common_pb2.StepHeader:
        return common_pb2.StepHeader(
            run=self.run, generation=self.generation, purpose=common_pb2.PURPOSE_SET_UP, sender=self._name
        )

    def _send(self, party: str, frame: TensorFrame[Answer]) -> None:
        if party in self._outboxes:
            self._clocks[party] = time.monotonic()
            self._outboxes[party].put(frame)
