"""kernel.run_state: JOINED -> READY -> TRAINING <-> PAUSED -> DONE | FAILED, and nothing else."""

from itertools import product

import pytest

from kernel.errors import StepError
from kernel.run_state import RunState, advance

J, R, T, P, D, F = RunState  # in the order of a run's life
MOVES = {(J, R), (J, P), (J, F)}
MOVES |= {(R, T), (R, P), (R, D), (R, F)}
MOVES |= {(T, R), (T, P), (T, D), (T, F)}
MOVES |= {(P, J), (P, F), (D, J)}


@pytest.mark.parametrize(("current", "wanted"), list(product(RunState, RunState)))
def test_a_move_is_allowed_or_refused_by_name(current, wanted):
    if current is wanted or (current, wanted) in MOVES:
        assert advance(current, wanted) is wanted
    else:
        with pytest.raises(StepError, match=f"is {current.value} cannot become {wanted.value}"):
            advance(current, wanted)


def test_the_life_of_a_run_with_a_pause():
    state = J
    for wanted in (R, T, R, T, P, J, R, T, R, D, J, R, D):
        state = advance(state, wanted)
    assert state is D


def test_a_failed_run_stays_failed():
    assert [wanted for wanted in RunState if wanted is not F and (F, wanted) in MOVES] == []
    for wanted in (J, R, T, P, D):
        with pytest.raises(StepError):
            advance(F, wanted)
