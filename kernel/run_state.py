"""Life of a run, held by every daemon: JOINED -> READY -> TRAINING <-> PAUSED -> DONE | FAILED."""

from enum import Enum

from kernel.errors import StepError


class RunState(Enum):
    JOINED = "joined"  # the process is there, nothing was agreed
    READY = "ready"  # plan accepted, rows aligned
    TRAINING = "training"
    PAUSED = "paused"  # somebody was lost; the last barrier stands
    DONE = "done"
    FAILED = "failed"  # cannot be resumed


_ALLOWED = {
    RunState.JOINED: {RunState.READY, RunState.PAUSED, RunState.FAILED},
    RunState.READY: {RunState.TRAINING, RunState.PAUSED, RunState.FAILED, RunState.DONE},
    RunState.TRAINING: {RunState.READY, RunState.PAUSED, RunState.DONE, RunState.FAILED},
    RunState.PAUSED: {RunState.JOINED, RunState.FAILED},
    RunState.DONE: {RunState.JOINED},  # a prediction opens a new generation of a finished run
    RunState.FAILED: set(),
}


def advance(current: RunState, wanted: RunState) -> RunState:
    """The wanted state if the move is allowed.

    Raises:
      StepError: it is not.
    """
    if wanted is current:
        return current
    if wanted not in _ALLOWED[current]:
        raise StepError(f"a run that is {current.value} cannot become {wanted.value}")
    return wanted
