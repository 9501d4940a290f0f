"""coordinator.secret_forecast: a step worked by hand, byte for byte against the frames that roles pack; and a real run."""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
import tomli_w
from house import TWO_PARTIES
from local_runs import plan_toml

from coordinator.forecast import forecast
from coordinator.secret_forecast import StepRounds, step_rounds
from kernel.plan_message import label_holder, ring_of, share_ring
from kernel.randomness import SecretKey
from kernel.sealed_envelope import SealedLink
from kernel.secret.openings import opened_words
from kernel.secret.plan import secret_spec
from kernel.secret.recipe import step_recipe
from kernel.settings import parse_toml
from kernel.wire.codec import encode_ring, encode_tensor
from kernel.wire.meter import GRPC_FRAME_BYTES
from kernel.wire.tensor_frame import TensorFrame, pack_frame
from protos.v1 import common_pb2, dealing_pb2, plan_pb2, relay_pb2, split_training_pb2

SHARED_GRADIENT, SHARED_WEIGHTS = plan_pb2.GRADIENT_FORM_SHARED, plan_pb2.WEIGHTS_FORM_SHARED
SQUARE, IDENTITY = plan_pb2.SECRET_ACTIVATION_SQUARE, plan_pb2.SECRET_ACTIVATION_IDENTITY
CUBIC = plan_pb2.SECRET_ACTIVATION_POLY3_SIGMOID
WIDTH, LAST, BATCH, COLUMNS = 4, 3, 100, (5, 6)
RUN = "x" * 30


def plan(layers=(), gradient=SHARED_GRADIENT, weights=0, parties=2):
    return plan_pb2.RunPlan(
        name="p",
        job=plan_pb2.JOB_KIND_SPLIT_NN,
        protocol=plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER,
        ring=plan_pb2.RingPlan(ring_bits=64, fractional_bits=18),
        network=plan_pb2.NetworkPlan(
            widths=[WIDTH, LAST], optimizer=plan_pb2.OptimizerPlan(name="sgd", learning_rate=0.25)
        ),
        parties=[plan_pb2.PartyPlan(name=f"party-{n}", label="y" if n == 1 else "") for n in range(parties)],
        epochs=1,
        batch_rows=BATCH,
        micro_batches=1,
        test_fraction=0.2,
        cut_dtype=common_pb2.D_TYPE_FLOAT32,
        secret_layers=[plan_pb2.SecretLayer(width=width, activation=kind, interval=8) for width, kind in layers],
        gradient=gradient,
        weights=weights,
    )


def header(sender):
    """With a run id, epoch and step of usual length."""
    return common_pb2.StepHeader(run=RUN, generation=1, epoch=10, step=10, purpose=2, sender=sender)


def on_the_wire(message, payload=b""):
    return len(pack_frame(TensorFrame(message, payload))) + GRPC_FRAME_BYTES


def words(ring, *shape):
    return encode_ring(np.zeros(shape, np.uint64), ring.fractional_bits)


def sealed(of, topic, shape, sender, receiver):
    """As `party.first_layer.openings` sends it, in the middle of a run."""
    message, payload = words(ring_of(of.ring), *shape)
    opening = pack_frame(TensorFrame(relay_pb2.Opening(words=message, first_row=0), payload))
    key = SecretKey(bytes(32))
    link = SealedLink(sender, receiver, key, key, key)
    link._sent = 1000
    return link.seal(opening, step=header(sender), mailbox=RUN, topic=topic)


def expected_links(of, columns):
    """(bytes per link, bytes between parties) of a step of `BATCH` rows."""
    spec, names, holder = secret_spec(of, sum(columns)), [party.name for party in of.parties], label_holder(of)
    links, relayed = Counter(), Counter()
    for name in names:
        message, payload = words(share_ring(of), BATCH, WIDTH)
        share = split_training_pb2.PartyFrame(header=header(name), share=message)
        links[f"{name}>neutral-server"] += on_the_wire(share, payload)
        end = split_training_pb2.ServerFrame(header=header("neutral-server"))
        payload = b""
        if of.gradient != SHARED_GRADIENT:
            message, payload = encode_tensor(np.zeros((BATCH, WIDTH), np.float32))
            end.cut_gradient.CopyFrom(message)
        elif name == names[0]:
            message, payload = words(ring_of(of.ring), BATCH, WIDTH)
            end.gradient_share.CopyFrom(message)
        else:
            end.step_done.SetInParent()
        links[f"neutral-server>{name}"] += on_the_wire(end, payload)
    message, payload = encode_tensor(np.zeros((BATCH, LAST), np.float32))
    head = split_training_pb2.PartyFrame(header=header(holder), head_gradient=message)
    activation = split_training_pb2.ServerFrame(header=header("neutral-server"), cut_activation=message)
    links[f"{holder}>neutral-server"] += on_the_wire(head, payload)
    links[f"neutral-server>{holder}"] += on_the_wire(activation, payload)
    message, payload = words(share_ring(of), step_recipe(spec, BATCH, training=True).correction_words)
    correction = dealing_pb2.Correction(header=header("coordinator"), words=message)
    links[f"coordinator>{names[-1]}"] += on_the_wire(correction, payload)
    for sender, receiver in permutations(names, 2):
        openings = opened_words(spec, BATCH, training=True).words
        envelopes = [(f"opening-{number}", (count,)) for number, count in enumerate(openings, 1)]
        if not of.weights:
            envelopes.append(("first-gradient", (columns[names.index(receiver)], spec.widths[1])))
        for topic, shape in envelopes:
            envelope, payload = sealed(of, topic, shape, sender, receiver)
            for link in (f"{sender}>neutral-server", f"neutral-server>{receiver}"):
                links[link] += on_the_wire(relay_pb2.RelayFrame(envelope=envelope), payload)
            relayed[f"{sender}>{receiver}"] += envelope.ByteSize() + len(payload) + GRPC_FRAME_BYTES
    return links, relayed


@pytest.mark.parametrize(
    "of",
    [
        plan(),
        plan(weights=SHARED_WEIGHTS),
        plan(gradient=0, weights=SHARED_WEIGHTS, parties=3),
        plan([(7, SQUARE), (8, CUBIC)], gradient=0),
        plan([(7, IDENTITY), (8, SQUARE)], weights=SHARED_WEIGHTS, parties=3),
    ],
    ids=["shared gradient", "shared weights", "weights only, three", "two layers", "two layers, all shared, three"],
)
def test_a_step_costs_the_frames_it_sends(of):
    columns = (*COLUMNS, 7)[: len(of.parties)]
    found = forecast(of, BATCH, columns)
    links, relayed = expected_links(of, columns)
    assert found.epoch_bytes == links
    assert found.relayed_epoch_bytes == relayed
    again = forecast(of, 3 * BATCH, columns)
    assert again.epoch_bytes == {link: 3 * count for link, count in links.items()}
    assert again.rounds == 3 * found.rounds


def test_words_by_hand():
    """One square of 8 before the cut of 4, 11 columns, 100 rows, two parties, gradient shared, first-layer weights own."""
    found = forecast(plan([(8, SQUARE)]), BATCH, COLUMNS)
    rows, own = (
        BATCH * 8,
        {"party-0": 5 * 8, "party-1": 6 * 8},
    )  # words of [rows, 8], and of a block of first-layer weights
    cut = BATCH * WIDTH
    opened = [
        11 * 8 + 8 * WIDTH,  # weights of both layers
        rows,  # z_1
        rows + rows,  # its square; the proof of its range
        rows + 1,  # the activation; the proof's sum
        cut,  # the gradient at the cut
        rows,  # at the activation
        rows,  # at z_1
        rows,  # for X^T G_1
        8 * WIDTH + 8,  # the second layer's weights and the first one's bias move
    ]
    for one, other in permutations(own, 2):
        payload = 8 * (sum(opened) + own[other])
        assert payload < found.relayed_epoch_bytes[f"{one}>{other}"] < payload + 10 * 250
    # party-1 holds the label, party-0 is the plan's first: h_L and step_done for the one, the gradient's share for the other
    down = 8 * (sum(opened) + own["party-0"]) + 8 * cut
    assert down < found.epoch_bytes["neutral-server>party-0"] < down + 11 * 250
    down = 8 * (sum(opened) + own["party-1"]) + 4 * BATCH * LAST
    assert down < found.epoch_bytes["neutral-server>party-1"] < down + 12 * 250
    # nine openings and a first-layer gradient of the peer, h_L and the end of the step
    assert found.rounds == 9 + 1 + 2
    assert step_rounds(plan([(8, SQUARE)])) == StepRounds(layers=((3, 3),), rest=3)


def test_set_up_is_the_opening_of_the_rows_as_in_beaver():
    secret, beaver = plan([(8, SQUARE)]), plan(gradient=0)
    assert forecast(secret, 1000, COLUMNS).set_up_bytes == forecast(beaver, 1000, COLUMNS).set_up_bytes


@pytest.mark.parametrize(
    ("of", "rounds"),
    [
        (plan(), StepRounds((), 2)),  # all weights; the gradient
        (plan(weights=SHARED_WEIGHTS), StepRounds((), 3)),  # … and a move
        (plan(gradient=0, weights=SHARED_WEIGHTS), StepRounds((), 2)),
        (plan([(8, IDENTITY), (8, SQUARE), (8, CUBIC)]), StepRounds(((2, 2), (3, 3), (4, 3)), 3)),
        (plan([(8, SQUARE), (8, SQUARE)], gradient=0), StepRounds(((3, 3), (3, 3)), 2)),
    ],
)
def test_rounds_of_each_layer(of, rounds):
    """As `kernel.secret.step` numbers them: identity 2, square 3, poly3 4 forward."""
    assert step_rounds(of) == rounds
    assert rounds.total == len(opened_words(secret_spec(of, 11), BATCH, training=True).words)


def test_more_parties_wait_for_more_envelopes():
    two, four = (forecast(plan([(8, SQUARE)], parties=n), BATCH, [5] * n) for n in (2, 4))
    assert (two.rounds, four.rounds) == (2 + 10, 2 + 3 * 10)


def secret_toml():
    document = parse_toml(plan_toml("deep", TWO_PARTIES, protocol="beaver", learning_rate=0.125, epochs=2), "a plan")
    document["first_layer"]["gradient"] = "shared"
    document["secret_layers"] = [{"width": 8, "activation": "square", "interval": 64}]
    return tomli_w.dumps(document)


@pytest.mark.e2e
def test_a_real_runs_epoch_costs_what_was_forecast(house):
    """The run id is of another length than the forecast's stand-in, which the margin covers."""
    run = house.train("secret-forecast", secret_toml())
    (expected,) = (event for event in run.events if event["event"] == "forecast")
    epochs = [event for event in run.events if event["event"] == "epoch"]
    assert len(epochs) == 2
    for epoch in epochs:
        for link, count in expected["bytes"].items():
            assert epoch["bytes"][link] == pytest.approx(count, rel=0.01), link
        for link, count in expected["relayed_bytes"].items():
            assert epoch["relayed_bytes"][link] == pytest.approx(count, rel=0.01), link
        assert epoch["rounds"] == expected["rounds"]
