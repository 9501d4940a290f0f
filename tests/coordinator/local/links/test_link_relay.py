"""The relay: bytes as they were, a rate and a delay as bounds that no machine can beat, and an end."""

import socket
import threading
import time

import pytest
from command_line import wait_until

from coordinator.local.links import relay as module
from coordinator.local.links.relay import RelayLinks
from coordinator.local.links.throughput import measure_throughput
from kernel.errors import BadInputError

PARTIES = ["ann", "bob"]


@pytest.fixture
def links():
    with RelayLinks(PARTIES) as made:
        yield made


def receive(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = end.recv(1 << 16)
        assert piece, "closed"
        data += piece
    return data


def test_bytes_arrive_as_they_were_and_an_end_is_an_end(links):
    links.set_rate(1000)
    near, far = links.connect("ann")
    sent = bytes(range(256)) * 2000
    with near, far:
        for source, sink in ((near, far), (far, near)):
            sender = threading.Thread(target=source.sendall, args=(sent,))
            sender.start()
            assert receive(sink, len(sent)) == sent
            sender.join()
        near.shutdown(socket.SHUT_WR)
        assert far.recv(1) == b""
        far.sendall(b"still open")
        assert receive(near, 10) == b"still open"


def test_a_link_keeps_its_rate_in_both_directions(links):
    links.set_rate(8)
    found = measure_throughput(links, "ann", 8)
    # one piece of 2 ms may be measured too early
    assert max(found.up_mbps, found.down_mbps) < 8.4


def test_connections_of_one_party_share_its_rate_and_another_partys_do_not(links):
    links.set_rate(4)  # 500 kB a second
    pairs = [links.connect("ann"), links.connect("ann")]
    started = time.monotonic()
    senders = [threading.Thread(target=near.sendall, args=(bytes(60_000),)) for near, _ in pairs]
    for sender in senders:
        sender.start()
    for _, far in pairs:
        receive(far, 60_000)
    assert time.monotonic() - started > (120_000 - 3_200) / 500_000
    for sender in senders:
        sender.join()
    for ends in pairs:
        for end in ends:
            end.close()
    assert links._links["ann"] is not links._links["bob"]


def test_a_delay_is_each_way():
    with RelayLinks(PARTIES, delay_ms=40) as links:
        near, far = links.connect("bob")
        with near, far:
            started = time.monotonic()
            near.sendall(b"there")
            assert receive(far, 5) == b"there"
            far.sendall(b"back")
            assert receive(near, 4) == b"back"
            assert time.monotonic() - started >= 0.08


def test_a_role_that_does_not_listen_yet_is_a_closed_connection(links):
    host, _, port = links.address("coordinator", dialler="ann").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as near:
        assert near.recv(1) == b""


def test_addresses_stay_and_only_parties_go_through_the_relay(links):
    direct = links.listen("coordinator")
    assert links.address("coordinator", dialler="operator") == direct
    assert links.address("neutral-server", dialler="coordinator") == links.listen("neutral-server") != direct
    through = {links.address(role, dialler=party) for role in ("coordinator", "neutral-server") for party in PARTIES}
    assert len(through) == 4
    assert direct not in through
    assert links.address("coordinator", dialler="ann") in through
    assert links.command("ann") == ()


def test_nothing_is_left_open():
    before = set(threading.enumerate())
    with RelayLinks(PARTIES) as links:
        near, far = links.connect("ann")
        address = links.address("coordinator", dialler="bob")
    with near, far:
        assert near.recv(1) == b""
    wait_until(lambda: set(threading.enumerate()) <= before, "end of the relay's threads", 30)
    host, _, port = address.rpartition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=10)


def test_more_parties_than_ports(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_PORT_RANGE", tmp_path / "range")
    (tmp_path / "range").write_text("50000\t50011\n")
    assert RelayLinks(["a", "b", "c"])
    with pytest.raises(BadInputError, match=r"4 parties need 4 ports each; .*range leaves enough for 3"):
        RelayLinks(["a", "b", "c", "d"])
