"""bfloat16 at the cut against float32, between real daemons: half the bytes there, as forecast, and the same model."""

import numpy as np
import pytest
from house import House, cut_plan
from recordings import SERVER, Recording

from kernel.plan_message import share_ring
from kernel.wire.codec import decode_tensor
from protos.v1 import common_pb2

pytestmark = pytest.mark.e2e

AUC_APART = 0.005
WITHIN = 0.02
AT_THE_CUT = {"PartyFrame.head_gradient", "ServerFrame.cut_activation", "ServerFrame.cut_gradient"}


@pytest.fixture
def halved(house: House, protocol: str) -> Recording:
    """Its name is as long as that of ``whole``: a run's id is in every header."""
    return house.record(
        f"breast-cancer-half-{protocol}", cut_plan(protocol, cut_dtype="bfloat16"), predict_table="breast_cancer"
    )


def _event(recording: Recording, kind: str) -> dict:
    (found,) = (event for event in recording.run.events if event["event"] == kind)
    return found


def _epochs(recording: Recording) -> list[dict]:
    return [event for event in recording.run.events if event["event"] == "epoch"]


def test_the_model_scores_the_same(halved: Recording, whole: Recording):
    auc = {one: _event(run, "evaluated")["scores"]["auc"]["value"] for one, run in (("b", halved), ("f", whole))}
    assert auc["f"] > 0.98  # it has learned something that could be lost
    assert abs(auc["b"] - auc["f"]) <= AUC_APART
    losses = [_epochs(one)[-1]["loss"] for one in (halved, whole)]
    assert losses[1] < 0.5 * _epochs(whole)[0]["loss"]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)


def test_it_is_another_model_from_the_same_start(halved: Recording, whole: Recording):
    """What was rounded shows in the weights: the runs compared above are not one and the same."""
    for party in halved.parties:
        assert np.array_equal(halved.run.theta(party, 0), whole.run.theta(party, 0))
        apart = np.abs(halved.run.theta(party) - whole.run.theta(party)).max()
        moved = np.abs(whole.run.theta(party) - whole.run.theta(party, 0)).max()
        assert 0 < apart < 0.01 * moved


def test_every_link_carries_what_was_forecast(halved: Recording):
    """Per link and epoch; links between parties inside the seal as well. Left out are orders and reports."""
    expected, epochs = _event(halved, "forecast"), _epochs(halved)
    assert len(epochs) == halved.run.plan.epochs
    parties = halved.parties
    links = {f"{party}>{SERVER}" for party in parties} | {f"{SERVER}>{party}" for party in parties}
    beaver = halved.run.plan.first_layer.protocol == "beaver"
    assert set(expected["bytes"]) == links | ({"coordinator>laboratory"} if beaver else set())
    assert set(expected["relayed_bytes"]) == ({"clinic>laboratory", "laboratory>clinic"} if beaver else set())
    for epoch in epochs:
        for kind in ("bytes", "relayed_bytes"):
            for link, count in expected[kind].items():
                assert epoch[kind][link] == pytest.approx(count, rel=WITHIN), (kind, link)
        assert epoch["rounds"] == expected["rounds"]


def test_the_cut_costs_half(halved: Recording, whole: Recording):
    """2 bytes less for each number of h_L, dL/dh_L and dL/dz1 of the epoch's rows, and not a byte more or less elsewhere."""
    rows, (width, last) = _epochs(whole)[0]["rows"], whole.run.plan.network.widths
    cut = {
        f"{SERVER}>clinic": 2 * rows * width,
        f"{SERVER}>laboratory": 2 * rows * (width + last),
        f"laboratory>{SERVER}": 2 * rows * last,
    }
    for before, after in zip(_epochs(whole), _epochs(halved), strict=True):
        for link in _event(whole, "forecast")["bytes"]:
            assert before["bytes"][link] - after["bytes"][link] == cut.get(link, 0), link
        assert after["relayed_bytes"] == before["relayed_bytes"]


def test_only_the_cut_is_rounded(halved: Recording):
    """Every tensor at the cut is a bfloat16 one of two bytes a number; shares keep the ring's words."""
    kinds = set()
    for role in halved.roles:
        for one in halved.received(role):
            for name in ("head_gradient", "cut_activation", "cut_gradient"):
                if name not in one.message.DESCRIPTOR.fields_by_name or not one.message.HasField(name):
                    continue
                tensor = getattr(one.message, name)
                shape = tuple(tensor.shape)
                kinds.add(one.kind)
                assert tensor.dtype == common_pb2.D_TYPE_BFLOAT16
                assert len(one.payload) == 2 * shape[0] * shape[1]
                found = decode_tensor(tensor, one.payload, dtype="bfloat16", shape=shape, what=name)
                assert np.isfinite(found).all()
                assert (found.view(np.uint32) & 0xFFFF == 0).all()
    assert kinds == AT_THE_CUT
    for one in halved.received(SERVER, "PartyFrame.share"):
        share = one.message.share
        assert share.ring_bits == share_ring(halved.run.plan.message()).ring_bits
        assert len(one.payload) == share.shape[0] * share.shape[1] * share.ring_bits // 8


def test_every_role_says_where_an_epochs_time_went(halved: Recording):
    """An epoch event holds seconds per phase of every role, and no phase is longer than the epoch."""
    for epoch in _epochs(halved):
        assert set(epoch["phases"]) == {*halved.parties, SERVER}
        assert {"share", "wait for dL/dz1", "update"} <= set(epoch["phases"]["clinic"])
        assert {"wait for h_L", "label head"} <= set(epoch["phases"]["laboratory"])
        assert "wait for h_L" not in epoch["phases"]["clinic"]
        assert {"wait for frames", "forward", "backward", "send"} <= set(epoch["phases"][SERVER])
        for party in halved.parties:
            assert 0 < sum(epoch["phases"][party].values()) <= epoch["seconds"]
