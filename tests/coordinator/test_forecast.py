"""coordinator.forecast against the bytes that real runs counted, and its growth in rows by hand."""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from coordinator.forecast import forecast
from kernel.batch_order import micro_batches
from kernel.fixed_point import FixedPoint
from kernel.plan_message import cut_dtype, ring_of, share_ring
from kernel.randomness import SecretKey
from kernel.sealed_envelope import SealedLink
from kernel.wire.codec import encode_ring, encode_tensor
from kernel.wire.meter import GRPC_FRAME_BYTES
from kernel.wire.tensor_frame import TensorFrame, pack_frame
from protos.v1 import common_pb2, dealing_pb2, plan_pb2, relay_pb2, split_training_pb2

WITHIN = 0.02
WIDTH, LAST, BATCH = 8, 4, 100


def plan(
    protocol=plan_pb2.FIRST_LAYER_PROTOCOL_MASKED_SUM,
    ring=(32, 16),
    parties=2,
    cut=common_pb2.D_TYPE_FLOAT32,
    pieces=1,
    defender=None,
):
    return plan_pb2.RunPlan(
        name="p",
        protocol=protocol,
        ring=plan_pb2.RingPlan(ring_bits=ring[0], fractional_bits=ring[1]),
        network=plan_pb2.NetworkPlan(widths=[WIDTH, LAST]),
        parties=[plan_pb2.PartyPlan(name=f"party-{n}", label="y" if n == 0 else "") for n in range(parties)],
        batch_rows=BATCH,
        micro_batches=pieces,
        test_fraction=0.2,
        cut_dtype=cut,
        defender=defender,
    )


BFLOAT16 = common_pb2.D_TYPE_BFLOAT16
BEAVER = plan(plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER, (64, 20), 3)
BEAVER_HALVED = plan(plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER, (64, 20), 3, cut=BFLOAT16)


def epochs_cost_what_was_forecast(run):
    """The run id is of another length than the forecast's stand-in, which the margin covers."""
    (expected,) = (event for event in run.events if event["event"] == "forecast")
    epochs = [event for event in run.events if event["event"] == "epoch"]
    assert len(epochs) == run.plan.epochs
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
    return epochs


@pytest.mark.e2e
def test_a_real_runs_epoch_costs_what_was_forecast(recording):
    """Both protocols."""
    epochs_cost_what_was_forecast(recording.run)


@pytest.mark.e2e
def test_a_defended_runs_epoch_costs_what_was_forecast(defended_recording):
    """Both protocols, in two micro-batches."""
    phases = epochs_cost_what_was_forecast(defended_recording.run)[-1]["phases"]
    assert all("defender" in phases[role] for role in (*defended_recording.parties, "neutral-server"))


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
    "of",
    [plan(), plan(ring=(64, 30), parties=4), plan(cut=BFLOAT16), plan(pieces=3), BEAVER, BEAVER_HALVED],
    ids=["masked_sum", "4 parties", "masked_sum bfloat16", "in pieces", "beaver", "beaver bfloat16"],
)
@pytest.mark.parametrize("batches", [2, 10])
def test_an_epoch_grows_exactly_with_its_batches(of, batches):
    one, many = (forecast(of, BATCH * times, [5] * len(of.parties)) for times in (1, batches))
    assert many.epoch_bytes == {link: batches * count for link, count in one.epoch_bytes.items()}
    assert many.relayed_epoch_bytes == {link: batches * count for link, count in one.relayed_epoch_bytes.items()}
    assert many.rounds == batches * one.rounds


@pytest.mark.parametrize(("cut", "size"), [(common_pb2.D_TYPE_FLOAT32, 4), (BFLOAT16, 2)], ids=["float32", "bfloat16"])
def test_ten_rows_more_in_a_batch_cost_their_words(cut, size):
    """[rows, width] words of the ring up and as many numbers down; h_L and its gradient for the label holder."""
    shorter, longer = (forecast(plan(cut=cut), rows, [5, 5]).epoch_bytes for rows in (70, 80))
    grown = {link: longer[link] - shorter[link] for link in longer}
    assert grown == {
        "party-0>neutral-server": 10 * (WIDTH * 4 + LAST * size),
        "party-1>neutral-server": 10 * WIDTH * 4,
        "neutral-server>party-0": 10 * (WIDTH * size + LAST * size),
        "neutral-server>party-1": 10 * WIDTH * size,
    }


def test_pieces_cost_headers_and_answers_only():
    whole, pieces = (forecast(plan(pieces=number), BATCH, [5, 5]) for number in (1, 3))
    for link, count in whole.epoch_bytes.items():
        assert count < pieces.epoch_bytes[link] <= count + 2 * 2 * 100, link  # two kinds of message, two more of each
    assert (whole.rounds, pieces.rounds) == (2, 6)


@pytest.mark.parametrize(
    ("of", "halved"), [(plan(), plan(cut=BFLOAT16)), (BEAVER, BEAVER_HALVED)], ids=["masked_sum", "beaver"]
)
def test_bfloat16_saves_half_of_what_it_touches_and_nothing_else(of, halved):
    columns = [5] * len(of.parties)
    before, after = forecast(of, BATCH, columns), forecast(halved, BATCH, columns)
    saved = {link: count - after.epoch_bytes[link] for link, count in before.epoch_bytes.items()}
    for link, count in saved.items():
        holder, to_party = "party-0" in link, link.startswith("neutral-server>")
        assert count == BATCH * 2 * (WIDTH * to_party + LAST * holder), link
    assert (after.relayed_epoch_bytes, after.set_up_bytes) == (before.relayed_epoch_bytes, before.set_up_bytes)
    assert after.rounds == before.rounds


def test_beaver_adds_openings_between_all_pairs_and_one_correction():
    found = forecast(BEAVER, BATCH, [5, 6, 7])
    names = [f"party-{n}" for n in range(3)]
    assert set(found.relayed_epoch_bytes) == {f"{one}>{other}" for one in names for other in names if one != other}
    opening = sum((5, 6, 7)) * WIDTH * 8
    for count in found.relayed_epoch_bytes.values():
        assert opening < count < opening + 250  # header, seal, frame
    correction = BATCH * WIDTH * 8
    assert correction < found.epoch_bytes["coordinator>party-2"] < correction + 100
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


RUN = "x" * 30


def header(sender):
    """With a run id, epoch and step of usual length."""
    return common_pb2.StepHeader(run=RUN, generation=1, epoch=10, step=10, purpose=2, sender=sender)


def on_the_wire(message, payload):
    """As the meter counts it, from the bytes themselves."""
    return len(pack_frame(TensorFrame(message, payload))) + GRPC_FRAME_BYTES


def words(ring: FixedPoint, rows, columns):
    return encode_ring(np.zeros((rows, columns), f"u{ring.ring_bits // 8}"), ring.fractional_bits)


def numbers(of, rows, columns):
    return encode_tensor(np.zeros((rows, columns), np.float32), dtype=cut_dtype(of.cut_dtype))


BEAVER_32 = plan(plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER, (32, 11), 3)
EVERY = [plan(), plan(ring=(64, 30)), plan(cut=BFLOAT16), BEAVER, BEAVER_HALVED, BEAVER_32]
NAMES = ["masked_sum", "64 bits", "masked_sum bfloat16", "beaver", "beaver bfloat16", "beaver in 32 bits"]


@pytest.mark.parametrize("of", EVERY, ids=NAMES)
def test_a_step_costs_the_frames_it_sends(of):
    """Byte for byte, against the frames that roles pack: encoded, sealed, framed."""
    found = forecast(of, BATCH, [5] * len(of.parties))
    wanted = Counter()
    names = [party.name for party in of.parties]
    share, share_words = words(share_ring(of), BATCH, WIDTH)  # the dealer's correction is one more share
    gradient, gradient_numbers = numbers(of, BATCH, WIDTH)
    activation, activation_numbers = numbers(of, BATCH, LAST)
    for name in names:
        sent = split_training_pb2.PartyFrame(header=header(name), share=share)
        answer = split_training_pb2.ServerFrame(header=header("neutral-server"), cut_gradient=gradient)
        wanted[f"{name}>neutral-server"] += on_the_wire(sent, share_words)
        wanted[f"neutral-server>{name}"] += on_the_wire(answer, gradient_numbers)
    sent = split_training_pb2.PartyFrame(header=header("party-0"), head_gradient=activation)
    answer = split_training_pb2.ServerFrame(header=header("neutral-server"), cut_activation=activation)
    wanted["party-0>neutral-server"] += on_the_wire(sent, activation_numbers)
    wanted["neutral-server>party-0"] += on_the_wire(answer, activation_numbers)
    relayed = Counter()
    if of.protocol == plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER:
        correction = dealing_pb2.Correction(header=header("coordinator"), words=share)
        wanted[f"coordinator>{names[-1]}"] += on_the_wire(correction, share_words)
        for sender, receiver in permutations(names, 2):
            envelope, sealed = sealed_opening(of, 5 * len(names), sender, receiver)
            for link in (f"{sender}>neutral-server", f"neutral-server>{receiver}"):
                wanted[link] += on_the_wire(relay_pb2.RelayFrame(envelope=envelope), sealed)
            relayed[f"{sender}>{receiver}"] += envelope.ByteSize() + len(sealed) + GRPC_FRAME_BYTES
    assert found.epoch_bytes == wanted
    assert found.relayed_epoch_bytes == relayed


def sealed_opening(of, columns, sender, receiver):
    """An opening of F as party.first_layer.beaver sends it, in the middle of a run."""
    message, payload = words(ring_of(of.ring), columns, WIDTH)
    opening = pack_frame(TensorFrame(relay_pb2.Opening(words=message, first_row=0), payload))
    key = SecretKey(bytes(32))
    link = SealedLink(sender, receiver, key, key, key)
    link._sent = 1000
    return link.seal(opening, step=header(sender), mailbox=RUN, topic="opening-f")


ADVERSARIAL = plan_pb2.DEFENDER_OBJECTIVE_ADVERSARIAL
LITERAL = plan_pb2.DEFENDER_OBJECTIVE_LITERAL


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize(
    ("objective", "cut", "bits", "fraction"),
    [
        (ADVERSARIAL, common_pb2.D_TYPE_FLOAT32, 32, 20),
        (ADVERSARIAL, BFLOAT16, 32, 20),
        (LITERAL, common_pb2.D_TYPE_FLOAT32, 64, 32),
    ],
    ids=["adversarial", "adversarial bfloat16", "literal"],
)
def test_a_defender_adds_h1_down_and_a_share_up(objective, cut, bits, fraction, pieces):
    """Byte for byte, at every party and for every piece of a whole batch and of half a one (headers without its number)."""
    defender = plan_pb2.DefenderPlan(
        weight=1,
        reveal_h1=True,
        objective=objective,
        distance=plan_pb2.DEFENDER_DISTANCE_MSE,
        widths=[16],
        activations=["tanh"],
        learning_rate=0.01,
    )
    defended = plan(cut=cut, pieces=pieces, defender=defender)
    batches, added = (BATCH, BATCH // 2), Counter()
    for piece in (piece for batch in batches for piece in micro_batches(batch, pieces)):
        rows = piece.stop - piece.start
        activation, values = numbers(defended, rows, WIDTH)
        pull, pull_words = words(FixedPoint(bits, fraction), rows, WIDTH)
        for name in (party.name for party in defended.parties):
            down = split_training_pb2.ServerFrame(header=header("neutral-server"), first_activation=activation)
            up = split_training_pb2.PartyFrame(header=header(name), defender_share=pull)
            added[f"neutral-server>{name}"] += on_the_wire(down, values)
            added[f"{name}>neutral-server"] += on_the_wire(up, pull_words)
    without, found = (forecast(of, sum(batches), [5, 5]) for of in (plan(cut=cut, pieces=pieces), defended))
    assert found.epoch_bytes == {link: count + added[link] for link, count in without.epoch_bytes.items()}
    assert (found.set_up_bytes, found.relayed_epoch_bytes) == (without.set_up_bytes, without.relayed_epoch_bytes)
    assert found.rounds == without.rounds + sum(len(micro_batches(rows, pieces)) for rows in batches)
