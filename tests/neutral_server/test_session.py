"""neutral_server.session, driven frame by frame with real masked shares and a stack of four lines."""

import threading

import numpy as np
import pytest

from kernel.batch_order import batch_sizes
from kernel.errors import PeerError, StepError, TertiumError, WireError
from kernel.fixed_point import FixedPoint
from kernel.masks import ZeroMask
from kernel.network import NetworkSpec, OptimizerSpec
from kernel.randomness import Keystream, SecretKey, StreamPosition, derive_key
from kernel.run_state import RunState
from kernel.wire.codec import decode_tensor, encode_ring, encode_tensor
from kernel.wire.tensor_frame import TensorFrame
from neutral_server.announced_pass import IN_FLIGHT
from neutral_server.session import StackSession
from protos.v1 import common_pb2, split_training_pb2

RUN, GENERATION, EPOCH, ROWS, BATCH, WIDTH = "run-1", 3, 2, 10, 4, 2
PARTIES = ("a", "b", "c")  # b holds the label
RING = FixedPoint(32, 16, addends=len(PARTIES))
TRAIN, EVALUATE, PREDICT = common_pb2.PURPOSE_TRAIN, common_pb2.PURPOSE_EVALUATE, common_pb2.PURPOSE_PREDICT
MARK = object()
DEADLINE_SECONDS = 10.0


class BiasStack:
    """h = z1 + bias and dL/dz1 = dL/dh; the bias moves by the mean gradient: a step done twice shows."""

    def __init__(self):
        self.bias = np.zeros(WIDTH, np.float32)
        self.warmed, self.kept, self.gathered = [], set(), []

    def warm_up(self, steps, *, scale_bits, ring_bits, defended):
        assert not defended
        self.warmed = [list(steps), scale_bits, ring_bits]

    def predict(self, words, scale_bits, ring_bits):
        signed = words.view(np.dtype(f"i{ring_bits // 8}"))
        return (signed * 2.0**-scale_bits).astype(np.float32) + self.bias

    def forward(self, words, scale_bits, ring_bits, *, piece):
        assert piece not in self.kept
        self.kept.add(piece)
        return self.predict(words, scale_bits, ring_bits)

    def backward(self, dh, *, piece, last, h1_gradient):
        assert h1_gradient is None
        self.kept.remove(piece)
        self.gathered.append(dh)
        if last:
            self.bias -= np.concatenate(self.gathered).mean(axis=0)
            self.gathered = []
        return dh

    def state(self):
        return {"bias": self.bias}

    def load(self, state):
        self.bias[...] = state["bias"]


def make_session(stack, cut_dtype="float32", micro_batches=1):
    network = NetworkSpec((WIDTH,), ("identity",), "binary", 1, OptimizerSpec("sgd", 0.1), 1)
    return StackSession(
        name="server",
        run=RUN,
        generation=GENERATION,
        network=network,
        ring=RING,
        scale_bits=RING.fractional_bits,
        parties=PARTIES,
        label_holder="b",
        stack=stack,
        cut_dtype=cut_dtype,
        micro_batches=micro_batches,
    )


class Federation:
    """A session, its parties' outboxes and the blocks they would compute."""

    def __init__(self, cut_dtype="float32", micro_batches=1):
        self.stack = BiasStack()
        self.session = make_session(self.stack, cut_dtype, micro_batches)
        self.outboxes = {party: self.session.join(party) for party in PARTIES}
        for outbox in self.outboxes.values():
            assert [frame.message.WhichOneof("kind") for frame in frames(outbox)] == ["joined"]
        key = SecretKey(bytes(range(32)))
        streams = {
            one: {other: Keystream(derive_key(key, *sorted((one, other)))) for other in PARTIES if other != one}
            for one in PARTIES
        }
        self.masks = {party: ZeroMask(party, streams[party]) for party in PARTIES}
        self.session.begin(batch_sizes(ROWS, BATCH))

    def deliver(self, party, frame):
        """As neutral_server.service does: an error fails the run."""
        try:
            self.session.receive(party, frame)
        except TertiumError as error:
            self.session.fail(error)
            raise

    def sent(self, party):
        return frames(self.outboxes[party])

    def kinds(self):
        """Of what waits for each party."""
        return {party: [frame.message.WhichOneof("kind") for frame in self.sent(party)] for party in PARTIES}

    def share(self, party, step, purpose=TRAIN, rows=None, **header):
        """A masked share, as this party sends it."""
        rows = rows or batch_sizes(ROWS, BATCH)[step]
        words = RING.encode(block(party, step, rows), "z1")
        self.masks[party].apply(words, StreamPosition(EPOCH, step, purpose))
        return frame_of(party, step, purpose, share=encode_ring(words, RING.fractional_bits), **header)

    def train_step(self, step):
        for party in PARTIES:
            self.deliver(party, self.share(party, step))
        self.deliver("b", gradient(step))


@pytest.fixture
def federation():
    return Federation()


@pytest.fixture
def training(federation):
    federation.session.open_pass(EPOCH, TRAIN, ROWS, BATCH)
    return federation


@pytest.fixture
def evaluating(federation):
    federation.session.open_pass(EPOCH, EVALUATE, 4 * BATCH * IN_FLIGHT, BATCH)
    return federation


def frames(outbox):
    """What waits in the outbox; raises what it was failed with. The outbox stays open."""
    outbox.put(MARK)
    return list(iter(iter(outbox).__next__, MARK))


def block(party, step, rows=BATCH):
    seed = [PARTIES.index(party), step]
    return np.random.default_rng(seed).normal(size=(rows, WIDTH)).astype(np.float32)


def z1(step, rows=BATCH):
    return sum(block(party, step, rows) for party in PARTIES)


def dh(step):
    return np.random.default_rng([9, step]).normal(size=(batch_sizes(ROWS, BATCH)[step], WIDTH)).astype(np.float32)


def frame_of(party, step, purpose=TRAIN, share=None, head_gradient=None, **header):
    """A party's frame; ``share`` and ``head_gradient`` are a message and its payload."""
    message, payload = share or head_gradient or (None, b"")
    fields = {"run": RUN, "generation": GENERATION, "epoch": EPOCH, "sender": party, **header}
    step_header = common_pb2.StepHeader(step=step, purpose=purpose, **fields)
    kind = {"share": message} if share else {"head_gradient": message} if head_gradient else {}
    return TensorFrame(split_training_pb2.PartyFrame(header=step_header, **kind), payload)


def gradient(step, array=None, party="b", dtype=None, **header):
    tensor = encode_tensor(dh(step) if array is None else array, dtype=dtype)
    return frame_of(party, step, head_gradient=tensor, **header)


def activation_of(frame, rows=BATCH, dtype="float32"):
    return decode_tensor(frame.message.cut_activation, frame.payload, dtype=dtype, shape=(rows, WIDTH), what="h")


def gradient_of(frame, rows=BATCH, dtype="float32"):
    return decode_tensor(frame.message.cut_gradient, frame.payload, dtype=dtype, shape=(rows, WIDTH), what="g")


def check_failed(federation, error, parties=PARTIES):
    """Every outbox raises, and nothing more is accepted."""
    assert federation.session.state is RunState.PAUSED
    for party in parties:
        with pytest.raises(type(error)) as caught:
            frames(federation.outboxes[party])
        assert str(caught.value) == str(error)
    for call in (
        lambda: federation.session.receive("a", federation.share("a", 0)),
        lambda: federation.session.open_pass(EPOCH + 1, TRAIN, ROWS, BATCH),
        lambda: federation.session.held_state(),
        lambda: federation.session.join("a"),
    ):
        with pytest.raises(type(error)):
            call()


def refused(federation, party, frame, kind, sentence):
    with pytest.raises(kind, match=sentence) as caught:
        federation.deliver(party, frame)
    check_failed(federation, caught.value)


def test_a_training_step_from_shares_to_gradients(training):
    training.deliver("a", training.share("a", 0))
    training.deliver("c", training.share("c", 0))
    assert training.kinds() == {"a": [], "b": [], "c": []}  # nothing before all shares are there
    training.deliver("b", training.share("b", 0))
    (activation,) = training.sent("b")
    assert training.kinds() == {"a": [], "b": [], "c": []}
    assert np.abs(activation_of(activation) - z1(0)).max() <= len(PARTIES) * 2.0**-17 + 1e-6
    header = activation.message.header
    assert (header.run, header.generation, header.epoch, header.step) == (RUN, GENERATION, EPOCH, 0)
    assert (header.purpose, header.sender) == (TRAIN, "server")
    training.deliver("b", gradient(0))
    for party in PARTIES:
        (answer,) = training.sent(party)
        assert answer.message.header == header
        assert np.array_equal(gradient_of(answer), dh(0))


def test_a_whole_epoch_moves_the_stack_once_a_step(training):
    assert training.stack.warmed == [[[2], [4]], 16, 32]
    for step in range(3):
        assert training.session.state is RunState.TRAINING
        training.train_step(step)
    assert training.session.state is RunState.READY
    moved = -sum(dh(step).mean(axis=0) for step in range(3))
    assert np.allclose(training.session.held_state()["bias"], moved, atol=1e-6)
    activations = [frame for frame in training.sent("b") if frame.message.WhichOneof("kind") == "cut_activation"]
    last = activation_of(activations[2], rows=2) - z1(2, rows=2)
    before_last = -sum(dh(step).mean(axis=0) for step in range(2))
    assert np.abs(last - before_last).max() < 1e-4
    training.session.open_pass(EPOCH + 1, TRAIN, ROWS, BATCH)
    assert training.session.state is RunState.TRAINING


def test_parties_on_threads_of_their_own_train_an_epoch(training):
    """Each sends its share, waits for its answer, goes on: as their streams do."""
    steps = 3
    errors = []

    def take(outbox, kind):
        frame = next(outbox)
        assert frame.message.WhichOneof("kind") == kind
        return frame

    def live(party):
        try:
            outbox = iter(training.outboxes[party])
            for step in range(steps):
                training.deliver(party, training.share(party, step))
                if party == "b":
                    take(outbox, "cut_activation")
                    training.deliver("b", gradient(step))
                assert take(outbox, "cut_gradient").message.header.step == step
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=live, args=(party,), daemon=True) for party in PARTIES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
    assert errors == []
    assert not any(thread.is_alive() for thread in threads)
    moved = -sum(dh(step).mean(axis=0) for step in range(steps))
    assert np.allclose(training.session.held_state()["bias"], moved, atol=1e-6)


def test_a_repeat_with_the_same_bytes_gets_the_same_answer(training):
    """A share before its answer, after it and after the step; a gradient: nothing is computed twice."""
    training.deliver("a", training.share("a", 0))
    training.deliver("a", training.share("a", 0))
    for party in ("b", "c"):
        training.deliver(party, training.share(party, 0))
    first = training.sent("b")
    training.deliver("b", training.share("b", 0))
    assert training.sent("b") == first
    training.deliver("b", gradient(0))
    answers = {party: training.sent(party) for party in PARTIES}
    bias = training.stack.bias.copy()
    training.deliver("b", gradient(0))
    assert training.sent("b") == first + answers["b"]
    for party in ("a", "c"):
        training.deliver(party, training.share(party, 0))
        assert training.sent(party) == answers[party]
    assert training.kinds() == {"a": [], "b": [], "c": []}
    assert np.array_equal(training.stack.bias, bias)
    training.train_step(1)
    assert training.kinds()["a"] == ["cut_gradient"]


def other_share(federation, party, step):
    """The same place in the run, but another value under the same pad."""
    frame = federation.share(party, step)
    return TensorFrame(frame.message, bytes([frame.payload[0] ^ 1]) + frame.payload[1:])


@pytest.mark.parametrize("moment", ["before the others", "after the activation", "after the step"])
def test_a_repeated_share_with_other_bytes_fails_the_run(training, moment):
    training.deliver("a", training.share("a", 0))
    if moment != "before the others":
        for party in ("b", "c"):
            training.deliver(party, training.share(party, 0))
    if moment == "after the step":
        training.deliver("b", gradient(0))
    training.kinds()
    refused(training, "a", other_share(training, "a", 0), StepError, "'a' repeated a step with other bytes")


def test_a_repeated_gradient_with_other_bytes_fails_the_run(training):
    training.train_step(0)
    training.kinds()
    refused(training, "b", gradient(0, dh(0) * 2), StepError, "'b' repeated a step with other bytes")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"run": "run-2"}, "for run 'run-2' generation 3; this stream is for run 'run-1' generation 3"),
        ({"generation": 2}, "generation 2"),
        ({"generation": 4}, "generation 4"),
        ({"epoch": EPOCH - 1}, "sent epoch 1"),
        ({"epoch": EPOCH + 1}, "sent epoch 3"),
        ({"purpose": EVALUATE}, "open is epoch 2 training"),
        ({"purpose": common_pb2.PURPOSE_SET_UP}, "open is epoch 2 training"),
        ({"purpose": common_pb2.PURPOSE_UNSPECIFIED}, "open is epoch 2 training"),
        ({"sender": "b"}, "on the stream of 'a' claims to be from 'b'"),
        ({"sender": ""}, "claims to be from ''"),
    ],
)
def test_a_frame_of_another_place_fails_the_run(training, change, sentence):
    frame = training.share("a", 0)
    for field, value in change.items():
        setattr(frame.message.header, field, value)
    refused(training, "a", frame, StepError, sentence)


@pytest.mark.parametrize("step", [1, 2, 3, 2**32 - 1])
def test_a_training_step_ahead_of_the_due_one_fails_the_run(training, step):
    frame = training.share("a", 0)
    frame.message.header.step = step
    refused(training, "a", frame, StepError, f"sent step {step}; due is step 0 of 3")


def test_a_step_long_past_fails_the_run(training):
    old = training.share("a", 0)
    for step in range(2):
        training.train_step(step)
    training.kinds()
    refused(training, "a", old, StepError, "sent step 0; due is step 2 of 3")


def changed_share(training, payload=None, **changes):
    frame = training.share("a", 0)
    for field, value in changes.items():
        frame.message.share.ClearField(field)
        frame.message.share.MergeFrom(common_pb2.RingTensor(**{field: value}))
    return frame if payload is None else TensorFrame(frame.message, payload)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"shape": [BATCH, WIDTH + 1]}, "the share of 'a' in step 0 has shape"),
        ({"shape": [WIDTH, BATCH]}, "has shape"),
        ({"shape": [BATCH - 1, WIDTH]}, "has shape"),
        ({"payload": bytes(31)}, "carries 31 bytes"),
        ({"payload": bytes(33)}, "carries 33 bytes"),
        ({"payload": b""}, "carries 0 bytes, its shape needs 32"),
        ({"ring_bits": 64}, "ring of 64 bits, the plan says 32"),
        ({"fractional_bits": 15}, "15 fractional bits, the plan says 16"),
        ({"fractional_bits": 32}, "32 fractional bits"),
    ],
)
def test_another_tensor_than_agreed_fails_the_run(training, changes, sentence):
    refused(training, "a", changed_share(training, **changes), WireError, sentence)


def test_the_last_batch_has_its_own_number_of_rows(training):
    for step in range(2):
        training.train_step(step)
    training.kinds()
    refused(training, "a", training.share("a", 2, rows=BATCH), WireError, r"shape \[4, 2\], wanted \[2, 2\]")


def shares_of_all(federation, step=0):
    for party in PARTIES:
        federation.deliver(party, federation.share(party, step))
    federation.kinds()


def test_a_head_gradient_of_a_feature_holder_fails_the_run(training):
    shares_of_all(training)
    refused(
        training,
        "a",
        gradient(0, party="a"),
        StepError,
        "'a' sent a gradient of the label head; the label holder is 'b'",
    )
    assert not training.stack.bias.any()


def test_a_head_gradient_before_its_activation_fails_the_run(training):
    training.deliver("b", training.share("b", 0))
    refused(training, "b", gradient(0), StepError, "a gradient for step 0 before its activation was given")


def test_a_head_gradient_where_nothing_is_trained_fails_the_run(evaluating):
    for party in PARTIES:
        evaluating.deliver(party, evaluating.share(party, 0, EVALUATE))
    evaluating.kinds()
    frame = frame_of("b", 0, EVALUATE, head_gradient=encode_tensor(dh(0)))
    refused(evaluating, "b", frame, StepError, "before its activation was given")


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((BATCH, WIDTH + 1), np.float32), "head gradient of 'b' in step 0 has shape"),
        (np.zeros((BATCH, WIDTH), np.float64), "dtype float64, wanted float32"),
        (np.full((BATCH, WIDTH), np.nan, np.float32), "NaN or infinity"),
    ],
)
def test_a_gradient_that_is_not_as_agreed_fails_the_run(training, array, sentence):
    shares_of_all(training)
    refused(training, "b", gradient(0, array), WireError, sentence)
    assert not training.stack.bias.any()


def test_a_frame_without_a_tensor_fails_the_run(training):
    refused(training, "a", frame_of("a", 0), StepError, "sent an empty frame in the middle of a pass")


def test_a_second_join_fails_the_run(training):
    frame = frame_of("a", 0)
    frame.message.join.SetInParent()
    refused(training, "a", frame, StepError, "sent join in the middle of a pass")


def test_a_tensor_before_a_pass_fails_the_run(federation):
    refused(federation, "a", federation.share("a", 0), StepError, "before a pass was opened")


@pytest.mark.parametrize("purpose", [EVALUATE, PREDICT])
def test_a_forward_only_pass(federation, purpose):
    federation.stack.bias[...] = (0.5, -0.25)
    federation.session.open_pass(EPOCH, purpose, ROWS, BATCH)
    for step in range(3):
        for party in PARTIES:
            federation.deliver(party, federation.share(party, step, purpose))
        (answer,) = federation.sent("b")
        rows = batch_sizes(ROWS, BATCH)[step]
        assert np.abs(activation_of(answer, rows) - z1(step, rows) - (0.5, -0.25)).max() < 1e-4
        assert federation.kinds() == {"a": ["step_done"], "b": [], "c": ["step_done"]}
    assert federation.session.state is RunState.READY
    assert federation.session.held_state()["bias"].tolist() == [0.5, -0.25]


def test_parties_may_be_ahead_up_to_the_window(evaluating):
    for party in ("a", "b"):
        for step in range(IN_FLIGHT + 1):
            evaluating.deliver(party, evaluating.share(party, step, EVALUATE, rows=BATCH))
    assert evaluating.kinds() == {"a": [], "b": [], "c": []}
    for step in range(IN_FLIGHT + 1):
        evaluating.deliver("c", evaluating.share("c", step, EVALUATE, rows=BATCH))
        (answer,) = evaluating.sent("b")
        assert answer.message.header.step == step
        assert np.abs(activation_of(answer) - z1(step)).max() < 1e-4
        assert [frame.message.header.step for frame in evaluating.sent("a")] == [step]
    evaluating.deliver("a", evaluating.share("a", 2 * IN_FLIGHT + 1, EVALUATE, rows=BATCH))  # the window moved on


def test_a_party_ahead_of_the_window_fails_the_run(evaluating):
    for step in range(IN_FLIGHT + 1):
        evaluating.deliver("a", evaluating.share("a", step, EVALUATE, rows=BATCH))
    ahead = evaluating.share("a", IN_FLIGHT + 1, EVALUATE, rows=BATCH)
    refused(evaluating, "a", ahead, StepError, f"sent step {IN_FLIGHT + 1}; due is step 0 of 32")


def test_steps_completed_out_of_order_are_answered_in_order(evaluating):
    for party in ("a", "c"):
        for step in (1, 0):
            evaluating.deliver(party, evaluating.share(party, step, EVALUATE, rows=BATCH))
    evaluating.deliver("b", evaluating.share("b", 1, EVALUATE, rows=BATCH))
    assert evaluating.kinds()["b"] == []
    evaluating.deliver("b", evaluating.share("b", 0, EVALUATE, rows=BATCH))
    assert [frame.message.header.step for frame in evaluating.sent("b")] == [0, 1]


def test_a_repeat_in_a_forward_only_pass_is_answered_again(evaluating):
    for party in PARTIES:
        evaluating.deliver(party, evaluating.share(party, 0, EVALUATE, rows=BATCH))
    first = {party: evaluating.sent(party) for party in PARTIES}
    for party in PARTIES:
        evaluating.deliver(party, evaluating.share(party, 0, EVALUATE, rows=BATCH))
        assert evaluating.sent(party) == first[party]


def test_a_party_that_leaves_in_an_epoch_pauses_the_run_and_the_others_are_told(training):
    training.train_step(0)
    training.kinds()
    training.session.left("c")
    wanted = "'c' left the run at step 1; restart it and resume with `tertium run --resume run-1`"
    check_failed(training, PeerError(wanted), parties=("a", "b"))


def test_a_party_that_leaves_between_passes_may_come_back(federation):
    federation.session.left("c")
    assert federation.session.state is RunState.READY
    federation.outboxes["c"] = federation.session.join("c")
    assert federation.kinds() == {"a": [], "b": [], "c": ["joined"]}


def test_the_first_error_is_the_one_everybody_hears(training):
    first, second = StepError("first"), StepError("second")
    training.session.fail(first)
    training.session.fail(second)
    training.session.left("a")
    check_failed(training, first, parties=("b", "c"))


def test_who_takes_no_part_cannot_join(federation):
    with pytest.raises(StepError, match="'d' takes no part in run run-1; its parties are a, b, c"):
        federation.session.join("d")
    with pytest.raises(StepError, match="'a' already holds a stream"):
        federation.session.join("a")


def test_a_pass_is_opened_only_after_the_one_before(training):
    training.train_step(0)
    with pytest.raises(StepError, match="step 1 of 3 of the pass before is still due"):
        training.session.open_pass(EPOCH + 1, TRAIN, ROWS, BATCH)
    with pytest.raises(StepError, match="a barrier was asked for at step 1 of 3"):
        training.session.held_state()


@pytest.mark.parametrize(
    ("purpose", "rows", "batch_rows"),
    [
        (common_pb2.PURPOSE_SET_UP, 10, 4),
        (common_pb2.PURPOSE_UNSPECIFIED, 10, 4),
        (TRAIN, 0, 4),
        (TRAIN, 10, 0),
    ],
)
def test_a_pass_that_makes_no_sense_is_refused(federation, purpose, rows, batch_rows):
    with pytest.raises(StepError, match="cannot be opened"):
        federation.session.open_pass(EPOCH, purpose, rows, batch_rows)
    federation.session.open_pass(EPOCH, TRAIN, ROWS, BATCH)


def test_a_pass_needs_a_stack_that_has_begun():
    session = make_session(BiasStack())
    for _ in range(2):
        with pytest.raises(StepError, match="joined cannot become training"):
            session.open_pass(EPOCH, TRAIN, ROWS, BATCH)


def test_a_closed_session_ends_every_stream(training):
    for step in range(3):
        training.train_step(step)
    training.kinds()
    training.session.close()
    assert training.session.state is RunState.DONE
    for outbox in training.outboxes.values():
        assert list(outbox) == []
    with pytest.raises(StepError, match="generation 3 of run run-1 is closed"):
        training.session.receive("a", training.share("a", 0))


# --- bfloat16 at the cut ----------------------------------------------------------------------------------------------


@pytest.fixture
def halved():
    federation = Federation("bfloat16")
    federation.session.open_pass(EPOCH, TRAIN, ROWS, BATCH)
    return federation


def rounded(array):
    """As it arrives from the other side of a bfloat16 cut."""
    message, payload = encode_tensor(array, dtype="bfloat16")
    return decode_tensor(message, payload, dtype="bfloat16", shape=array.shape, what="t")


def test_a_bfloat16_cut_halves_what_goes_out_and_takes_the_gradient_so(halved):
    """Shares stay words of the ring; h_L, dL/dh_L and dL/dz1 are rounded once each, at their sender."""
    for party in PARTIES:
        halved.deliver(party, halved.share(party, 0))
    (activation,) = halved.sent("b")
    assert activation.message.cut_activation.dtype == common_pb2.D_TYPE_BFLOAT16
    assert len(activation.payload) == 2 * BATCH * WIDTH
    exact = z1(0).astype(np.float64)
    bound = 2.0**-8 * np.abs(exact) + (1 + 2.0**-8) * (len(PARTIES) * 2.0**-17 + 1e-6)
    assert (np.abs(activation_of(activation, dtype="bfloat16") - exact) <= bound).all()
    halved.deliver("b", gradient(0, dtype="bfloat16"))
    assert np.array_equal(halved.stack.bias, -rounded(dh(0)).mean(axis=0))
    for party in PARTIES:
        (answer,) = halved.sent(party)
        assert len(answer.payload) == 2 * BATCH * WIDTH
        assert np.array_equal(gradient_of(answer, dtype="bfloat16"), rounded(dh(0)))
    assert np.abs(rounded(dh(0)) - dh(0)).max() > 0  # the rounding is there to be seen


def test_an_epoch_with_a_bfloat16_cut(halved):
    for step in range(3):
        for party in PARTIES:
            halved.deliver(party, halved.share(party, step))
        halved.deliver("b", gradient(step, dtype="bfloat16"))
    assert halved.session.state is RunState.READY
    moved = -sum(rounded(dh(step)).mean(axis=0) for step in range(3))
    assert np.allclose(halved.session.held_state()["bias"], moved, atol=1e-6)


@pytest.mark.parametrize("purpose", [EVALUATE, PREDICT])
def test_a_forward_only_pass_with_a_bfloat16_cut(purpose):
    federation = Federation("bfloat16")
    federation.session.open_pass(EPOCH, purpose, ROWS, BATCH)
    for party in PARTIES:
        federation.deliver(party, federation.share(party, 0, purpose))
    (answer,) = federation.sent("b")
    assert np.allclose(activation_of(answer, dtype="bfloat16"), z1(0), rtol=2.0**-7, atol=1e-4)


def test_a_repeated_gradient_of_a_bfloat16_cut(halved):
    for party in PARTIES:
        halved.deliver(party, halved.share(party, 0))
    halved.deliver("b", gradient(0, dtype="bfloat16"))
    bias = halved.stack.bias.copy()
    answers = halved.sent("b")
    halved.deliver("b", gradient(0, dtype="bfloat16"))
    assert halved.sent("b") == answers
    assert np.array_equal(halved.stack.bias, bias)
    other = gradient(0, dh(0) * 1.01, dtype="bfloat16")
    refused(halved, "b", other, StepError, "'b' repeated a step with other bytes")


@pytest.mark.parametrize(
    ("array", "dtype", "sentence"),
    [
        (None, None, "the head gradient of 'b' in step 0 has dtype float32, wanted bfloat16"),
        (np.full((BATCH, WIDTH), np.nan, np.float32), "bfloat16", "NaN or infinity"),
        (np.full((BATCH, WIDTH), 3.4e38, np.float32), "bfloat16", "NaN or infinity"),
        (np.zeros((BATCH, WIDTH + 1), np.float32), "bfloat16", "has shape"),
    ],
    ids=["float32", "NaN", "beyond bfloat16", "shape"],
)
def test_another_gradient_than_a_bfloat16_cut_takes(halved, array, dtype, sentence):
    for party in PARTIES:
        halved.deliver(party, halved.share(party, 0))
    halved.kinds()
    refused(halved, "b", gradient(0, array, dtype=dtype), WireError, sentence)
    assert not halved.stack.bias.any()


def test_a_bfloat16_gradient_is_refused_where_the_plan_says_float32(training):
    shares_of_all(training)
    frame = gradient(0, dtype="bfloat16")
    refused(training, "b", frame, WireError, "has dtype bfloat16, wanted float32")


# --- where the time goes ----------------------------------------------------------------------------------------------


def test_a_pass_is_described_by_its_own_time(training, monkeypatch):
    """Every phase of a training step has its name; what passes between two passes belongs to none."""
    now = [0.0]
    monkeypatch.setattr("kernel.phases.time.perf_counter", lambda: now[0])
    training.session.phases.start()

    def slowly(call, seconds):
        def called(*arguments, **named):
            now[0] += seconds
            return call(*arguments, **named)

        return called

    training.stack.forward = slowly(training.stack.forward, 2.0)
    training.stack.backward = slowly(training.stack.backward, 3.0)
    for step in range(3):
        for party in PARTIES:
            now[0] += 0.25
            training.deliver(party, training.share(party, step))
        training.deliver("b", gradient(step))
    assert training.session.describe_pass() == {
        "wait for frames": 3 * 3 * 0.25,
        "check and add shares": 0.0,
        "forward": 3 * 2.0,
        "check head gradient": 0.0,
        "backward": 3 * 3.0,
        "send": 0.0,
    }
    assert training.session.describe_pass() == {}
    now[0] += 1000.0  # a barrier, say
    training.session.open_pass(EPOCH + 1, TRAIN, ROWS, BATCH)
    now[0] += 0.5
    ones = encode_ring(np.ones((BATCH, WIDTH), np.uint32), RING.fractional_bits)
    training.deliver("a", frame_of("a", 0, share=ones, epoch=EPOCH + 1))
    assert training.session.describe_pass() == {"wait for frames": 0.5, "send": 0.0}


def test_in_a_frozen_pass_nobody_is_sent_the_gradient(federation):
    """The layers above learn as ever; everybody hears that the step is done, and a repeat hears it again."""
    federation.session.open_pass(EPOCH, TRAIN, ROWS, BATCH, frozen=True)
    for outbox in federation.outboxes.values():
        frames(outbox)
    federation.train_step(0)
    assert np.abs(federation.stack.bias).max() > 0
    federation.deliver("a", federation.share("a", 0))
    kinds = {party: [one.message.WhichOneof("kind") for one in frames(federation.outboxes[party])] for party in PARTIES}
    assert kinds == {"a": ["step_done", "step_done"], "b": ["cut_activation", "step_done"], "c": ["step_done"]}
