"""kernel.wire.server over loopback with mutual TLS: who gets in, and what gets out when a call fails."""

import re
import socket
import threading

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from kernel.errors import BadInputError, FixedPointError, PeerError, PolicyError, StepError, TertiumError
from kernel.wire.channel import dial
from kernel.wire.failures import METADATA_KEY, error_of_rpc
from kernel.wire.meter import GRPC_FRAME_BYTES, LinkMeter, MeteredChannel
from kernel.wire.server import Listener, caller, require
from kernel.wire.tensor_frame import FRAME_LENGTH_BYTES, TensorFrame, pack_frame
from protos.v1 import relay_pb2, relay_pb2_grpc, stack_control_pb2, stack_control_pb2_grpc

SECONDS = 5.0
NAME = "neutral-server"
SECRET = "cell 41.5 of patient 7"


class Control(stack_control_pb2_grpc.StackControlServicer):
    """Describe does what the test puts into ``behave``."""

    behave = staticmethod(lambda context: caller(context).name)

    def Describe(self, request, context):  # noqa: N802
        return stack_control_pb2.DescribeReply(name=self.behave(context))

    def CloseRun(self, request, context):  # noqa: N802
        require(context, "coordinator", "operator")
        return stack_control_pb2.CloseRunReply()


class Relay(relay_pb2_grpc.RelayServicer):
    """Echoes frames and what is behind them; an undeliverable one makes it fail in the middle of the stream."""

    def Exchange(self, request_iterator, context):  # noqa: N802
        for frame in request_iterator:
            if frame.message.WhichOneof("kind") == "undeliverable":
                if frame.message.undeliverable.mailbox == "typed":
                    raise StepError("step 4 came twice")
                raise ValueError(SECRET)
            yield frame


@pytest.fixture(scope="module")
def recorded():
    return []


@pytest.fixture(scope="module")
def listener(make_identity, recorded):
    services = (
        (stack_control_pb2_grpc.add_StackControlServicer_to_server, Control()),
        (relay_pb2_grpc.add_RelayServicer_to_server, Relay()),
    )
    identity = make_identity(NAME, "neutral-server")
    running = Listener("127.0.0.1:0", identity, services, lambda *record: recorded.append(record))
    running.start()
    yield running
    running.stop(0)


@pytest.fixture
def connect(listener):
    """``connect(identity)``: a channel to the listener, closed at the end."""
    channels = []

    def connected(identity, server_name=NAME):
        channels.append(dial(f"127.0.0.1:{listener.port}", identity, server_name))
        return channels[-1]

    yield connected
    for channel in channels:
        channel.close()


@pytest.fixture
def control(connect, make_identity):
    return stack_control_pb2_grpc.StackControlStub(connect(make_identity("bank")))


@pytest.fixture
def exchange(connect, make_identity):
    """The relay's stream as a party dials it: frames are packed and metered on the channel."""
    meter = LinkMeter()
    channel = MeteredChannel(connect(make_identity("bank")), "bank", NAME, meter)

    def exchanged(frames):
        return relay_pb2_grpc.RelayStub(channel).Exchange(iter(frames), timeout=SECONDS)

    exchanged.meter = meter
    return exchanged


@pytest.fixture
def raw(connect, make_identity):
    """``raw(method, messages)``: answers to bytes as a caller packed them, and the error they end with."""

    def called(method, messages, stream=True):
        channel = connect(make_identity("bank") if stream else make_identity("c", "coordinator"))
        if not stream:
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(method)(*messages, timeout=SECONDS)
            return [], error_of_rpc(caught.value, NAME)
        answers = []
        with pytest.raises(grpc.RpcError) as caught:
            answers.extend(channel.stream_stream(method)(iter(messages), timeout=SECONDS))
        return answers, error_of_rpc(caught.value, NAME)

    return called


@pytest.fixture
def behave(monkeypatch):
    return lambda behaviour: monkeypatch.setattr(Control, "behave", staticmethod(behaviour))


def raising(error):
    def behaviour(context):
        raise error

    return behaviour


def describe(stub):
    return stub.Describe(stack_control_pb2.DescribeRequest(), timeout=SECONDS)


def test_the_server_knows_who_calls(control):
    assert describe(control).name == "bank"


def test_a_port_in_use_is_refused_with_a_sentence(listener, make_identity):
    with pytest.raises(BadInputError, match=f"cannot listen on 127.0.0.1:{listener.port}: the port is in use"):
        Listener(f"127.0.0.1:{listener.port}", make_identity(NAME, "neutral-server"), ())


def test_so_is_one_that_another_program_holds(make_identity):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(BadInputError, match="stop the other process or change `listen`"):
            Listener(address, make_identity(NAME, "neutral-server"), ())


def test_an_unforeseen_exception_stays_at_home(control, behave):
    behave(raising(ValueError(SECRET)))
    with capture_logs() as logged, pytest.raises(grpc.RpcError) as caught:
        describe(control)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    incident = re.fullmatch(rf"fault ([0-9a-f]{{8}}) at {NAME}; its log says more", caught.value.details())
    assert incident
    seen_outside = f"{caught.value.details()}{caught.value.debug_error_string()}{caught.value.trailing_metadata()}"
    assert SECRET not in seen_outside
    assert "ValueError" not in seen_outside
    entry = next(line for line in logged if line["event"] == "fault")
    assert entry["incident"] == incident[1]  # the id leads to the traceback here
    assert str(entry["exc_info"]) == SECRET


@pytest.mark.parametrize("kind", [BadInputError, PeerError, PolicyError, TertiumError])
def test_a_tertium_error_arrives_as_the_same_class(kind, control, behave):
    behave(raising(kind("ε is spent: 3.1 of 3.0")))
    with pytest.raises(grpc.RpcError) as caught:
        describe(control)
    error = error_of_rpc(caught.value, NAME)
    assert type(error) is kind
    assert str(error) == "ε is spent: 3.1 of 3.0"
    assert METADATA_KEY in dict(caught.value.trailing_metadata())


def test_a_deeper_class_keeps_its_exit_code(control, behave):
    behave(raising(FixedPointError("needs 17 integer bits")))
    with pytest.raises(grpc.RpcError) as caught:
        describe(control)
    assert error_of_rpc(caught.value, NAME).exit_code == 2


def test_the_server_goes_on_after_a_fault(control, behave):
    behave(raising(RuntimeError("first")))
    with pytest.raises(grpc.RpcError):
        describe(control)
    behave(lambda context: "still here")
    assert describe(control).name == "still here"


def frame(mailbox):
    return TensorFrame(relay_pb2.RelayFrame(undeliverable=relay_pb2.Undeliverable(mailbox=mailbox)))


OPEN = TensorFrame(relay_pb2.RelayFrame(open=relay_pb2.OpenMailbox(mailbox="r")))


@pytest.mark.parametrize(("mailbox", "kind"), [("typed", PeerError), ("untyped", PeerError)])
def test_an_error_in_the_middle_of_a_stream_is_told_after_what_came_before(mailbox, kind, exchange):
    answers = exchange([OPEN, frame(mailbox), OPEN])
    assert next(answers) == OPEN
    with pytest.raises(grpc.RpcError) as caught:
        next(answers)
    assert SECRET not in f"{caught.value.details()}{caught.value.trailing_metadata()}"
    error = error_of_rpc(caught.value, NAME)
    assert type(error) is kind
    assert ("step 4 came twice" if mailbox == "typed" else "fault") in str(error)


def refused(channel):
    """The channel cannot be used at all; says within the deadline why."""
    with pytest.raises(grpc.RpcError) as caught:
        describe(stack_control_pb2_grpc.StackControlStub(channel))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "is not reachable" in str(error_of_rpc(caught.value, NAME))


def test_a_client_without_a_certificate_cannot_connect(listener, authority):
    credentials = grpc.ssl_channel_credentials(root_certificates=authority.certificate_pem)
    options = (("grpc.ssl_target_name_override", NAME),)
    with grpc.secure_channel(f"127.0.0.1:{listener.port}", credentials, options=options) as channel:
        refused(channel)


def test_a_client_of_another_authority_cannot_connect(listener, authority, other_authority, make_identity):
    foreign = make_identity("bank", by=other_authority)
    credentials = grpc.ssl_channel_credentials(authority.certificate_pem, foreign.key_pem, foreign.certificate_pem)
    options = (("grpc.ssl_target_name_override", NAME),)
    with grpc.secure_channel(f"127.0.0.1:{listener.port}", credentials, options=options) as channel:
        refused(channel)


def test_a_client_without_tls_cannot_connect(listener):
    with grpc.insecure_channel(f"127.0.0.1:{listener.port}") as channel:
        refused(channel)


def test_a_client_does_not_talk_to_a_server_of_another_name(connect, make_identity):
    refused(connect(make_identity("bank"), server_name="coordinator"))


def test_a_client_does_not_talk_to_a_server_of_another_authority(connect, make_identity, other_authority):
    refused(connect(make_identity("bank", by=other_authority)))


@pytest.mark.parametrize(("role", "allowed"), [("coordinator", True), ("operator", True), ("party", False)])
def test_a_call_is_for_some_roles_only(role, allowed, connect, make_identity):
    stub = stack_control_pb2_grpc.StackControlStub(connect(make_identity("x", role)))
    if allowed:
        stub.CloseRun(stack_control_pb2.CloseRunRequest(), timeout=SECONDS)
        return
    with pytest.raises(grpc.RpcError) as caught:
        stub.CloseRun(stack_control_pb2.CloseRunRequest(), timeout=SECONDS)
    error = error_of_rpc(caught.value, NAME)
    assert error.exit_code == 3
    assert str(error) == "'x' calls as party; this call is for coordinator or operator"


def test_health_answers_serving_until_the_end(make_identity):
    running = Listener("127.0.0.1:0", make_identity(NAME, "neutral-server"), ())
    running.start()
    with dial(f"127.0.0.1:{running.port}", make_identity("bank"), NAME) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watched = stub.Watch(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        assert (
            stub.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS).status
            == health_pb2.HealthCheckResponse.SERVING
        )
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        running.stop(0.1)
        assert next(watched).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watched.cancel()
        with pytest.raises(grpc.RpcError):
            stub.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)


def test_what_is_behind_a_message_travels_both_ways_and_is_counted(exchange):
    sent = [OPEN, TensorFrame(OPEN.message, bytes(range(256)) * 625), TensorFrame(OPEN.message, memoryview(b"view"))]
    found = list(exchange(sent))
    assert found == sent
    assert all(isinstance(one.payload, memoryview) for one in found)
    head = FRAME_LENGTH_BYTES + OPEN.message.ByteSize() + GRPC_FRAME_BYTES
    usage = {one.link: (one.messages, one.bytes) for one in exchange.meter.take()}
    assert usage == dict.fromkeys((f"bank>{NAME}", f"{NAME}>bank"), (3, 3 * head + 160_000 + 4))


UNFRAMED = OPEN.message.SerializeToString()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "a frame of 0 bytes is shorter than its message"),
        (b"\x01\x00", "a frame of 2 bytes is shorter"),
        (b"\x05\x00\x00\x00abcd", "a frame of 8 bytes is shorter"),
        (UNFRAMED, f"a frame of {len(UNFRAMED)} bytes is shorter"),  # as the versions before frames sent it
        (b"\x03\x00\x00\x00\xff\xff\xff", "the first 3 bytes of a frame of 7 are no message"),
    ],
)
@pytest.mark.parametrize("before", [[], [pack_frame(OPEN)]], ids=["at first", "later"])
def test_what_is_no_frame_is_refused_with_a_sentence(data, sentence, before, raw, exchange):
    answers, refusal = raw("/tertium.v1.Relay/Exchange", [*before, data])
    assert answers == before
    assert isinstance(refusal, PeerError)
    assert sentence in str(refusal)
    assert str(refusal).endswith("run one version everywhere")
    assert list(exchange([OPEN])) == [OPEN]


def test_so_is_what_is_no_message(raw):
    """Of a method without frames."""
    answers, refusal = raw("/tertium.v1.StackControl/CloseRun", [b"\xff\xff\xff"], stream=False)
    assert answers == []
    wanted = "3 bytes are no message of /tertium.v1.StackControl/CloseRun; run one version everywhere"
    assert (type(refusal), str(refusal)) == (PeerError, wanted)


def test_a_listener_stops_after_it(make_identity):
    """The first message of a stream that cannot be read must not leave a call behind that never ends."""
    running = Listener(
        "127.0.0.1:0",
        make_identity(NAME, "neutral-server"),
        ((relay_pb2_grpc.add_RelayServicer_to_server, Relay()),),
    )
    running.start()
    with dial(f"127.0.0.1:{running.port}", make_identity("bank"), NAME) as channel:
        call = channel.stream_stream("/tertium.v1.Relay/Exchange")
        with pytest.raises(grpc.RpcError):
            list(call(iter([b"\x00"]), timeout=SECONDS))
    stopped = threading.Thread(target=running.stop, args=(0,), daemon=True)
    stopped.start()
    stopped.join(2 * SECONDS)
    assert not stopped.is_alive()


def test_every_received_message_is_recorded(control, connect, exchange, make_identity, recorded):
    recorded.clear()
    request = stack_control_pb2.CloseRunRequest(run="r", sentence="why")
    stack_control_pb2_grpc.StackControlStub(connect(make_identity("c", "coordinator"))).CloseRun(
        request, timeout=SECONDS
    )
    sent = [OPEN, TensorFrame(OPEN.message, b"tensor")]
    assert list(exchange(sent)) == sent
    link, control_method, relay_method = (
        f">{NAME}",
        "/tertium.v1.StackControl/CloseRun",
        "/tertium.v1.Relay/Exchange",
    )
    assert recorded == [
        (link, control_method, request.SerializeToString()),
        (link, relay_method, pack_frame(OPEN)),
        (link, relay_method, pack_frame(OPEN) + b"tensor"),
    ]
