"""kill -9 of a party in a run with a defender: resumed, every weight is that of a run nobody disturbed, bit for bit."""

import numpy as np
import pytest
from house import House, defended_plan
from local_runs import FinishedRun, follow, read_barrier, wait_attending

from coordinator.run_store import Event

pytestmark = pytest.mark.e2e

ROLES = ("clinic", "laboratory", "neutral-server")
RUN = "defended-interrupted"


def plan() -> str:
    """Batches so small that an epoch takes a second or more."""
    return defended_plan("masked_sum", batch_rows=2)


@pytest.fixture(scope="module")
def quiet(defended_house: House) -> FinishedRun:
    return defended_house.train("defended-quiet", plan())


@pytest.fixture(scope="module")
def interrupted(defended_house: House, quiet: FinishedRun) -> list[Event]:
    """The clinic is killed in the middle of epoch 2; what was seen after the resume."""
    federation = defended_house.federation
    _, first = federation.client.submit(plan(), RUN)
    seen = list(
        follow(
            federation.client,
            RUN,
            first,
            until=lambda one: one["event"] == "progress" and one["epoch"] == 2,
        )
    )
    federation.kill_role("clinic")
    seen += follow(federation.client, RUN, first + len(seen), until=lambda one: one["event"] == "paused")
    assert seen[-1]["event"] == "paused"
    federation.start_role("clinic")
    wait_attending(federation, "clinic", "laboratory")
    _, first = federation.client.resume(RUN)
    return list(follow(federation.client, RUN, first))


def test_the_epoch_is_trained_anew_from_its_barrier(interrupted: list[Event]):
    assert interrupted[-1]["event"] == "done"
    (resumed,) = [one for one in interrupted if one["event"] == "resumed"]
    assert (resumed["generation"], resumed["barrier"]) == (2, 1)
    assert [one["epoch"] for one in interrupted if one["event"] == "epoch"] == [2, 3]


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("role", ROLES)
def test_a_killed_party_changes_no_weight(
    defended_house: House, quiet: FinishedRun, interrupted: list[Event], role: str, number: int
):
    """Defenders with their Adam included; masks are of another generation, and cancel."""
    found, wanted = read_barrier(defended_house.federation.roles, role, RUN, number), quiet.barrier(role, number)
    assert found.keys() == wanted.keys()
    assert ("defender" in found) == (role != "neutral-server")
    for part, arrays in wanted.items():
        assert found[part].keys() == arrays.keys()
        for name, array in arrays.items():
            assert found[part][name].tobytes() == array.tobytes(), f"{part} {name}"


def test_training_moves_every_weight_of_a_defender(quiet: FinishedRun):
    """The comparison would notice."""
    for role in ("clinic", "laboratory"):
        before, after = (quiet.barrier(role, number)["defender"] for number in (2, 3))
        assert all(not np.array_equal(before[name], after[name]) for name in after)
        assert after["step"] == quiet.plan.epochs * 199
