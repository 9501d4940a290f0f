"""A training step in three pieces against the same step in one, between real daemons and for both protocols.

The sums of the pieces are the sums of the batch in another order of float32 additions, so the two models differ by
rounding only: after 15 epochs by less than a thousandth of how far the weights moved.
"""

import numpy as np
import pytest
from house import House, cut_plan
from recordings import SERVER, Recording

pytestmark = pytest.mark.e2e

PIECES, WITHIN = 3, 0.02


@pytest.fixture
def runs(house: House, protocol: str, whole: Recording) -> tuple[Recording, Recording]:
    """In pieces, and whole."""
    text = cut_plan(protocol, micro_batches=PIECES)
    return house.record(f"breast-cancer-in-{PIECES}-{protocol}", text), whole


def _events(recording: Recording, kind: str) -> list[dict]:
    return [event for event in recording.run.events if event["event"] == kind]


def test_the_model_is_the_same_up_to_rounding(runs):
    pieces, whole = runs
    for party in whole.parties:
        assert np.array_equal(pieces.run.theta(party, 0), whole.run.theta(party, 0))
        moved = np.abs(whole.run.theta(party) - whole.run.theta(party, 0)).max()
        apart = np.abs(pieces.run.theta(party) - whole.run.theta(party)).max()
        assert 0 < apart < 1e-3 * moved
    losses = [[event["loss"] for event in _events(one, "epoch")] for one in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[1][-1] < 0.5 * losses[1][0]


def test_every_step_came_in_pieces(runs):
    """Three shares of every party a training step, which together are its rows; evaluation is not cut."""
    pieces, whole = runs
    for one, wanted in ((pieces, range(PIECES)), (whole, range(1))):
        sizes: dict[tuple, dict[int, int]] = {}
        for frame in one.received(SERVER, "PartyFrame.share"):
            header = frame.message.header
            key = (header.purpose, header.epoch, header.step, header.sender)
            sizes.setdefault(key, {})[header.micro_batch] = frame.message.share.shape[0]
        training = {key: found for key, found in sizes.items() if key[0] == 2}
        assert training
        assert all(set(found) == set(wanted) for found in training.values())
        assert all(set(found) == {0} for key, found in sizes.items() if key[0] != 2)
        if one is pieces:
            rows = {key: sum(found.values()) for key, found in training.items()}
        else:
            assert rows == {key: sum(found.values()) for key, found in training.items()}


def test_every_link_carries_what_was_forecast(runs):
    for one in runs:
        (expected,) = _events(one, "forecast")
        for epoch in _events(one, "epoch"):
            for link, count in expected["bytes"].items():
                assert epoch["bytes"][link] == pytest.approx(count, rel=WITHIN), link
            assert epoch["rounds"] == expected["rounds"]
