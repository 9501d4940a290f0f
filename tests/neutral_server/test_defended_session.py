"""neutral_server.session with a defender: h1 goes to all, masked shares come back, only their sum is decoded."""

import numpy as np
import pytest

from kernel.batch_order import micro_batches
from kernel.defender_plan import defender_ring
from kernel.errors import BadInputError, StepError, WireError
from kernel.fixed_point import FixedPoint
from kernel.masks import ZeroMask
from kernel.network import NetworkSpec, OptimizerSpec
from kernel.randomness import Keystream, SecretKey, StreamPosition, derive_key
from kernel.run_state import RunState
from kernel.wire.codec import decode_tensor, encode_ring, encode_tensor
from kernel.wire.tensor_frame import TensorFrame
from neutral_server.defence import Defence
from neutral_server.session import StackSession
from protos.v1 import common_pb2, split_training_pb2

RUN, WIDTH, ROWS, BATCH, WEIGHT = "run-1", 3, 7, 7, 2.5
PARTIES = ("a", "b", "c")  # b holds the label
RING, PULLS = FixedPoint(32, 16, addends=3), defender_ring("adversarial", 3)
TRAIN, EVALUATE = common_pb2.PURPOSE_TRAIN, common_pb2.PURPOSE_EVALUATE
MARK = object()


class AddingStack:
    """h1 = z1 + 1, h_L = z1, dL/dz1 = dL/dh_L + the defender's gradient; notes the order of backward calls."""

    def __init__(self):
        self.kept, self.calls, self.defended = {}, [], None

    def warm_up(self, steps, *, scale_bits, ring_bits, defended):
        self.defended = defended

    def predict(self, words, scale_bits, ring_bits):
        return (words.view(np.int32) * 2.0**-scale_bits).astype(np.float32)

    def forward(self, words, scale_bits, ring_bits, *, piece):
        self.kept[piece] = self.predict(words, scale_bits, ring_bits)
        return self.kept[piece]

    def first_activation(self, *, piece):
        return self.kept[piece] + 1

    def backward(self, dh, *, piece, last, h1_gradient):
        self.calls.append((piece, last))
        return dh + h1_gradient


class Defended:
    def __init__(self, pieces=1, cut_dtype="float32", defence=Defence(WEIGHT, PULLS)):  # noqa: B008 - frozen
        self.stack, self.cut_dtype, self.step_pieces = AddingStack(), cut_dtype, micro_batches(ROWS, pieces)
        self.session = StackSession(
            name="server",
            run=RUN,
            generation=1,
            network=NetworkSpec((WIDTH,), ("identity",), "binary", 1, OptimizerSpec("sgd", 0.1), 1),
            ring=RING,
            scale_bits=16,
            parties=PARTIES,
            label_holder="b",
            stack=self.stack,
            cut_dtype=cut_dtype,
            micro_batches=pieces,
            defence=defence,
        )
        self.outboxes = {party: self.session.join(party) for party in PARTIES}
        self.session.begin([BATCH])
        self.session.open_pass(1, TRAIN, ROWS, BATCH)
        key = SecretKey(bytes(range(32)))
        self.masks = {
            one: ZeroMask(
                one, {other: Keystream(derive_key(key, *sorted((one, other)))) for other in PARTIES if other != one}
            )
            for one in PARTIES
        }
        self.kinds()

    def sent(self, party):
        self.outboxes[party].put(MARK)
        return list(iter(iter(self.outboxes[party]).__next__, MARK))

    def kinds(self):
        return {party: [frame.message.WhichOneof("kind") for frame in self.sent(party)] for party in PARTIES}

    def send(self, party, kind, encoded, piece=0, purpose=TRAIN):
        header = common_pb2.StepHeader(
            run=RUN, generation=1, epoch=1, step=0, micro_batch=piece, purpose=purpose, sender=party
        )
        message, payload = encoded
        self.session.receive(
            party, TensorFrame(split_training_pb2.PartyFrame(header=header, **{kind: message}), payload)
        )

    def share(self, party, piece=0, purpose=TRAIN):
        words = RING.encode(of(party, 1)[self.step_pieces[piece]], "z1")
        pad = self.masks[party].pad((ROWS, WIDTH), 32, StreamPosition(1, 0, purpose))
        self.send(party, "share", encode_ring(words + pad[self.step_pieces[piece]], 16), piece, purpose)

    def pull(self, party, piece=0, change=0):
        words = PULLS.encode(of(party, 2)[self.step_pieces[piece]], "pull")
        pad = self.masks[party].pad((ROWS, WIDTH), 32, StreamPosition(1, 0, TRAIN, 1))
        words += pad[self.step_pieces[piece]] + np.uint32(change)
        self.send(party, "defender_share", encode_ring(words, PULLS.fractional_bits), piece)

    def head(self, piece=0):
        tensor = encode_tensor(of("b", 3)[self.step_pieces[piece]], dtype=self.cut_dtype)
        self.send("b", "head_gradient", tensor, piece)


def of(party, what):
    return np.random.default_rng([PARTIES.index(party), what]).normal(size=(ROWS, WIDTH)).astype(np.float32)


def tensor_of(frame, kind, rows=ROWS, dtype="float32"):
    return decode_tensor(getattr(frame.message, kind), frame.payload, dtype=dtype, shape=(rows, WIDTH), what=kind)


def wanted_gradient(rows=slice(None)):
    """The server divides by the rows of the batch, not of the piece."""
    return of("b", 3)[rows] - WEIGHT / ROWS * sum(of(party, 2) for party in PARTIES)[rows]


@pytest.fixture
def defended():
    return Defended()


def test_a_step_goes_over_h1_and_back(defended):
    assert defended.stack.defended
    for party in PARTIES:
        defended.share(party)
    sent = {party: defended.sent(party) for party in PARTIES}
    h1 = sum(of(party, 1) for party in PARTIES) + 1
    for party in PARTIES:
        kinds = [frame.message.WhichOneof("kind") for frame in sent[party]]
        assert kinds == (["cut_activation"] if party == "b" else []) + ["first_activation"]
        assert np.abs(tensor_of(sent[party][-1], "first_activation") - h1).max() <= 3 * 2.0**-17 + 1e-6
    defended.pull("a")
    defended.head()
    defended.pull("c")
    assert defended.kinds() == {"a": [], "b": [], "c": []}  # nothing before every defender has sent
    assert defended.stack.calls == []
    defended.pull("b")
    for party in PARTIES:
        (frame,) = defended.sent(party)
        assert np.abs(tensor_of(frame, "cut_gradient") - wanted_gradient()).max() < 1e-5
    assert defended.session.state is RunState.READY


def test_the_head_gradient_may_come_last(defended):
    for party in PARTIES:
        defended.share(party)
    defended.kinds()
    for party in PARTIES:
        defended.pull(party)
    assert defended.kinds() == {"a": [], "b": [], "c": []}
    defended.head()
    assert defended.kinds() == {party: ["cut_gradient"] for party in PARTIES}


def test_pieces_go_backward_in_order_whatever_comes_first():
    defended = Defended(pieces=3)
    for piece in range(3):
        for party in PARTIES:
            defended.share(party, piece)
    for piece in range(3):
        defended.head(piece)
    for party in PARTIES:
        defended.pull(party, 1)
        defended.pull(party, 2)
    assert defended.stack.calls == []
    defended.kinds()
    for party in PARTIES:
        defended.pull(party, 0)
    assert defended.stack.calls == [(0, False), (1, False), (2, True)]
    frames = defended.sent("a")
    found = np.concatenate(
        [
            tensor_of(frame, "cut_gradient", piece.stop - piece.start)
            for frame, piece in zip(frames, defended.step_pieces, strict=True)
        ]
    )
    assert np.abs(found - wanted_gradient()).max() < 1e-5


def test_h1_travels_in_the_plans_type():
    defended = Defended(cut_dtype="bfloat16")
    for party in PARTIES:
        defended.share(party)
    h1 = tensor_of(defended.sent("a")[0], "first_activation", dtype="bfloat16")
    np.testing.assert_allclose(h1, sum(of(party, 1) for party in PARTIES) + 1, rtol=2**-8, atol=1e-4)


def test_an_evaluation_shows_h1_to_nobody(defended):
    for party in PARTIES:
        defended.share(party)
        defended.kinds()
    for party in PARTIES:
        defended.pull(party)
    defended.head()
    defended.kinds()
    defended.session.open_pass(1, EVALUATE, ROWS, BATCH)
    for party in PARTIES:
        defended.share(party, purpose=EVALUATE)
    assert defended.kinds() == {"a": ["step_done"], "b": ["cut_activation"], "c": ["step_done"]}


def test_a_repeat_with_the_same_bytes_gets_the_same_answer(defended):
    for party in PARTIES:
        defended.share(party)
    defended.kinds()
    defended.pull("a")
    defended.pull("a")
    assert defended.kinds()["a"] == ["first_activation"]
    defended.head()
    defended.pull("b")
    defended.pull("c")
    before = defended.sent("a")
    defended.pull("a")
    again = defended.sent("a")
    assert again[-1].payload == before[-1].payload
    assert len(defended.stack.calls) == 1


def test_a_repeat_with_other_bytes_is_refused(defended):
    for party in PARTIES:
        defended.share(party)
    defended.pull("a")
    with pytest.raises(StepError, match="'a' repeated a step with other bytes"):
        defended.pull("a", change=1)


def test_a_share_before_h1_is_refused(defended):
    with pytest.raises(StepError, match="'a' sent a defender's share for step 0 before its h1 was given"):
        defended.pull("a")


def test_a_share_without_a_defender_is_refused():
    plain = Defended(defence=None)
    for party in PARTIES:
        plain.share(party)
    assert plain.kinds() == {"a": [], "b": ["cut_activation"], "c": []}  # nobody is shown h1
    with pytest.raises(StepError, match="'a' sent a defender's share in a run without a defender"):
        plain.pull("a")


def test_a_share_of_another_ring_is_refused(defended):
    for party in PARTIES:
        defended.share(party)
    words = np.zeros((ROWS, WIDTH), np.uint32)
    with pytest.raises(
        WireError, match="the defender's share of 'a' in step 0 has 16 fractional bits, the plan says 20"
    ):
        defended.send("a", "defender_share", encode_ring(words, 16))


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_a_weight_that_cannot_be_used_is_refused(weight):
    with pytest.raises(BadInputError, match="0 or more"):
        Defence(weight, PULLS)
