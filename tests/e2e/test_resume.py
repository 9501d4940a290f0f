"""kill -9 of a party, of the neutral server, and SIGTERM of everybody: resumed, the weights are those of a quiet run.

One run is interrupted three times, in the middle of three epochs; `long_run` trains the same plan elsewhere without
interruption. After each resume the barrier of the epoch that was cut short is compared, all roles, bit for bit: weights and
optimizer slots. The protocol is beaver, whose resume also needs new triples, keys and openings.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from house import LongRun, long_epoch_plan
from local_runs import follow, wait_attending
from second_life import SecondLife

from coordinator.run_store import Event, RunRecord
from kernel.run_state import RunState

pytestmark = pytest.mark.e2e

RUN = "interrupted"
ROLES = ("clinic", "laboratory", "neutral-server")


@dataclass
class InterruptedRun:
    """The run, whoever serves it now. ``next`` is the number of the first event nobody has seen."""

    life: SecondLife
    next: int = 0

    @property
    def directory(self) -> Path:
        return self.life.directory.parent / RUN

    def follow(self, event: str, **fields: Any) -> list[Event]:
        """Up to the first event of that name and fields, or the end of this stretch; returns what came."""
        seen = list(
            follow(
                self.life.federation.client,
                RUN,
                self.next,
                until=lambda one: one["event"] == event and fields.items() <= one.items(),
            )
        )
        self.next += len(seen)
        assert seen[-1]["event"] == event, seen[-1]
        assert fields.items() <= seen[-1].items()
        return seen

    def resume(self) -> None:
        _, self.next = self.life.federation.client.resume(RUN)

    def restart_and_resume(self, role: str) -> None:
        self.life.federation.start_role(role)
        wait_attending(self.life.federation, "clinic", "laboratory")
        self.resume()

    def copy_barrier(self, number: int) -> Path:
        """Of every role, before two later ones push it out."""
        target = self.directory / "copies" / str(number)
        for role in ROLES:
            held = self.life.federation.roles / role / "state" / RUN / "barriers" / str(number)
            shutil.copytree(held, target / role)
        return target


@dataclass(frozen=True)
class Interruption:
    """What was seen from the kill to the barrier of the epoch that was cut short."""

    epoch: int
    paused: list[Event]
    resumed: list[Event]
    barrier: Path


@pytest.fixture(scope="module")
def run(predictions: tuple[SecondLife, list[str]]) -> InterruptedRun:
    """Submitted to the federation that test_predict has asked before: it carries out one order at a time."""
    life, _ = predictions
    _, first = life.federation.client.submit(long_epoch_plan(), RUN)
    return InterruptedRun(life, first)


@pytest.fixture(scope="module")
def party_killed(run: InterruptedRun) -> Interruption:
    run.follow("progress", epoch=2)
    run.life.federation.kill_role("clinic")
    paused = run.follow("paused")
    run.restart_and_resume("clinic")
    resumed = run.follow("barrier", barrier=2)
    return Interruption(2, paused, resumed, run.copy_barrier(2))


@pytest.fixture(scope="module")
def server_killed(run: InterruptedRun, party_killed: Interruption) -> Interruption:
    run.follow("progress", epoch=3)
    run.life.federation.kill_role("neutral-server")
    paused = run.follow("paused")
    run.restart_and_resume("neutral-server")
    resumed = run.follow("barrier", barrier=3)
    return Interruption(3, paused, resumed, run.copy_barrier(3))


@pytest.fixture(scope="module")
def all_stopped(run: InterruptedRun, server_killed: Interruption) -> Interruption:
    """SIGTERM to every role at once; later all start again on the same directory. Trained to the end."""
    run.follow("progress", epoch=4)
    run.life.stop()
    record = RunRecord.load(run.directory)
    assert record.state is RunState.PAUSED
    run.life.start()
    run.resume()
    resumed = run.follow("done")
    return Interruption(4, record.events[-1:], resumed, run.copy_barrier(4))


def _arrays(file: Path) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _assert_equal(found: Path, wanted: Path, role: str) -> None:
    parts = sorted(file.name for file in wanted.glob("*.npz"))
    assert parts == sorted(file.name for file in found.glob("*.npz"))
    assert ("stack.npz" if role == "neutral-server" else "first_layer.npz") in parts
    for part in parts:
        mine, theirs = _arrays(found / part), _arrays(wanted / part)
        assert mine.keys() == theirs.keys()
        for name in theirs:
            assert (mine[name].dtype, mine[name].shape) == (theirs[name].dtype, theirs[name].shape)
            assert mine[name].tobytes() == theirs[name].tobytes(), f"{part} {name}"


def _assert_cut_short(interruption: Interruption, generation: int) -> None:
    """The epoch did not end before the pause, and was trained anew from the barrier before it."""
    assert not [one for one in interruption.paused if one["event"] == "epoch"]
    (resumed,) = [one for one in interruption.resumed if one["event"] == "resumed"]
    assert (resumed["generation"], resumed["barrier"]) == (generation, interruption.epoch - 1)
    assert next(one["epoch"] for one in interruption.resumed if one["event"] == "epoch") == interruption.epoch


@pytest.mark.parametrize("role", ROLES)
def test_a_killed_party_changes_no_weight(party_killed: Interruption, long_run: LongRun, role: str):
    _assert_equal(party_killed.barrier / role, long_run.barriers / role / "2", role)


def test_a_killed_party_pauses_the_run_by_name(party_killed: Interruption):
    _assert_cut_short(party_killed, generation=2)
    assert "'clinic'" in party_killed.paused[-1]["sentence"]
    assert "tertium run --resume interrupted" in party_killed.paused[-1]["sentence"]


@pytest.mark.parametrize("role", ROLES)
def test_a_killed_server_changes_no_weight(server_killed: Interruption, long_run: LongRun, role: str):
    _assert_equal(server_killed.barrier / role, long_run.barriers / role / "3", role)


def test_a_killed_server_pauses_the_run_by_name(server_killed: Interruption):
    _assert_cut_short(server_killed, generation=3)
    assert "neutral server" in server_killed.paused[-1]["sentence"]
    assert "tertium run --resume interrupted" in server_killed.paused[-1]["sentence"]


@pytest.mark.parametrize("role", ROLES)
def test_a_stopped_federation_ends_with_the_same_model(all_stopped: Interruption, long_run: LongRun, role: str):
    _assert_equal(all_stopped.barrier / role, long_run.barriers / role / "4", role)


def test_a_stopped_federation_goes_on_where_it_was(all_stopped: Interruption, long_run: LongRun):
    _assert_cut_short(all_stopped, generation=4)
    scores = [one["scores"] for one in all_stopped.resumed if one["event"] == "evaluated"]
    assert scores == [one["scores"] for one in long_run.recording.run.events if one["event"] == "evaluated"]


def test_training_moves_every_weight_that_is_compared(long_run: LongRun):
    """The comparisons would notice: from one barrier to the next no array stays as it was."""
    for role, part in (("clinic", "first_layer"), ("laboratory", "label_head"), ("neutral-server", "stack")):
        barriers = [_arrays(long_run.barriers / role / number / f"{part}.npz") for number in ("1", "2", "3", "4")]
        for name in barriers[0]:
            assert len({one[name].tobytes() for one in barriers}) == len(barriers), name
