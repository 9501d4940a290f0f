"""A role that was dialled before it listened: it is reached as soon as it is there."""

import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from coordinator.certificate_authority import CertificateAuthority
from coordinator.local.links.placement import free_port
from kernel.wire.channel import RECONNECT_SECONDS, connects_within, dial
from kernel.wire.identity import Identity, Peer
from kernel.wire.server import Listener

SERVER = "neutral-server"


@pytest.fixture
def identity():
    authority = CertificateAuthority.create()

    def issued(role, name):
        made = authority.issue(Peer(role, name))
        return Identity.from_pem(made.certificate_pem, made.key_pem, authority.certificate_pem)

    return issued


def test_a_listener_that_comes_up_late_is_reached(identity):
    address = f"127.0.0.1:{free_port()}"
    with dial(address, identity("party", "ann"), SERVER) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for _ in range(12):  # until gRPC pauses for a second and more between two attempts
            with pytest.raises(grpc.RpcError) as refused:
                health.Check(health_pb2.HealthCheckRequest(), timeout=5)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            time.sleep(0.2)
        listener = Listener(address, identity("neutral-server", SERVER), ())
        listener.start()
        try:
            assert connects_within(channel, RECONNECT_SECONDS)
            health.Check(health_pb2.HealthCheckRequest(), timeout=5)
        finally:
            listener.stop(0.1)


def test_nobody_there_is_said_in_time(identity):
    with dial(f"127.0.0.1:{free_port()}", identity("party", "ann"), SERVER) as channel:
        start = time.monotonic()
        assert not connects_within(channel, 0.5)
        assert time.monotonic() - start < 3
