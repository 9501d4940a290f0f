"""coordinator.forecast against the bytes that real runs counted, and its growth in rows by hand."""

import pytest

from coordinator.forecast import forecast, relay_frame_bytes
from protos.v1 import plan_pb2, relay_pb2

WITHIN = 0.02
WIDTH, LAST, BATCH = 8, 4, 100


def plan(protocol=plan_pb2.FIRST_LAYER_PROTOCOL_MASKED_SUM, ring=(32, 16), parties=2):
    return plan_pb2.RunPlan(
        name="p",
        protocol=protocol,
        ring=plan_pb2.RingPlan(ring_bits=ring[0], fractional_bits=ring[1]),
        network=plan_pb2.NetworkPlan(widths=[WIDTH, LAST]),
        parties=[plan_pb2.PartyPlan(name=f"party-{n}", label="y" if n == 0 else "") for n in range(parties)],
        batch_rows=BATCH,
        test_fraction=0.2,
    )


BEAVER = plan(plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER, (64, 20), 3)


@pytest.mark.e2e
def test_a_real_runs_epoch_costs_what_was_forecast(recording):
    """Both protocols; the run id is of another length than the forecast's stand-in, which the margin covers."""
    events = recording.run.events
    (expected,) = (event for event in events if event["event"] == "forecast")
    epochs = [event for event in events if event["event"] == "epoch"]
    assert len(epochs) == recording.run.plan.epochs
    for epoch in epochs:
        for link, count in expected["bytes"].items():
            assert epoch["bytes"][link] == pytest.approx(count, rel=WITHIN), link
        assert epoch["relayed_bytes"].keys() == expected["relayed_bytes"].keys()
        for link, count in expected["relayed_bytes"].items():
            assert epoch["relayed_bytes"][link] == pytest.approx(count, rel=WITHIN), link
        assert epoch["rounds"] == expected["rounds"]
        # what was left out is orders and reports to the coordinator, and they are as small as promised
        left_out = {link: count for link, count in epoch["bytes"].items() if link not in expected["bytes"]}
        assert all("coordinator" in link and count < 1000 for link, count in left_out.items()), left_out


@pytest.mark.e2e
def test_a_real_runs_set_up_costs_what_was_forecast(recording):
    """All that a link carried, less its epochs, holds the set-up and the forward passes."""
    events = recording.run.events
    (expected,) = (event for event in events if event["event"] == "forecast")
    (traffic,) = (event for event in events if event["event"] == "traffic")
    for link, count in expected["set_up_bytes"].items():
        epochs = sum(event["bytes"][link] for event in events if event["event"] == "epoch")
        rest = traffic["bytes"][link] - epochs
        assert count < rest < count + expected["bytes"][link] + 10_000, link


@pytest.mark.parametrize(
    "of", [plan(), plan(ring=(64, 30), parties=4), BEAVER], ids=["masked_sum", "4 parties", "beaver"]
)
@pytest.mark.parametrize("batches", [2, 10])
def test_an_epoch_grows_exactly_with_its_batches(of, batches):
    one, many = (forecast(of, BATCH * times, [5] * len(of.parties)) for times in (1, batches))
    assert many.epoch_bytes == {link: batches * count for link, count in one.epoch_bytes.items()}
    assert many.relayed_epoch_bytes == {link: batches * count for link, count in one.relayed_epoch_bytes.items()}
    assert many.rounds == batches * one.rounds


def test_ten_rows_more_in_a_batch_cost_their_words():
    """[rows, width] words of the ring up and as many float32 down; h_L and its gradient for the label holder."""
    shorter, longer = (forecast(plan(), rows, [5, 5]).epoch_bytes for rows in (70, 80))
    grown = {link: longer[link] - shorter[link] for link in longer}
    assert grown == {
        "party-0>neutral-server": 10 * (WIDTH * 4 + LAST * 4),
        "party-1>neutral-server": 10 * WIDTH * 4,
        "neutral-server>party-0": 10 * (WIDTH * 4 + LAST * 4),
        "neutral-server>party-1": 10 * WIDTH * 4,
    }


def test_beaver_adds_openings_between_all_pairs_and_one_correction():
    found = forecast(BEAVER, BATCH, [5, 6, 7])
    names = [f"party-{n}" for n in range(3)]
    assert set(found.relayed_epoch_bytes) == {f"{one}>{other}" for one in names for other in names if one != other}
    opening = sum((5, 6, 7)) * WIDTH * 8
    for count in found.relayed_epoch_bytes.values():
        assert opening < count < opening + 250  # header, seal, frame
    assert BATCH * WIDTH * 8 < found.epoch_bytes["coordinator>party-2"] < BATCH * WIDTH * 8 + 100
    assert not any(link.startswith("coordinator>") and not link.endswith("party-2") for link in found.epoch_bytes)
    rows = round(BATCH / (1 - BEAVER.test_fraction))
    for count in found.set_up_bytes.values():
        assert 2 * rows * 18 * 8 < count < 2 * rows * 18 * 8 + 500  # E goes to two peers


def test_masked_sum_sets_nothing_up_and_relays_nothing():
    found = forecast(plan(), 1000, [5, 5])
    assert (found.set_up_bytes, found.relayed_epoch_bytes) == ({}, {})


def test_the_busiest_link_limits_an_epoch():
    found = forecast(plan(), 1000, [5, 5])
    link, count = found.busiest()
    assert "party-0" in link
    assert found.seconds(8.0) == pytest.approx(count / 1e6)
    assert found.seconds(80.0) == pytest.approx(count / 1e7)


@pytest.mark.parametrize("size", [1, 127, 128, 16_383, 16_384, 3_000_000])
def test_a_frame_around_an_envelope(size):
    """Checked against protobuf itself: the sealed bytes are chosen so that the envelope has the size."""
    for sealed in range(max(0, size - 8), size):
        envelope = relay_pb2.Envelope(sealed=bytes(sealed))
        if envelope.ByteSize() == size:
            assert relay_pb2.RelayFrame(envelope=envelope).ByteSize() == relay_frame_bytes(size)
            return
    assert size == 1  # no sealed bytes make an envelope of one byte
