"""party.gan.exchange: what goes, what may come and when it is waited for. The server's end is a list; nets are stand-ins."""

from collections import deque
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from kernel.errors import StepError, WireError
from kernel.fixed_point import FixedPoint
from kernel.gan.schedule import Group, wrong_origins
from kernel.gan.spec import NetSpec, SharedSpec
from kernel.phases import PhaseClock
from kernel.randomness import SecureRandomness
from kernel.wire.codec import decode_ring, decode_tensor, encode_tensor
from kernel.wire.tensor_frame import TensorFrame
from party.gan.exchange import FakesExchange, SharedStream, UpdatesExchange
from party.membership import Membership
from protos.v1 import common_pb2, gan_training_pb2, plan_pb2

NAMES = ("ann", "bob", "cas")
FAKES = np.float32([[[0.5, -0.5]], [[0.25, 1.0]]])
"""[2 models, 1 row, 2 columns]"""
PARAMETERS = 3
RING = FixedPoint(32, 20, addends=3)


@dataclass
class Line:
    """Answers in the order in which they were put; what was sent."""

    sent: list = field(default_factory=list)
    answers: deque = field(default_factory=deque)
    rounds: int = 0

    def send(self, frame):
        self.sent.append(frame)

    def receive(self, seconds):
        if not self.answers:
            raise AssertionError("waited for what nobody sends")
        self.rounds += 1
        return self.answers.popleft()

    def answer(self, epoch, group, step, generation=2, **kind):
        payload = b""
        for name, value in kind.items():
            if isinstance(value, np.ndarray):
                kind[name], payload = encode_tensor(value)
        header = common_pb2.StepHeader(run="r", generation=generation, epoch=epoch, step=step)
        self.answers.append(TensorFrame(gan_training_pb2.GanServerFrame(header=header, group=group, **kind), payload))


def membership(me="ann"):
    plan = plan_pb2.RunPlan(parties=[plan_pb2.PartyPlan(name=name) for name in NAMES])
    return Membership(me, "r", 2, plan)


def stream(line, me="ann"):
    return SharedStream(line, membership(me), 1.0, PhaseClock())


DONE = gan_training_pb2.GanStepDone()


class TestFakes:
    @pytest.fixture
    def line(self):
        return Line()

    @pytest.fixture
    def exchange(self, line):
        made = FakesExchange(stream(line))
        made.open_epoch(3, seed=9)
        return made

    def test_the_fakes_go_and_their_gradient_comes(self, line, exchange):
        exchange.send(1, 4, FAKES)
        (frame,) = line.sent
        header = frame.message.header
        assert (header.run, header.generation, header.epoch, header.step) == ("r", 2, 3, 4)
        assert (header.sender, header.purpose, frame.message.group) == ("ann", common_pb2.PURPOSE_TRAIN, 1)
        sent = decode_tensor(frame.message.fakes, frame.payload, dtype="float32", shape=FAKES.shape, what="fakes")
        np.testing.assert_array_equal(sent, FAKES)
        line.answer(3, 1, 4, origin_gradient=2 * FAKES)
        np.testing.assert_array_equal(exchange.origin_gradient(FAKES), 2 * FAKES)
        exchange.close_epoch()
        assert line.rounds == 1

    def test_before_generators_pay_a_step_is_waited_for_when_the_next_is_sent(self, line, exchange):
        exchange.send(0, 0, FAKES)
        assert line.rounds == 0
        line.answer(3, 0, 0, step_done=DONE)
        exchange.send(0, 1, FAKES)
        assert line.rounds == 1
        line.answer(3, 0, 1, step_done=DONE)
        exchange.close_epoch()
        assert line.rounds == 2

    @pytest.mark.parametrize(
        ("answer", "sentence"),
        [
            ({"epoch": 3, "group": 1, "step": 5}, r"step\) \(3, 1, 5\); due is origin_gradient"),
            ({"epoch": 3, "group": 0, "step": 4}, r"\(3, 0, 4\)"),
            ({"epoch": 2, "group": 1, "step": 4}, r"\(2, 1, 4\)"),
            ({"epoch": 3, "group": 1, "step": 4, "generation": 1}, "of run 'r' generation 1"),
        ],
    )
    def test_an_answer_to_something_else_is_refused(self, line, exchange, answer, sentence):
        exchange.send(1, 4, FAKES)
        line.answer(**answer, origin_gradient=FAKES)
        with pytest.raises(StepError, match=sentence):
            exchange.origin_gradient(FAKES)

    def test_an_answer_of_another_kind_shape_or_size_is_refused(self, line, exchange):
        exchange.send(1, 4, FAKES)
        line.answer(3, 1, 4, step_done=DONE)
        with pytest.raises(StepError, match=r"sent step_done of run .*; due is origin_gradient"):
            exchange.origin_gradient(FAKES)
        for wrong, sentence in ((FAKES[:1], "has shape"), (FAKES * np.float32(np.nan), "NaN")):
            exchange._due = (3, 1, 4)
            line.answer(3, 1, 4, origin_gradient=wrong)
            with pytest.raises(WireError, match=f"the origin gradient of the neutral server.*{sentence}"):
                exchange.origin_gradient(FAKES)

    def test_a_gradient_of_nothing_is_not_asked_for(self, exchange):
        with pytest.raises(StepError, match="send them first"):
            exchange.origin_gradient(FAKES)


class Copy:
    """Of 2 models: gradients that tell party and fakes; weights as they came."""

    def __init__(self):
        self.weights, self.asked = [], []

    def load(self, weights):
        self.weights.append(float(weights[0, 0]))

    def update(self, fakes, own):
        return np.zeros(2), np.full((2, PARAMETERS), fakes[0, 0, 0] + own, np.float32)

    def origin_gradient(self, fakes, wrong):
        self.asked.append(wrong)
        return np.float64([1.0, 2.0]), 3 * fakes


class TestUpdates:
    """Group 0 has three parties for two steps, then ann and bob for one; group 1 has bob and cas for one."""

    GROUPS = (Group((1, 2), (3, 3, 2)), Group((3, 4), (0, 1, 1)))

    @pytest.fixture
    def parties(self):
        keys = {frozenset(pair): SecureRandomness().key() for pair in (("ann", "bob"), ("ann", "cas"), ("bob", "cas"))}
        shared = SharedSpec("updates", 1.0, 0, 0, NetSpec("dense", ()), 2, RING)
        made = {}
        for place, me in enumerate(NAMES):
            line, losses = Line(), []
            copies = {number: Copy() for number, group in enumerate(self.GROUPS) if group.steps[place]}
            exchange = UpdatesExchange(
                membership(me),
                shared,
                self.GROUPS,
                copies,
                PARAMETERS,
                stream(line, me),
                {peer: keys[frozenset((me, peer))] for peer in NAMES if peer != me},
                lambda *loss, losses=losses: losses.append(loss),
            )
            for group in copies:
                line.answer(0, group, 0, shared_weights=self.weights(group))
            exchange.begin()
            exchange.open_epoch(1, seed=5)
            made[me] = SimpleNamespace(line=line, copies=copies, exchange=exchange, losses=losses)
        return made

    @staticmethod
    def weights(number):
        return np.full((2, PARAMETERS), number, np.float32)

    @staticmethod
    def words(frame):
        return decode_ring(
            frame.message.update,
            frame.payload,
            ring_bits=32,
            fractional_bits=20,
            shape=(2, PARAMETERS),
            what="an update",
        )

    def test_only_the_complete_sum_of_a_round_says_anything(self, parties):
        for party in parties.values():
            party.exchange.send(0, 0, FAKES)
            assert party.line.sent == []
            party.exchange.send(0, 1, 2 * FAKES)
        frames = [party.line.sent[0] for party in parties.values()]
        assert {(one.message.header.epoch, one.message.group, one.message.header.step) for one in frames} == {(1, 0, 1)}
        shares = [self.words(frame) for frame in frames]
        total = np.sum(shares, axis=0, dtype=np.uint32)
        # mean over the two steps of 0.5 + place and 1 + place, summed over places
        np.testing.assert_array_equal(RING.decode(total), np.full((2, PARAMETERS), 3 * 0.75 + 3))
        for left_out in range(3):
            rest = np.sum([one for number, one in enumerate(shares) if number != left_out], axis=0, dtype=np.uint32)
            # a uniform word lies so near to a small number with probability 2^-9; six of them 2^-54
            assert (np.abs(RING.decode(rest)) > 4).any()

    def test_masks_are_those_of_the_rounds_participants_and_no_round_has_anothers(self, parties):
        for party in parties.values():
            party.exchange.send(0, 0, FAKES)
            party.exchange.send(0, 1, FAKES)
            party.line.answer(1, 0, 1, shared_weights=self.weights(7))
        for me in ("ann", "bob"):
            parties[me].exchange.send(0, 2, FAKES)
        sums = self.words(parties["ann"].line.sent[1]) + self.words(parties["bob"].line.sent[1])
        np.testing.assert_array_equal(RING.decode(sums), np.full((2, PARAMETERS), 0.5 + 1.5))
        mask = [
            self.words(frame) - RING.encode(np.full((2, PARAMETERS), 0.5, "f4"), "x")
            for frame in parties["ann"].line.sent
        ]
        assert (mask[0] != mask[1]).any()

    def test_a_later_epoch_has_other_masks(self, parties):
        ann = parties["ann"]
        for epoch in (1, 2):
            ann.exchange.open_epoch(epoch, seed=5)
            ann.exchange.send(0, 0, FAKES)
            ann.exchange.send(0, 1, FAKES)
        assert (self.words(ann.line.sent[0]) != self.words(ann.line.sent[1])).all()  # 6 words: fails with 6 * 2^-32

    def test_weights_are_taken_before_they_are_used_and_not_before(self, parties):
        ann = parties["ann"]
        ann.exchange.send(0, 0, FAKES)
        ann.exchange.send(0, 1, FAKES)
        assert ann.copies[0].weights == [0]
        ann.line.answer(1, 0, 1, shared_weights=self.weights(7))
        ann.exchange.origin_gradient(FAKES)
        assert ann.copies[0].weights == [0, 7]
        ann.exchange.send(0, 2, FAKES)
        ann.line.answer(1, 0, 2, shared_weights=self.weights(9))
        ann.exchange.close_epoch()
        assert ann.copies[0].weights == [0, 7, 9]
        assert not ann.line.answers

    def test_weights_of_a_group_the_party_takes_no_step_in_are_not_awaited(self, parties):
        ann = parties["ann"]
        ann.line.answer(1, 1, 0, shared_weights=self.weights(8))
        with pytest.raises(StepError, match=r"shared_weights .*\(1, 1, 0\); due is shared_weights .*\(1, 0, 1\)"):
            ann.exchange.close_epoch()
        assert ann.copies.keys() == {0}

    def test_who_takes_no_part_any_more_waits_at_the_end_for_what_others_do(self, parties):
        cas = parties["cas"]
        cas.exchange.send(0, 0, FAKES)
        cas.exchange.send(0, 1, FAKES)
        with pytest.raises(AssertionError, match="waited for what nobody sends"):
            cas.exchange.send(
                1, 0, FAKES
            )  # the server takes no next round, of another group either, before its last is answered
        cas.line.answer(1, 0, 1, shared_weights=self.weights(7))
        cas.exchange.send(1, 0, FAKES)
        assert cas.line.rounds == 3
        cas.line.answer(1, 1, 0, shared_weights=self.weights(8))  # overtakes group 0's last round
        cas.line.answer(1, 0, 2, shared_weights=self.weights(9))
        cas.exchange.close_epoch()
        assert (cas.copies[0].weights, cas.copies[1].weights) == ([0, 7, 9], [1, 8])

    def test_rounds_of_a_group_cannot_be_skipped_or_repeated(self, parties):
        ann = parties["ann"]
        ann.exchange.send(0, 0, FAKES)
        ann.exchange.send(0, 1, FAKES)
        ann.line.answer(1, 0, 2, shared_weights=self.weights(7))
        with pytest.raises(StepError, match=r"shared_weights .*\(1, 0, 2\); due is shared_weights .*\(1, 0, 1\)"):
            ann.exchange.origin_gradient(FAKES)
        ann.line.answer(1, 0, 1, shared_weights=self.weights(7)[:1])
        with pytest.raises(WireError, match="the shared weights of the neutral server has shape"):
            ann.exchange.origin_gradient(FAKES)

    def test_wrong_origins_are_those_of_the_epochs_seed_and_its_losses_are_told(self, parties):
        bob = parties["bob"]
        bob.exchange.send(0, 0, FAKES)
        gradient = bob.exchange.origin_gradient(FAKES)
        np.testing.assert_array_equal(gradient, 3 * FAKES)
        wanted = [wrong_origins(5, 1, 0, model, 0, 1, (0, 1, 2), 1) for model in range(2)]
        np.testing.assert_array_equal(bob.copies[0].asked, [wanted])
        ((group, step, losses),) = bob.losses
        assert (group, step, losses.tolist()) == (0, 0, [1.0, 2.0])
