"""A live neutral server of a privGAN run over mutual TLS, frame by frame: who may steer it, who may join, what fails for all.

The server is the real one (listener, services, run table, sessions, nets, barriers on disk); parties are hand-made streams.
"""

from contextlib import ExitStack, contextmanager

import numpy as np
import pytest

from coordinator.certificate_authority import CertificateAuthority
from coordinator.clients import StackClient
from coordinator.settings import ServerAddress
from kernel.errors import BadInputError, PeerError, TertiumError
from kernel.wire.channel import dial
from kernel.wire.codec import decode_tensor, encode_tensor
from kernel.wire.identity import Identity, Peer
from kernel.wire.meter import LinkMeter, MeteredChannel
from kernel.wire.relay import RelayDesk
from kernel.wire.server import Listener
from kernel.wire.stream import DuplexStream
from kernel.wire.tensor_frame import TensorFrame
from neutral_server.runs import RunTable
from neutral_server.service import GanTrainingService, SplitTrainingService, StackControlService
from protos.v1 import (
    common_pb2,
    gan_training_pb2,
    gan_training_pb2_grpc,
    plan_pb2,
    split_training_pb2,
    split_training_pb2_grpc,
    stack_control_pb2,
    stack_control_pb2_grpc,
)

SERVER, RUN, SECONDS = "neutral-server", "trial", 30.0
PARTIES, SHAPE = ("ann", "bob"), (2, 3, 4)  # models, batch rows, columns
STEPS = 2
FAKES, UPDATES = plan_pb2.SHARING_MODE_FAKES, plan_pb2.SHARING_MODE_UPDATES


class LiveServer:
    """``control`` is the coordinator's line to it; each ``begin`` opens a generation of ann and bob."""

    def __init__(self, address, control, identity, missing):
        self.address, self.control, self.identity, self.missing = address, control, identity, missing
        self.identities = {name: identity("party", name) for name in (*PARTIES, "eve")}
        self.generation = 0

    def prepare(self, mode=FAKES, **changes):
        self.generation += 1
        fields = {
            "run": RUN,
            "generation": self.generation,
            "plan_hash": bytes(32),
            "parties": PARTIES,
            "kind": plan_pb2.GAN_NET_KIND_DENSE,
            "shared": plan_pb2.SharedDiscriminatorPlan(
                mode=mode,
                weight=1.0,
                widths=[5],
                steps_per_round=1,
                ring=plan_pb2.RingPlan(ring_bits=32, fractional_bits=24),
            ),
            "learning_rate": 0.01,
            "beta_1": 0.5,
            "batch_rows": SHAPE[1],
            "seed": 3,
        } | changes
        return self.control.prepare_shared(stack_control_pb2.PrepareSharedRequest(**fields))

    def begin(self, mode=FAKES, barrier=0, **changes):
        """A new generation; returns the barriers held."""
        held = self.prepare(mode)
        groups = [stack_control_pb2.SharedGroup(models=SHAPE[0], steps=[STEPS, STEPS])]
        fields = {"barrier": barrier, "columns": SHAPE[2], "groups": groups} | changes
        self.control.begin_shared(stack_control_pb2.BeginSharedRequest(run=RUN, generation=self.generation, **fields))
        return held

    def open_epoch(self, epoch=1):
        self.control.open_shared_epoch(
            stack_control_pb2.OpenSharedEpochRequest(run=RUN, generation=self.generation, epoch=epoch)
        )

    def hold(self, barrier):
        return self.control.hold(
            stack_control_pb2.HoldStackBarrierRequest(run=RUN, generation=self.generation, barrier=barrier)
        )


@contextmanager
def live_server(directory, wait_seconds):
    authority = CertificateAuthority.create()

    def identity(role, name):
        issued = authority.issue(Peer(role, name))
        return Identity.from_pem(issued.certificate_pem, issued.key_pem, authority.certificate_pem)

    missing = []

    def require_tensorflow(what):
        if missing:
            raise BadInputError(f"{what} needs TensorFlow")

    def no_stack(spec):
        raise AssertionError("a run of GANs has no stack")

    runs = RunTable(SERVER, directory, no_stack, require_tensorflow, wait_seconds)
    services = (
        (gan_training_pb2_grpc.add_GanTrainingServicer_to_server, GanTrainingService(runs)),
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
    try:
        yield LiveServer(address, control, identity, missing)
    finally:
        control.close()
        runs.stop()
        listener.stop(0.1)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with live_server(tmp_path_factory.mktemp("state"), wait_seconds=60) as made:
        yield made


@pytest.fixture
def connect(server):
    """``connect(name)``: that party's channel to the server."""
    with ExitStack() as undo:

        def connected(name):
            channel = undo.enter_context(dial(server.address, server.identities[name], SERVER))
            return MeteredChannel(channel, name, SERVER, LinkMeter())

        yield connected


@pytest.fixture
def join(server, connect):
    """``join(name, **header)``: the party's stream, its first frame sent; closed at the end."""
    with ExitStack() as undo:

        def joined(name, **header):
            stream = DuplexStream(gan_training_pb2_grpc.GanTrainingStub(connect(name)).Share, "the neutral server")
            undo.callback(stream.close)
            stream.send(frame(server, name, join=gan_training_pb2.JoinGan(), **header))
            return stream

        yield joined


@pytest.fixture
def streams(server, join):
    """ann and bob in a fresh generation of mode fakes, epoch 1 open."""
    server.begin()
    server.open_epoch()
    found = {name: join(name) for name in PARTIES}
    for stream in found.values():
        assert stream.receive(SECONDS).message.WhichOneof("kind") == "joined"
    return found


def frame(server, party, fakes=None, **fields):
    """A frame of ``party`` as it should be, but for what ``fields`` say of its header."""
    header = {
        "run": RUN,
        "generation": server.generation,
        "epoch": 1,
        "step": 0,
        "purpose": common_pb2.PURPOSE_TRAIN,
        "sender": party,
    }
    given = {name: fields.pop(name) for name in list(fields) if name in header}
    payload = b""
    if fakes is not None:
        fields["fakes"], payload = encode_tensor(fakes)
    message = gan_training_pb2.GanPartyFrame(header=common_pb2.StepHeader(**(header | given)), **fields)
    return TensorFrame(message, payload)


def fakes_of(party, step, epoch=1):
    generator = np.random.default_rng([PARTIES.index(party), step, epoch])
    return generator.uniform(-1, 1, SHAPE).astype(np.float32)


def trained_epoch(server, streams, epoch=1):
    """Each party's gradients, as bytes."""
    found = {name: [] for name in PARTIES}
    for step in range(STEPS):
        for name, stream in streams.items():
            stream.send(frame(server, name, fakes_of(name, step, epoch), step=step, epoch=epoch))
        for name, stream in streams.items():
            answer = stream.receive(SECONDS)
            decode_tensor(answer.message.origin_gradient, answer.payload, dtype="float32", shape=SHAPE, what="gradient")
            found[name].append(bytes(answer.payload))
    return found


def failure(stream):
    with pytest.raises(PeerError) as caught:
        stream.receive(SECONDS)
    return str(caught.value)


def test_a_resumed_run_is_answered_with_the_same_bytes(server, streams, join):
    """Epochs 1 and 2; then epoch 2 again, in another generation from the barrier between them."""
    trained_epoch(server, streams)
    server.hold(1)
    server.open_epoch(2)
    wanted = trained_epoch(server, streams, epoch=2)
    assert 1 in server.begin(barrier=1)
    again = {name: join(name) for name in PARTIES}
    for stream in again.values():
        assert stream.receive(SECONDS).message.WhichOneof("kind") == "joined"
    server.open_epoch(2)
    assert trained_epoch(server, again, epoch=2) == wanted
    with pytest.raises(BadInputError, match="barrier 7 is not held here"):
        server.begin(barrier=7)


def test_where_the_time_went_and_what_the_losses_are(server, streams):
    trained_epoch(server, streams)
    described = server.control.describe_pass(RUN, server.generation)
    assert {one.phase for one in described.phases} == {"wait for frames", "check fakes", "shared discriminator", "send"}
    found = {(one.net, one.group, one.model): one.loss for one in described.losses}
    assert set(found) == {(net, 0, model) for net in ("shared_discriminator", "origin") for model in (0, 1)}
    assert all(loss == pytest.approx(np.log(2), rel=0.2) for loss in found.values())


def test_who_joins_a_run_of_updates_is_sent_the_weights(server, join):
    server.begin(UPDATES)
    stream = join("ann")
    kinds = [stream.receive(SECONDS).message.WhichOneof("kind") for _ in range(2)]
    assert kinds == ["joined", "shared_weights"]


WRONG = {
    "not due": ({"step": 1}, "'ann' sent step 1 of group 0; due from it is step 0 of group 0"),
    "another group": ({"group": 1}, "'ann' sent step 0 of group 1"),
    "another generation": ({"generation": 1}, "sent a frame for run 'trial' generation 1; this stream"),
    "anothers name": ({"sender": "bob"}, "a frame on the stream of 'ann' claims to be from 'bob'"),
    "NaN": (
        {"fakes": np.full(SHAPE, np.nan, np.float32)},
        "the fakes of 'ann' in step 0 of group 0 holds NaN or infinity",
    ),
    "a shape": ({"fakes": np.zeros((2, 3, 5), np.float32)}, "has shape [2, 3, 5], wanted [2, 3, 4]"),
    "a second join": ({"fakes": None, "join": gan_training_pb2.JoinGan()}, "'ann' sent join in the middle of an epoch"),
}


@pytest.mark.parametrize(("changes", "sentence"), WRONG.values(), ids=WRONG)
def test_a_wrong_frame_fails_the_generation_for_all(changes, sentence, server, streams):
    streams["ann"].send(frame(server, "ann", **({"fakes": fakes_of("ann", 0)} | changes)))
    for stream in streams.values():
        assert sentence in failure(stream)


def test_a_party_that_gives_up_is_told_of_with_whom_it_waited_for(server, streams):
    streams["ann"].send(frame(server, "ann", fakes_of("ann", 0)))
    assert streams["ann"].poll(0.2) is None
    streams["ann"].close()
    assert "'ann' left the run at epoch 1, which waits for 'bob' in step 0 of group 0" in failure(streams["bob"])


@pytest.mark.parametrize(
    ("name", "header", "sentence"),
    [
        ("eve", {}, "'eve' takes no part in run trial; its parties are ann, bob"),
        ("eve", {"sender": "ann"}, "the first frame of 'eve' must be a join in its own name"),
        ("ann", {}, "'ann' already holds a stream of run trial"),
        ("ann", {"generation": 1}, "run 'trial' generation 1 is not live at the neutral server"),
    ],
)
def test_who_has_no_business_does_not_join_and_disturbs_nobody(name, header, sentence, server, join, streams):
    assert sentence in failure(join(name, **header))
    trained_epoch(server, streams)


def test_the_streams_of_the_two_jobs_are_not_mixed_up(server, connect, streams):
    stream = DuplexStream(split_training_pb2_grpc.SplitTrainingStub(connect("ann")).Train, "the neutral server")
    header = common_pb2.StepHeader(run=RUN, generation=server.generation, sender="ann")
    stream.send(TensorFrame(split_training_pb2.PartyFrame(header=header, join=split_training_pb2.JoinTraining())))
    assert "run 'trial' has a shared discriminator at the neutral server and no stack" in failure(stream)
    stream.close()
    for call in (
        lambda: server.control.begin(stack_control_pb2.BeginStackRequest(run=RUN, generation=server.generation)),
        lambda: server.control.open_pass(stack_control_pb2.OpenPassRequest(run=RUN, generation=server.generation)),
    ):
        with pytest.raises(PeerError, match="has a shared discriminator at the neutral server and no stack"):
            call()
    trained_epoch(server, streams)


def test_only_the_coordinator_steers(server, connect):
    stub = stack_control_pb2_grpc.StackControlStub(connect("ann"))
    for method, request in (
        (stub.PrepareShared, stack_control_pb2.PrepareSharedRequest(run=RUN, generation=10**9)),
        (stub.BeginShared, stack_control_pb2.BeginSharedRequest(run=RUN, generation=server.generation)),
        (stub.OpenSharedEpoch, stack_control_pb2.OpenSharedEpochRequest(run=RUN, generation=server.generation)),
    ):
        with pytest.raises(Exception, match="'ann' calls as party; this call is for coordinator"):
            method(request, timeout=SECONDS)
    server.begin()  # generation 10^9 was not noted


REFUSED = {
    "one party": ({"parties": ["ann"]}, "a privGAN run needs two parties or more, none twice"),
    "a party twice": ({"parties": ["ann", "ann"]}, "none twice"),
    "no batch": ({"batch_rows": 0}, "batches of 1 to 1000000 rows; found .* and 0"),
    "learning rate": ({"learning_rate": 0.0}, "learning_rate must be above 0"),
    "lambda": ({"shared": plan_pb2.SharedDiscriminatorPlan(mode=FAKES, weight=-1.0)}, "lambda is -1"),
    "kind": ({"kind": plan_pb2.GAN_NET_KIND_UNSPECIFIED}, "a kind of nets that does not exist"),
    "a name": ({"run": "../x"}, "a run id is 1 to 80 letters"),
}


@pytest.mark.parametrize(("changes", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_trained_is_not_prepared(changes, sentence, server):
    with pytest.raises(TertiumError, match=sentence):
        server.prepare(**changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"columns": 0}, "rows of 0 columns"),
        ({"image_height": 2, "image_width": 3}, "rows of 4 columns that are images of 2 x 3 pixels do not exist"),
        ({"groups": [stack_control_pb2.SharedGroup(models=0, steps=[1, 1])]}, "a group of 0 models"),
        (
            {"groups": [stack_control_pb2.SharedGroup(models=1, steps=[1])]},
            r"steps \[1\] cannot be trained by 2 parties",
        ),
        ({"groups": [stack_control_pb2.SharedGroup(models=1, steps=[0, 0])]}, r"steps \[0, 0\]"),
    ],
)
def test_what_does_not_fit_is_not_begun(changes, sentence, server):
    with pytest.raises(BadInputError, match=sentence):
        server.begin(**changes)


def test_a_server_without_tensorflow_refuses_with_a_sentence(server):
    server.missing.append("tensorflow")
    with pytest.raises(BadInputError, match="a shared discriminator needs TensorFlow"):
        server.prepare()
    server.missing.clear()
    server.begin()


def test_a_silent_party_that_stays_connected_is_named_to_all(tmp_path):
    with live_server(tmp_path, wait_seconds=1.0) as server, ExitStack() as undo:
        server.begin()
        server.open_epoch()
        streams = {}
        for name in PARTIES:
            channel = undo.enter_context(dial(server.address, server.identities[name], SERVER))
            metered = MeteredChannel(channel, name, SERVER, LinkMeter())
            streams[name] = DuplexStream(gan_training_pb2_grpc.GanTrainingStub(metered).Share, "the neutral server")
            undo.callback(streams[name].close)
            streams[name].send(frame(server, name, join=gan_training_pb2.JoinGan()))
            streams[name].receive(SECONDS)
        streams["ann"].send(frame(server, "ann", fakes_of("ann", 0)))
        for stream in streams.values():
            with pytest.raises(
                PeerError, match="'bob' sent nothing for 1 s at epoch 1, which waits for 'bob' in step 0"
            ):
                stream.receive(SECONDS)
