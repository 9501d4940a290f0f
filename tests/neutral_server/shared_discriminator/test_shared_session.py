"""neutral_server.shared_discriminator.session, driven frame by frame with the real nets, tiny."""

import threading

import numpy as np
import pytest
from shared_federation import (
    BATCH,
    COLUMNS,
    GENERATION,
    GROUPS,
    PARTIES,
    RUN,
    SEED,
    Federation,
    fakes_frame,
    fakes_of,
    frame_of,
    gradient_of,
    plain_net,
    refused,
)

from kernel.errors import PeerError, StepError, TertiumError, WireError
from kernel.gan.schedule import wrong_origins
from kernel.run_state import RunState
from kernel.wire.codec import encode_ring, encode_tensor
from protos.v1 import common_pb2

DEADLINE_SECONDS = 20.0
MODELS = [len(group.classes) for group in GROUPS]


@pytest.fixture
def federation():
    """In mode fakes, joined, epoch 1 open; generators pay from epoch 1."""
    made = Federation()
    assert set(map(tuple, made.kinds().values())) == {("joined",)}
    made.session.open_epoch(1)
    return made


def plain_epoch(net, epoch=1, seed=SEED):
    """What the parties should be answered, by the net alone."""
    answers = {party: [] for party in PARTIES}
    for number, group in enumerate(GROUPS):
        for step in range(group.exchanged()):
            places = group.participants(step)
            wrong = [
                [wrong_origins(seed, epoch, number, model, step, own, places, BATCH) for own in places]
                for model in range(MODELS[number])
            ]
            fakes = [fakes_of(PARTIES[place], step, number, epoch) for place in places]
            learned = net.learn(number, fakes, places, np.array(wrong, np.int32))
            for place, gradient in zip(places, learned.gradients, strict=True):
                answers[PARTIES[place]].append(gradient)
    return answers


def test_a_step_waits_for_all_who_take_it_and_gives_each_its_own_gradient(federation):
    for party in PARTIES[:2]:
        federation.send_fakes(party, 0)
    assert set(map(tuple, federation.kinds().values())) == {()}
    federation.send_fakes("eve", 0)
    wanted = plain_epoch(plain_net())
    for party in PARTIES:
        (answer,) = federation.sent(party)
        assert np.array_equal(gradient_of(answer), wanted[party][0])
        header = answer.message.header
        assert (header.run, header.generation, header.epoch, header.step) == (RUN, GENERATION, 1, 0)
        assert (header.purpose, header.sender, answer.message.group) == (common_pb2.PURPOSE_TRAIN, "server", 0)
    assert not np.array_equal(wanted["ann"][0], wanted["bob"][0])


def test_two_epochs_of_unequal_parties_are_the_nets_own():
    made, net = Federation(), plain_net()
    made.kinds()
    for epoch in (1, 2):
        wanted, answers = plain_epoch(net, epoch), made.fakes_epoch(epoch)
        for place, party in enumerate(PARTIES):
            assert [frame.message.group for frame in answers[party]] == [
                number
                for number, group in enumerate(GROUPS)
                for step in range(group.exchanged())
                if place in group.participants(step)
            ]
            for frame, gradient in zip(answers[party], wanted[party], strict=True):
                assert np.array_equal(gradient_of(frame, frame.message.group), gradient)
        assert made.session.state is RunState.READY
    state = net.state()
    assert all(np.array_equal(value, state[name]) for name, value in made.session.held_state().items())


def test_a_party_with_fewer_steps_goes_on_to_the_next_group(federation):
    for step in range(2):
        for party in PARTIES:
            federation.send_fakes(party, step)
    federation.kinds()
    federation.send_fakes("bob", 0, group=1)  # while ann and eve have a step of group 0 left
    for party in ("ann", "eve"):
        federation.send_fakes(party, 2)
    federation.send_fakes("eve", 0, group=1)
    assert federation.kinds() == {
        "ann": ["origin_gradient"],
        "bob": ["origin_gradient"],
        "eve": ["origin_gradient"] * 2,
    }


def test_parties_on_threads_of_their_own_train_an_epoch(federation):
    errors = []

    def live(party):
        try:
            outbox = iter(federation.outboxes[party])
            for number, group in enumerate(GROUPS):
                for step in range(group.exchanged()):
                    if PARTIES.index(party) in group.participants(step):
                        federation.send_fakes(party, step, number)
                        answer = next(outbox).message
                        assert (answer.group, answer.header.step) == (number, step)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=live, args=(party,), daemon=True) for party in PARTIES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
    assert errors == []
    net = plain_net()
    plain_epoch(net)
    np.testing.assert_allclose(federation.session.held_state()["group-0.kernel_0"], net.state()["group-0.kernel_0"])


def test_before_generators_pay_it_learns_and_says_only_that_fakes_came():
    made = Federation(penalty_after_epochs=2, warm_up_epochs=1)
    made.kinds()
    with pytest.raises(StepError, match="epoch 1 cannot be opened: it is over, or the shared discriminator rests"):
        made.session.open_epoch(1)
    before = made.session.held_state()
    answers = made.fakes_epoch(2)
    assert {frame.message.WhichOneof("kind") for party in PARTIES for frame in answers[party]} == {"step_done"}
    assert all(not len(frame.payload) for party in PARTIES for frame in answers[party])
    assert not np.array_equal(made.session.held_state()["group-0.kernel_0"], before["group-0.kernel_0"])
    assert {one.net for one in made.session.describe_losses()} == {"shared_discriminator"}
    answers = made.fakes_epoch(3)
    assert {frame.message.WhichOneof("kind") for party in PARTIES for frame in answers[party]} == {"origin_gradient"}


def test_losses_are_means_over_the_steps_since_the_last_question(federation):
    for step in range(2):
        for party in PARTIES:
            federation.send_fakes(party, step)
    found = {(one.net, one.group, one.model): one.loss for one in federation.session.describe_losses()}
    net, sums = plain_net(), np.zeros((2, 2))
    for step in range(2):
        wrong = [[wrong_origins(SEED, 1, 0, k, step, own, (0, 1, 2), BATCH) for own in range(3)] for k in range(2)]
        learned = net.learn(0, [fakes_of(party, step) for party in PARTIES], (0, 1, 2), np.array(wrong, np.int32))
        sums += np.stack([learned.loss, learned.origin_loss])
    wanted = {(name, 0, k): sums[i, k] / 2 for i, name in enumerate(("shared_discriminator", "origin")) for k in (0, 1)}
    assert found == pytest.approx(wanted)
    assert federation.session.describe_losses() == []
    assert {"wait for frames", "check fakes", "shared discriminator", "send"} == set(federation.session.describe_pass())


def test_a_repeat_with_the_same_bytes_gets_the_same_answer(federation):
    federation.send_fakes("ann", 0)
    federation.send_fakes("ann", 0)
    assert federation.kinds()["ann"] == []
    for party in PARTIES[1:]:
        federation.send_fakes(party, 0)
    first = {party: federation.sent(party) for party in PARTIES}
    state = federation.session._nets().state()
    for party in PARTIES:
        federation.send_fakes(party, 0)
        assert federation.sent(party) == first[party]
    assert all(np.array_equal(value, state[name]) for name, value in federation.session._nets().state().items())
    for party in PARTIES:
        federation.send_fakes(party, 1)
    assert set(map(tuple, federation.kinds().values())) == {("origin_gradient",)}


@pytest.mark.parametrize("moment", ["before the others", "after the step"])
def test_a_repeat_with_other_bytes_fails_the_run(federation, moment):
    for party in PARTIES[: 1 if moment == "before the others" else 3]:
        federation.send_fakes(party, 0)
    other = fakes_frame("ann", 0, array=-fakes_of("ann", 0))
    refused(federation, "ann", other, StepError, "'ann' repeated a step with other bytes")


FAKES = fakes_of("ann", 0)
OUT = np.where(np.arange(COLUMNS) == 1, np.float32(1.001), FAKES)
WRONG = {
    "another run": (fakes_frame("ann", 0, run="run-2"), StepError, "for run 'run-2' generation 3; this stream"),
    "an old generation": (fakes_frame("ann", 0, generation=2), StepError, "generation 2; this stream"),
    "another epoch": (
        fakes_frame("ann", 0, epoch=2),
        StepError,
        "sent epoch 2 purpose 2 micro-batch 0; open is epoch 1",
    ),
    "another purpose": (
        fakes_frame("ann", 0, purpose=common_pb2.PURPOSE_EVALUATE),
        StepError,
        "open is epoch 1 training",
    ),
    "a piece": (fakes_frame("ann", 0, micro_batch=1), StepError, "in one piece"),
    "a step to come": (fakes_frame("ann", 1), StepError, "sent step 1 of group 0; due from it is step 0 of group 0"),
    "a step beyond": (fakes_frame("ann", 70), StepError, "sent step 70 of group 0"),
    "a group it is not in": (fakes_frame("ann", 0, 1, array=FAKES), StepError, "sent step 0 of group 1"),
    "a group there is not": (frame_of("ann", 0, 9, fakes=encode_tensor(FAKES)), StepError, "sent step 0 of group 9"),
    "anothers name": (fakes_frame("ann", 0, sender="bob"), StepError, "'ann' claims to be from 'bob'"),
    "a row too few": (
        fakes_frame("ann", 0, array=FAKES[:, 1:]),
        WireError,
        r"has shape \[2, 3, 5\], wanted \[2, 4, 5\]",
    ),
    "one model": (fakes_frame("ann", 0, array=FAKES[:1]), WireError, r"has shape \[1, 4, 5\]"),
    "float64": (fakes_frame("ann", 0, array=FAKES.astype(np.float64)), WireError, "has dtype float64, wanted float32"),
    "NaN": (fakes_frame("ann", 0, array=FAKES * np.nan), WireError, "fakes of 'ann' in step 0 of group 0 holds NaN or"),
    "out of range": (
        fakes_frame("ann", 0, array=OUT),
        WireError,
        r"fakes of 'ann' in step 0 of group 0 leave \[-1, 1\]",
    ),
    "cut short": (
        frame_of("ann", fakes=(encode_tensor(FAKES)[0], b"")),
        WireError,
        "carries 0 bytes, its shape needs 160",
    ),
    "nothing": (frame_of("ann"), StepError, "'ann' sent an empty frame in the middle of an epoch of mode fakes"),
    "an update": (
        frame_of("ann", update=encode_ring(np.zeros((2, 60), np.uint64), 40)),
        StepError,
        "'ann' sent update in the middle of an epoch of mode fakes",
    ),
}


@pytest.mark.parametrize(("frame", "kind", "sentence"), WRONG.values(), ids=WRONG)
def test_a_wrong_frame_fails_the_run(federation, frame, kind, sentence):
    refused(federation, "ann", frame, kind, sentence)


def test_the_sender_is_held_to_the_stream(federation):
    refused(
        federation, "bob", fakes_frame("ann", 0), StepError, "a frame on the stream of 'bob' claims to be from 'ann'"
    )


def test_a_party_does_not_send_for_a_step_it_does_not_take(federation):
    for step in range(2):
        for party in PARTIES:
            federation.send_fakes(party, step)
    frame = fakes_frame("bob", 2)
    refused(federation, "bob", frame, StepError, "'bob' sent step 2 of group 0; due from it is step 0 of group 1")


def test_a_tensor_before_an_epoch_is_opened():
    refused(Federation(), "ann", fakes_frame("ann", 0), StepError, "'ann' sent a tensor before an epoch was opened")


def test_an_epoch_is_neither_left_half_done_nor_done_again(federation):
    federation.send_fakes("bob", 0)
    for call in (lambda: federation.session.open_epoch(2), federation.session.held_state):
        with pytest.raises(StepError, match="in epoch 1, which waits for 'ann', 'eve' in step 0 of group 0"):
            call()
    done = Federation()
    done.fakes_epoch(2)
    for epoch in (1, 2):
        with pytest.raises(StepError, match=f"epoch {epoch} cannot be opened"):
            done.session.open_epoch(epoch)


def test_who_was_missing_is_said_when_somebody_gives_up(federation):
    """bob waited in vain for ann: its stream ends, and the sentence names ann and the step."""
    for party in ("bob", "eve"):
        federation.send_fakes(party, 0)
    federation.session.left("bob")
    for party in ("ann", "eve"):
        with pytest.raises(
            PeerError, match="'bob' left the run at epoch 1, which waits for 'ann' in step 0 of group 0"
        ):
            federation.sent(party)
    assert federation.session.state is RunState.PAUSED


def test_a_party_may_come_and_go_between_epochs():
    made = Federation()
    made.fakes_epoch(1)
    made.session.left("bob")
    assert made.session.state is RunState.READY
    made.outboxes["bob"] = made.session.join("bob")
    assert made.kinds()["bob"] == ["joined"]
    with pytest.raises(StepError, match="'zoe' takes no part"):
        made.session.join("zoe")


def test_a_shared_discriminator_that_diverges_stops_the_run_by_its_name(federation):
    net = federation.session._nets()
    state = net.state()
    state["group-0.bias_2"][1, 0] = np.inf
    net.load(state)
    for party in PARTIES[:2]:
        federation.send_fakes(party, 0)
    refused(
        federation,
        "eve",
        fakes_frame("eve", 0),
        TertiumError,
        r"the loss of the shared discriminator of group 0, model 1, diverged \(NaN or infinity\) at epoch 1, step 0; lower",
    )


def test_a_run_goes_on_from_a_barrier_with_the_same_bits():
    whole, first = Federation(), Federation()
    for made in (whole, first):
        made.kinds()
        made.fakes_epoch(1)
    resumed = Federation(state=first.session.held_state())
    resumed.kinds()
    wanted, found = whole.fakes_epoch(2), resumed.fakes_epoch(2)
    assert wanted == found
    state = resumed.session.held_state()
    assert all(np.array_equal(value, state[name]) for name, value in whole.session.held_state().items())


def test_nobody_joins_before_the_run_began():
    from neutral_server.shared_discriminator.session import SharedSession

    made = Federation()
    early = SharedSession(
        name="server",
        run=RUN,
        generation=9,
        parties=PARTIES,
        shared=made.shared,
        adam=made.session._adam,
        batch_rows=BATCH,
        seed=1,
    )
    with pytest.raises(StepError, match="generation 9 of run run-1 has not begun"):
        early.join("ann")


def test_only_the_party_that_nobody_has_heard_of_is_overdue():
    """Bob waits for eve in the second group while ann waits for eve in the first: bob hangs nowhere."""
    federation = Federation()
    federation.session.open_epoch(1)
    for step in (0, 1):
        for party in PARTIES:
            federation.send_fakes(party, step)
    federation.send_fakes("ann", 2)
    federation.send_fakes("bob", 0, group=1)
    federation.session.fail_if_overdue(60.0)
    assert federation.session.state is RunState.TRAINING
    federation.session.fail_if_overdue(0.0)
    with pytest.raises(PeerError, match=r"^'eve' sent nothing for 0 s at epoch 1"):
        federation.sent("eve")
