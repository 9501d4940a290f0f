"""Links of the kernel: made, shaped, isolated, and gone."""

import socket

import pytest

from coordinator.local.links import namespaces as module
from coordinator.local.links.namespaces import MAX_PARTIES, Namespaces, namespace_obstacle
from coordinator.local.links.throughput import measure_throughput
from kernel.errors import BadInputError, TertiumError

PARTIES = ["ann", "bob", "cat"]


@pytest.fixture
def links(kernel_links):
    with Namespaces(PARTIES) as made:
        yield made


def test_every_party_dials_an_address_of_its_own_and_the_hub_listens_on_all():
    links = Namespaces(PARTIES)
    assert links.listen("coordinator") == "0.0.0.0:7442"
    assert links.address("coordinator", dialler="ann") == "198.19.0.1:7442"
    assert links.address("neutral-server", dialler="cat") == "198.19.0.9:7443"
    assert links.address("neutral-server", dialler="coordinator") == "127.0.0.1:7443"
    assert links.address("coordinator", dialler="operator").startswith("198.18.")
    hub = links.command("coordinator")
    assert links.command("neutral-server") == hub
    assert len({links.command(party) for party in PARTIES} | {hub}) == 4


def test_as_many_parties_as_there_are_networks():
    names = [f"p{number}" for number in range(MAX_PARTIES)]
    assert Namespaces(names).address("coordinator", dialler=names[-1]) == "198.19.255.253:7442"
    with pytest.raises(BadInputError, match=f"{MAX_PARTIES + 1} parties .* 198.19.0.0/16 has {MAX_PARTIES}"):
        Namespaces([*names, "one-more"])


def test_a_link_keeps_its_rate_until_it_gets_another(links):
    links.set_rate(5)
    for party in ("ann", "cat"):
        found = measure_throughput(links, party, 5)
        assert found.up_mbps <= 5
        assert found.down_mbps <= 5
    links.set_rate(None)
    found = measure_throughput(links, "cat", None)
    assert min(found.up_mbps, found.down_mbps) > 10  # thousands: it is memory


def test_a_link_faster_than_its_rate_is_an_error(links):
    links.set_rate(None)
    with pytest.raises(
        TertiumError, match=r"the link of 'bob' lets .* set are 0.1: shaping by namespaces does not hold"
    ):
        measure_throughput(links, "bob", 0.1)


def test_one_partys_rate_leaves_no_way_around(links):
    """A party has a route to the hub's end of its own pair and to nothing else."""
    for host in ("198.19.0.5", "198.18.0.1", "192.0.2.1"):
        with pytest.raises(TertiumError, match="no connection within network namespace"):
            module._inside(
                links.command("ann")[-1], lambda host=host: socket.create_connection((host, 7442), timeout=5)
            )


def test_all_is_gone_after_an_interrupt(kernel_links, left_in_kernel):
    def interrupted():
        with Namespaces(PARTIES):
            assert len(left_in_kernel()) == 5  # hub, three parties, the operator's device
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert left_in_kernel() == []


def test_all_is_gone_when_making_them_fails(kernel_links, left_in_kernel, monkeypatch):
    real, made = module.run, []

    def break_off(command, *, check=True):
        made.append(command)
        if len(made) == 20:
            raise TertiumError("`ip` failed: no memory")
        return real(command, check=check)

    monkeypatch.setattr(module, "run", break_off)
    with pytest.raises(TertiumError, match="no memory"), Namespaces(PARTIES):
        pass
    assert len(made) == 20
    assert left_in_kernel() == []


def test_what_stands_in_the_way(monkeypatch, tmp_path):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert namespace_obstacle() == "only root can make them"
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "ip").touch(mode=0o755)
    assert namespace_obstacle() == "`tc` is not installed (it is part of iproute2)"
