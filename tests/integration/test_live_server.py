"""A live neutral server over mutual TLS, and parties that misbehave: the frame is refused by what is wrong with it.

The server is the real one (listener, services, run table, sessions, barriers on disk) with a hidden stack of four lines
in place of TensorFlow's. Whatever fails a generation, everybody in it is told, and the next one starts from the barrier.
"""

from collections.abc import Callable
from dataclasses import dataclass

import grpc
import numpy as np
import pytest

from coordinator.certificate_authority import CertificateAuthority
from coordinator.clients import StackClient
from coordinator.settings import ServerAddress
from kernel.errors import PeerError
from kernel.wire.channel import dial
from kernel.wire.codec import decode_tensor, encode_ring, encode_tensor
from kernel.wire.failures import error_of_rpc
from kernel.wire.identity import Identity, Peer
from kernel.wire.meter import LinkMeter, MeteredChannel
from kernel.wire.relay import RelayDesk
from kernel.wire.server import Listener
from kernel.wire.stream import DuplexStream
from kernel.wire.tensor_frame import TensorFrame, pack_frame
from neutral_server.runs import RunTable
from neutral_server.service import SplitTrainingService, StackControlService
from protos.v1 import (
    common_pb2,
    plan_pb2,
    split_training_pb2,
    split_training_pb2_grpc,
    stack_control_pb2,
    stack_control_pb2_grpc,
)

SERVER, RUN, SECONDS = "neutral-server", "trial", 10.0
ROWS, WIDTH, SCALE_BITS = 3, 2, 16
TRAIN, EVALUATE = common_pb2.PURPOSE_TRAIN, common_pb2.PURPOSE_EVALUATE


class BiasStack:
    """h = z1 + bias and dL/dz1 = dL/dh; the bias moves by the mean gradient."""

    def __init__(self):
        self.bias = np.zeros(WIDTH, np.float32)

    def warm_up(self, steps, *, scale_bits, ring_bits, defended):
        pass

    def predict(self, words, scale_bits, ring_bits):
        return (words.view("<i4") * 2.0**-scale_bits).astype(np.float32) + self.bias

    def forward(self, words, scale_bits, ring_bits, *, piece):
        return self.predict(words, scale_bits, ring_bits)

    def backward(self, dh, *, piece, last, h1_gradient):
        self.bias -= dh.mean(axis=0)
        return dh

    def state(self):
        return {"bias": self.bias}

    def load(self, state):
        self.bias[...] = state["bias"]


@dataclass
class LiveServer:
    """``control`` is the coordinator's line to it; each `generation` opens a run of ann and bob, who holds the label."""

    address: str
    control: StackClient
    identities: dict[str, Identity]
    identity: Callable[[str, str], Identity]
    last_generation: int = 0

    def prepare(self, generation, cut_dtype=common_pb2.D_TYPE_FLOAT32):
        network = plan_pb2.NetworkPlan(
            widths=[WIDTH],
            activations=["identity"],
            loss="binary",
            outputs=1,
            optimizer=plan_pb2.OptimizerPlan(name="sgd", learning_rate=0.1),
        )
        request = stack_control_pb2.PrepareStackRequest(
            run=RUN,
            generation=generation,
            plan_hash=bytes(32),
            network=network,
            ring=plan_pb2.RingPlan(ring_bits=32, fractional_bits=SCALE_BITS),
            scale_bits=SCALE_BITS,
            parties=["ann", "bob"],
            label_holder="bob",
            cut_dtype=cut_dtype,
            micro_batches=1,
        )
        return self.control.prepare(request)

    def begin(self, barrier=0, cut_dtype=common_pb2.D_TYPE_FLOAT32):
        """A new generation; returns the barriers held."""
        self.last_generation += 1
        held = self.prepare(self.last_generation, cut_dtype)
        self.control.begin(
            stack_control_pb2.BeginStackRequest(
                run=RUN, generation=self.last_generation, barrier=barrier, batch_sizes=[ROWS]
            )
        )
        return held

    def hold(self, barrier):
        request = stack_control_pb2.HoldStackBarrierRequest(run=RUN, generation=self.last_generation, barrier=barrier)
        return self.control.hold(request)

    def open_pass(self, epoch=1, purpose=TRAIN, steps=1):
        self.control.open_pass(
            stack_control_pb2.OpenPassRequest(
                run=RUN,
                generation=self.last_generation,
                epoch=epoch,
                purpose=purpose,
                rows=ROWS * steps,
                batch_rows=ROWS,
            )
        )

    def close_run(self):
        self.control.close_run(RUN, self.last_generation, "")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    authority = CertificateAuthority.create()

    def identity(role, name):
        issued = authority.issue(Peer(role, name))
        return Identity.from_pem(issued.certificate_pem, issued.key_pem, authority.certificate_pem)

    runs = RunTable(
        SERVER, tmp_path_factory.mktemp("state"), lambda spec: BiasStack(), lambda what: None, wait_seconds=60
    )
    services = (
        (split_training_pb2_grpc.add_SplitTrainingServicer_to_server, SplitTrainingService(runs)),
        (
            stack_control_pb2_grpc.add_StackControlServicer_to_server,
            StackControlService(SERVER, runs, RelayDesk(runs.members)),
        ),
    )
    listener = Listener("127.0.0.1:0", identity("neutral-server", SERVER), services)
    listener.start()
    address = f"127.0.0.1:{listener.port}"
    control = StackClient(ServerAddress(address=address), identity("coordinator", "coordinator"))
    parties = {name: identity("party", name) for name in ("ann", "bob", "eve")}
    try:
        live = LiveServer(address, control, parties, identity)
        live.begin()
        live.hold(0)
        yield live
    finally:
        control.close()
        runs.stop()
        listener.stop(0.1)


@pytest.fixture
def connect(server):
    """``connect(name)``: a SplitTraining stub with that party's certificate."""
    channels = []

    def connected(name):
        channel = dial(server.address, server.identities[name], SERVER)
        channels.append(MeteredChannel(channel, name, SERVER, LinkMeter()))
        return split_training_pb2_grpc.SplitTrainingStub(channels[-1])

    yield connected
    for channel in channels:
        channel.close()


@pytest.fixture
def join(server, connect):
    """``join(name, **header)``: the party's stream, joined; closed at the end."""
    streams = []

    def joined(name, **header):
        stream = DuplexStream(connect(name).Train, "the neutral server")
        streams.append(stream)
        stream.send(frame(server, name, join=split_training_pb2.JoinTraining(), **header))
        assert stream.receive(SECONDS).message.WhichOneof("kind") == "joined"
        return stream

    yield joined
    for stream in streams:
        stream.close()


@pytest.fixture
def streams(server, join):
    """ann and bob in a fresh generation, a pass of two training steps open."""
    server.begin()
    server.open_pass(steps=2)
    return {name: join(name) for name in ("ann", "bob")}


def frame(server, party, **fields):
    """A frame of ``party`` as it should be, but for what ``fields`` say of its header; a tensor is (message, payload)."""
    header = {
        "run": RUN,
        "generation": server.last_generation,
        "epoch": 1,
        "step": 0,
        "purpose": TRAIN,
        "sender": party,
    }
    given = {name: fields.pop(name) for name in list(fields) if name in header}
    payload = b""
    for kind in {"share", "head_gradient"} & fields.keys():
        fields[kind], payload = fields[kind]
    message = split_training_pb2.PartyFrame(header=common_pb2.StepHeader(**{**header, **given}), **fields)
    return TensorFrame(message, payload)


WORDS = np.arange(ROWS * WIDTH, dtype=np.uint32).reshape(ROWS, WIDTH) << 16
SHARE = encode_ring(WORDS, SCALE_BITS)
GRADIENT = encode_tensor(np.ones((ROWS, WIDTH), np.float32))


def share_with(shape=None, payload=None):
    """SHARE with another shape or other bytes behind it."""
    message, own = SHARE
    changed = common_pb2.RingTensor.FromString(message.SerializeToString())
    if shape is not None:
        del changed.shape[:]
        changed.shape.extend(shape)
    return changed, own if payload is None else payload


WRONG_SHARES = {
    "another ring": (
        {"share": encode_ring(WORDS.astype(np.uint64), SCALE_BITS)},
        "the share of 'ann' in step 0 is in a ring of 64 bits, the plan says 32",
    ),
    "other fractional bits": ({"share": encode_ring(WORDS, 20)}, "has 20 fractional bits, the plan says 16"),
    "a row too few": ({"share": encode_ring(WORDS[1:], SCALE_BITS)}, "has shape [2, 2], wanted [3, 2]"),
    "turned": ({"share": share_with(shape=[WIDTH, ROWS])}, "has shape [2, 3], wanted [3, 2]"),
    "too short": ({"share": share_with(payload=SHARE[1][:-4])}, "carries 20 bytes, its shape needs 24"),
    "too long": ({"share": share_with(payload=bytes(SHARE[1]) * 2)}, "carries 48 bytes, its shape needs 24"),
    "of no bytes": ({"share": share_with(payload=b"")}, "carries 0 bytes, its shape needs 24"),
    "of no shape": ({"share": share_with(shape=[])}, "has shape [], wanted [3, 2]"),
    "of a shape that wraps": ({"share": share_with(shape=[2**63, 2, 2])}, "has a dimension of 2^31 or more"),
    "of many dimensions": ({"share": share_with(shape=[1] * 9)}, "has rank 9, at most 4 is accepted"),
    "of another run": ({"share": SHARE, "run": "other"}, "sent a frame for run 'other' generation"),
    "of an old generation": (
        {"share": SHARE, "generation": 1},
        "sent a frame for run 'trial' generation 1; this stream",
    ),
    "of another epoch": ({"share": SHARE, "epoch": 2}, "sent epoch 2 purpose 2; open is epoch 1 training"),
    "of another purpose": ({"share": SHARE, "purpose": EVALUATE}, "sent epoch 1 purpose 3; open is epoch 1 training"),
    "of a step to come": ({"share": SHARE, "step": 1}, "'ann' sent step 1; due is step 0 of 2"),
    "of a step beyond the pass": ({"share": SHARE, "step": 7}, "'ann' sent step 7; due is step 0 of 2"),
    "in anothers name": ({"share": SHARE, "sender": "bob"}, "a frame on the stream of 'ann' claims to be from 'bob'"),
    "a gradient instead": ({"head_gradient": GRADIENT}, "the label holder is 'bob'"),
    "nothing": ({}, "'ann' sent an empty frame in the middle of a pass"),
}


@pytest.mark.parametrize(("fields", "sentence"), WRONG_SHARES.values(), ids=WRONG_SHARES)
def test_a_wrong_frame_fails_the_generation_for_all_and_the_barrier_stands(fields, sentence, server, streams):
    streams["ann"].send(frame(server, "ann", **dict(fields)))
    for stream in streams.values():
        with pytest.raises(PeerError) as caught:
            stream.receive(SECONDS)
        assert sentence in str(caught.value)
        assert caught.value.exit_code == 3
    assert server.begin() == [0]


def test_the_right_frames_train(server, streams):
    """The control: what the wrong ones are made from."""
    for step in range(2):
        for party in ("ann", "bob"):
            streams[party].send(frame(server, party, step=step, share=SHARE))
        answer = streams["bob"].receive(SECONDS)
        h = decode_tensor(answer.message.cut_activation, answer.payload, dtype="float32", shape=(ROWS, WIDTH), what="h")
        assert (h == 2 * np.arange(ROWS * WIDTH).reshape(ROWS, WIDTH) - step).all()  # the bias moved by -1
        streams["bob"].send(frame(server, "bob", step=step, head_gradient=GRADIENT))
        for stream in streams.values():
            answer = stream.receive(SECONDS)
            assert (answer.message.cut_gradient, answer.payload) == GRADIENT
    server.close_run()


def test_a_repeated_frame_gets_the_same_answer_and_no_second_step(server, streams):
    streams["ann"].send(frame(server, "ann", share=SHARE))
    streams["bob"].send(frame(server, "bob", share=SHARE))
    first = streams["bob"].receive(SECONDS)
    streams["bob"].send(frame(server, "bob", share=SHARE))
    assert streams["bob"].receive(SECONDS) == first


def test_a_repeat_with_other_bytes_fails(server, streams):
    streams["ann"].send(frame(server, "ann", share=SHARE))
    streams["ann"].send(frame(server, "ann", share=encode_ring(WORDS + np.uint32(1), SCALE_BITS)))
    with pytest.raises(PeerError, match="'ann' repeated a step with other bytes; the run stops"):
        streams["bob"].receive(SECONDS)


@pytest.mark.parametrize(
    ("gradient", "sentence"),
    [
        (np.full((ROWS, WIDTH), np.nan, np.float32), "holds NaN or infinity; the run diverged at its sender"),
        (np.full((ROWS, WIDTH), -np.inf, np.float32), "holds NaN or infinity"),
        (np.ones((ROWS, WIDTH)), "has dtype float64, wanted float32"),
        (np.ones((ROWS, WIDTH + 1), np.float32), "has shape [3, 3], wanted [3, 2]"),
    ],
    ids=["NaN", "infinity", "dtype", "shape"],
)
def test_a_wrong_gradient(gradient, sentence, server, streams):
    for party in ("ann", "bob"):
        streams[party].send(frame(server, party, share=SHARE))
    streams["bob"].receive(SECONDS)
    streams["bob"].send(frame(server, "bob", head_gradient=encode_tensor(gradient)))
    with pytest.raises(PeerError) as caught:
        streams["ann"].receive(SECONDS)
    assert "the head gradient of 'bob' in step 0" in str(caught.value)
    assert sentence in str(caught.value)


def test_a_gradient_before_its_activation(server, streams):
    streams["bob"].send(frame(server, "bob", head_gradient=GRADIENT))
    with pytest.raises(PeerError, match="'bob' sent a gradient for step 0 before its activation was given"):
        streams["ann"].receive(SECONDS)


def test_a_tensor_before_a_pass(server, join):
    server.begin()
    ann, bob = join("ann"), join("bob")
    ann.send(frame(server, "ann", share=SHARE))
    for stream in (ann, bob):
        with pytest.raises(PeerError, match="'ann' sent a tensor before a pass was opened"):
            stream.receive(SECONDS)


# --- bfloat16 at the cut ----------------------------------------------------------------------------------------------


def test_a_step_with_a_bfloat16_cut(server, join):
    """Values of 8 significant bits come back exactly, in half the bytes; others rounded (test_bfloat16.py)."""
    server.begin(cut_dtype=common_pb2.D_TYPE_BFLOAT16)
    server.open_pass()
    streams = {name: join(name) for name in ("ann", "bob")}
    for party in ("ann", "bob"):
        streams[party].send(frame(server, party, share=SHARE))
    answer = streams["bob"].receive(SECONDS)
    assert len(answer.payload) == 2 * ROWS * WIDTH
    h = decode_tensor(answer.message.cut_activation, answer.payload, dtype="bfloat16", shape=(ROWS, WIDTH), what="h")
    assert (h == 2 * np.arange(ROWS * WIDTH).reshape(ROWS, WIDTH)).all()
    gradient = encode_tensor(np.full((ROWS, WIDTH), 1.5, np.float32), dtype="bfloat16")
    streams["bob"].send(frame(server, "bob", head_gradient=gradient))
    for stream in streams.values():
        answer = stream.receive(SECONDS)
        assert (answer.message.cut_gradient, answer.payload) == gradient
    server.close_run()


def test_the_server_refuses_a_gradient_in_the_other_type(server, join):
    server.begin(cut_dtype=common_pb2.D_TYPE_BFLOAT16)
    server.open_pass()
    streams = {name: join(name) for name in ("ann", "bob")}
    for party in ("ann", "bob"):
        streams[party].send(frame(server, party, share=SHARE))
    streams["bob"].receive(SECONDS)
    streams["bob"].send(frame(server, "bob", head_gradient=GRADIENT))
    with pytest.raises(PeerError, match="in step 0 has dtype float32, wanted bfloat16"):
        streams["ann"].receive(SECONDS)


@pytest.mark.parametrize("cut_dtype", [common_pb2.D_TYPE_UNSPECIFIED, common_pb2.D_TYPE_FLOAT64])
def test_no_other_type_is_prepared(cut_dtype, server):
    server.last_generation += 1
    with pytest.raises(PeerError, match="at the cut; float32 and bfloat16 travel there"):
        server.prepare(server.last_generation, cut_dtype)
    assert server.begin() == [0]


# --- bytes that are no frame ------------------------------------------------------------------------------------------


def test_bytes_that_are_no_frame_fail_the_generation_with_a_sentence(server, join):
    """From a party that joined: the others are told what was wrong, not only that it left."""
    server.begin()
    server.open_pass()
    bob = join("bob")
    packed = [pack_frame(frame(server, "ann", join=split_training_pb2.JoinTraining())), b"\xff\xff"]
    with dial(server.address, server.identities["ann"], SERVER) as channel:
        call = channel.stream_stream("/tertium.v1.SplitTraining/Train")
        with pytest.raises(grpc.RpcError) as caught:
            list(call(iter(packed), timeout=SECONDS))
    for error in (error_of_rpc(caught.value, SERVER), failure_of_stream(bob)):
        assert isinstance(error, PeerError)
        assert "a frame of 2 bytes is shorter than its message; run one version everywhere" in str(error)
    assert server.begin() == [0]


def failure_of_stream(stream):
    with pytest.raises(PeerError) as caught:
        stream.receive(SECONDS)
    return caught.value


# --- where the time goes ----------------------------------------------------------------------------------------------


def test_the_coordinator_is_told_where_the_servers_time_went(server, streams):
    for party in ("ann", "bob"):
        streams[party].send(frame(server, party, share=SHARE))
    streams["bob"].receive(SECONDS)
    streams["bob"].send(frame(server, "bob", head_gradient=GRADIENT))
    for stream in streams.values():
        stream.receive(SECONDS)
    described = server.control.describe_pass(RUN, server.last_generation)
    phases = {one.phase: one.seconds for one in described.phases}
    assert {"check and add shares", "forward", "check head gradient", "backward"} <= set(phases)
    assert all(seconds >= 0 for seconds in phases.values())
    assert sum(phases.values()) > 0
    assert not described.losses
    for generation in (server.last_generation - 1, server.last_generation + 1):
        with pytest.raises(PeerError, match=f"generation {generation} is not live at the neutral server"):
            server.control.describe_pass(RUN, generation)


@pytest.mark.parametrize(
    ("name", "role"), [("ann", "party"), ("eve", "party"), ("operator", "operator"), (SERVER, "neutral-server")]
)
def test_nobody_else_is(name, role, server, streams):
    """Seconds per phase say how busy the parties keep the server."""
    assert streams
    with dial(server.address, server.identity(role, name), SERVER) as channel:
        stub = stack_control_pb2_grpc.StackControlStub(channel)
        request = stack_control_pb2.DescribePassRequest(run=RUN, generation=server.last_generation)
        with pytest.raises(grpc.RpcError) as caught:
            stub.DescribePass(request, timeout=SECONDS)
    refusal = error_of_rpc(caught.value, SERVER)
    assert (str(refusal), refusal.exit_code) == (f"{name!r} calls as {role}; this call is for coordinator", 3)


# --- joining ----------------------------------------------------------------------------------------------------------


def refused_join(server, connect, name, **header):
    stream = DuplexStream(connect(name).Train, "the neutral server")
    stream.send(frame(server, name, join=split_training_pb2.JoinTraining(), **header))
    with pytest.raises(PeerError) as caught:
        stream.receive(SECONDS)
    stream.close()
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "header", "sentence"),
    [
        ("eve", {}, "'eve' takes no part in run trial; its parties are ann, bob"),
        ("eve", {"sender": "ann"}, "the first frame of 'eve' must be a join in its own name"),
        ("ann", {"run": "other"}, "run 'other' generation"),
        ("ann", {"generation": 1}, "run 'trial' generation 1 is not live at the neutral server"),
        ("ann", {"generation": 4_000_000}, "run 'trial' generation 4000000 is not live at the neutral server"),
    ],
)
def test_who_has_no_business_does_not_join_and_disturbs_nobody(name, header, sentence, server, connect, streams):
    assert sentence in refused_join(server, connect, name, **header)
    streams["ann"].send(frame(server, "ann", share=SHARE))
    streams["bob"].send(frame(server, "bob", share=SHARE))
    assert streams["bob"].receive(SECONDS).message.WhichOneof("kind") == "cut_activation"


def test_a_party_holds_one_stream(server, connect, streams):
    assert "'ann' already holds a stream of run trial" in refused_join(server, connect, "ann")
    streams["ann"].send(frame(server, "ann", share=SHARE))
    streams["bob"].send(frame(server, "bob", share=SHARE))
    assert streams["bob"].receive(SECONDS).message.WhichOneof("kind") == "cut_activation"


def test_a_party_that_leaves_pauses_the_run_for_the_other(server, streams):
    streams["ann"].close()
    with pytest.raises(PeerError, match="'ann' left the run at step 0; restart it and resume"):
        streams["bob"].receive(SECONDS)


# --- generations and roles --------------------------------------------------------------------------------------------


def test_an_old_generation_is_refused_and_the_live_one_goes_on(server, streams):
    for generation in (server.last_generation, 1):
        with pytest.raises(PeerError, match=f"generation {generation} of run 'trial' is not new here"):
            server.prepare(generation)
    streams["ann"].send(frame(server, "ann", share=SHARE))
    streams["bob"].send(frame(server, "bob", share=SHARE))
    assert streams["bob"].receive(SECONDS).message.WhichOneof("kind") == "cut_activation"


def test_a_new_generation_replaces_the_live_one(server, streams):
    server.begin()
    for stream in streams.values():
        with pytest.raises(PeerError, match="replaced this one"):
            stream.receive(SECONDS)


def test_a_pass_is_not_opened_in_the_middle_of_one(server, streams):
    assert streams
    with pytest.raises(PeerError, match="step 0 of 2 of the pass before is still due"):
        server.open_pass(epoch=2)
    with pytest.raises(PeerError, match="a barrier was asked for at step 0 of 2"):
        server.hold(1)


def test_only_the_coordinator_steers_the_stack(server):
    with dial(server.address, server.identities["ann"], SERVER) as channel:
        stub = stack_control_pb2_grpc.StackControlStub(channel)
        for method, request in (
            (stub.PrepareStack, stack_control_pb2.PrepareStackRequest(run=RUN, generation=10**9)),
            (stub.OpenPass, stack_control_pb2.OpenPassRequest(run=RUN)),
            (stub.DescribePass, stack_control_pb2.DescribePassRequest(run=RUN, generation=server.last_generation)),
            (stub.CloseRun, stack_control_pb2.CloseRunRequest(run=RUN, generation=server.last_generation)),
        ):
            with pytest.raises(Exception, match="'ann' calls as party; this call is for coordinator"):
                method(request, timeout=SECONDS)
    assert server.begin() == [0]  # generation 10^9 was not noted
