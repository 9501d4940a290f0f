"""neutral_server.shared_discriminator.session in mode updates: masked shares come, weights go out to all."""

import numpy as np
import pytest
from shared_federation import (
    BATCH,
    COLUMNS,
    GROUPS,
    PARTIES,
    SEED,
    Federation,
    fakes_frame,
    fakes_of,
    frame_of,
    gradient_of,
    plain_net,
    refused,
    weights_of,
)

from kernel.errors import StepError, TertiumError, WireError
from kernel.gan.schedule import wrong_origins
from kernel.wire.codec import encode_ring
from party.gan.shared_copy import SharedCopy

MODELS = [len(group.classes) for group in GROUPS]


@pytest.fixture
def updating():
    made = Federation("updates")
    made.kinds()
    made.session.open_epoch(1)
    return made


def test_weights_go_to_the_parties_of_their_group_on_joining_and_after_every_round():
    made = Federation("updates")
    net = made.session._nets()
    for party in PARTIES:
        joined, *weights = made.sent(party)
        assert joined.message.WhichOneof("kind") == "joined"
        assert [frame.message.group for frame in weights] == ([0] if party == "ann" else [0, 1])  # ann has no step in 1
        for frame in weights:
            assert np.array_equal(weights_of(frame, net.parameters), net.weights(frame.message.group))
    made.session.open_epoch(1)
    gradient = np.ones((2, net.parameters), np.float32)
    for party in PARTIES:
        made.deliver(party, made.update(party, gradient, 0))
    made.kinds()
    for party in PARTIES:
        made.deliver(party, made.update(party, gradient, 1))
    made.kinds()
    for party in ("ann", "eve"):  # bob has no third step
        assert made.kinds()["bob"] == []
        made.deliver(party, made.update(party, gradient, 2))
    for party in PARTIES:
        (frame,) = made.sent(party)
        assert (frame.message.group, frame.message.header.step) == (0, 2)
        assert np.array_equal(weights_of(frame, net.parameters), net.weights(0))
    for party in ("bob", "eve"):
        made.deliver(party, made.update(party, gradient[:1], 0, 1))
    assert made.kinds() == {"ann": [], "bob": ["shared_weights"], "eve": ["shared_weights"]}
    assert made.session.describe_losses() == []


def test_only_the_mean_of_all_moves_the_weights(updating):
    """As plain Adam on the mean of the gradients, to the rounding of 40 bits."""
    plain = plain_net()
    generator = np.random.default_rng(5)
    gradients = {party: generator.normal(size=(2, plain.parameters)).astype(np.float32) for party in PARTIES}
    for party in PARTIES:
        updating.deliver(party, updating.update(party, gradients[party], 0))
    plain.apply(0, np.mean([gradients[party].astype(np.float64) for party in PARTIES], axis=0).astype(np.float32))
    np.testing.assert_allclose(updating.session._nets().weights(0), plain.weights(0), rtol=1e-6, atol=1e-8)
    assert not np.array_equal(plain.weights(0), plain_net().weights(0))


def test_both_modes_train_the_same_nets_and_pull_alike():
    """One step a round, and parties that draw the origins the server draws: equal up to the ring's rounding and float32's."""
    fakes, updates = Federation(), Federation("updates")
    fakes.kinds()
    copies = {}
    for party in PARTIES:
        copies[party] = [SharedCopy(gan_spec_of(updates), COLUMNS, None, models, len(PARTIES)) for models in MODELS]
        for frame in updates.sent(party)[1:]:
            copies[party][frame.message.group].load(weights_of(frame, updates.session._nets().parameters))
    for epoch in (1, 2):
        answers = fakes.fakes_epoch(epoch)
        updates.session.open_epoch(epoch)
        for number, group in enumerate(GROUPS):
            for step in range(group.exchanged()):
                places = group.participants(step)
                for place in places:
                    party = PARTIES[place]
                    _, gradient = copies[party][number].update(fakes_of(party, step, number, epoch), place)
                    updates.deliver(party, updates.update(party, gradient, step, number, epoch))
                for place in range(len(PARTIES)):
                    party = PARTIES[place]
                    if not group.steps[place]:
                        continue
                    (frame,) = updates.sent(party)
                    copies[party][number].load(weights_of(frame, updates.session._nets().parameters))
                    if place in places:
                        wrong = np.stack(
                            [
                                wrong_origins(SEED, epoch, number, model, step, place, places, BATCH)
                                for model in range(MODELS[number])
                            ]
                        )
                        _, pull = copies[party][number].origin_gradient(fakes_of(party, step, number, epoch), wrong)
                        wanted = gradient_of(answers[party].pop(0), number)
                        np.testing.assert_allclose(pull, wanted, rtol=1e-3, atol=1e-6)
    one, other = fakes.session.held_state(), updates.session.held_state()
    for name, value in one.items():
        np.testing.assert_allclose(other[name], value, rtol=1e-3, atol=1e-5)


def gan_spec_of(federation):
    from kernel.gan.spec import EvaluationSpec, GanSpec

    net = federation.shared.net
    return GanSpec(
        net,
        net,
        2,
        federation.session._adam,
        0.95,
        BATCH,
        "equal_steps",
        0,
        1,
        (),
        1,
        federation.shared,
        EvaluationSpec(1, 1, 1),
        0,
    )


def test_rounds_of_several_steps_are_sent_for_once():
    made = Federation("updates", steps_per_round=2)
    made.kinds()
    made.session.open_epoch(1)
    gradient = np.ones((2, made.session._nets().parameters), np.float32)
    for party in PARTIES:
        made.deliver(party, made.update(party, gradient, 1))
    assert set(map(tuple, made.kinds().values())) == {("shared_weights",)}
    refused(made, "ann", made.update("ann", gradient, 1 + 2), StepError, "due from it is step 2 of group 0")


def test_a_repeated_update(updating):
    gradient = np.ones((2, updating.session._nets().parameters), np.float32)
    for party in PARTIES:
        updating.deliver(party, updating.update(party, gradient, 0))
    first = updating.sent("ann")
    updating.deliver("ann", updating.update("ann", gradient, 0))
    assert updating.sent("ann") == first
    other = updating.update("ann", 2 * gradient, 0)
    refused(updating, "ann", other, StepError, "'ann' repeated a step with other bytes")


@pytest.mark.parametrize(
    ("words", "bits", "sentence"),
    [
        (np.zeros((2, 7), np.uint64), 40, r"the update of 'ann' in step 0 of group 0 has shape \[2, 7\], wanted \[2, "),
        (np.zeros((2, 7), np.uint32), 40, "is in a ring of 32 bits, the plan says 64"),
        (np.zeros((2, 7), np.uint64), 30, "has 30 fractional bits, the plan says 40"),
    ],
)
def test_a_wrong_update(updating, words, bits, sentence):
    refused(updating, "ann", frame_of("ann", update=encode_ring(words, bits)), WireError, sentence)


def test_fakes_have_no_place_where_updates_are_shared(updating):
    refused(
        updating, "ann", fakes_frame("ann", 0), StepError, "'ann' sent fakes in the middle of an epoch of mode updates"
    )


def test_weights_that_diverge_stop_the_run(updating):
    net = updating.session._nets()
    state = net.state()
    state["group-0.kernel_0"][0, 0, 0] = np.inf
    net.load(state)
    gradient = np.zeros((2, net.parameters), np.float32)
    for party in PARTIES[:2]:
        updating.deliver(party, updating.update(party, gradient, 0))
    refused(
        updating,
        "eve",
        updating.update("eve", gradient, 0),
        TertiumError,
        "the weights of the shared discriminator of group 0, model 0, diverged",
    )
