"""kernel.wire.server over loopback with mutual TLS: who gets in, and what gets out when a call fails."""

import re
import socket

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from kernel.errors import BadInputError, FixedPointError, PeerError, PolicyError, StepError, TertiumError
from kernel.wire.channel import dial
from kernel.wire.failures import METADATA_KEY, error_of_rpc
from kernel.wire.server import Listener, caller, require
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
    """Echoes frames; an undeliverable one makes it fail in the middle of the stream."""

    def Exchange(self, request_iterator, context):  # noqa: N802
        for frame in request_iterator:
            if frame.WhichOneof("kind") == "undeliverable":
                if frame.undeliverable.mailbox == "typed":
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
    return relay_pb2.RelayFrame(undeliverable=relay_pb2.Undeliverable(mailbox=mailbox))


OPEN = relay_pb2.RelayFrame(open=relay_pb2.OpenMailbox(mailbox="r"))


@pytest.mark.parametrize(("mailbox", "kind"), [("typed", PeerError), ("untyped", PeerError)])
def test_an_error_in_the_middle_of_a_stream_is_told_after_what_came_before(mailbox, kind, connect, make_identity):
    stub = relay_pb2_grpc.RelayStub(connect(make_identity("bank")))
    answers = stub.Exchange(iter([OPEN, frame(mailbox), OPEN]), timeout=SECONDS)
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


def test_every_received_message_is_recorded(control, connect, make_identity, recorded):
    recorded.clear()
    request = stack_control_pb2.CloseRunRequest(run="r", sentence="why")
    stack_control_pb2_grpc.StackControlStub(connect(make_identity("c", "coordinator"))).CloseRun(
        request, timeout=SECONDS
    )
    stub = relay_pb2_grpc.RelayStub(connect(make_identity("bank")))
    assert list(stub.Exchange(iter([OPEN, OPEN]), timeout=SECONDS)) == [OPEN, OPEN]
    link, control_method, relay_method = (
        f">{NAME}",
        "/tertium.v1.StackControl/CloseRun",
        "/tertium.v1.Relay/Exchange",
    )
    assert recorded == [
        (link, control_method, request.SerializeToString()),
        (link, relay_method, OPEN.SerializeToString()),
        (link, relay_method, OPEN.SerializeToString()),
    ]
