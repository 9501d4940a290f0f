"""Which links are chosen, and why not the better ones."""

import pytest

from coordinator.local.links import shaped_links
from coordinator.local.links.placement import Loopback
from coordinator.local.links.shaped_links import choose_links
from kernel.errors import BadInputError, SettingsError

PARTIES = ["ann", "bob"]


@pytest.fixture
def obstacles(monkeypatch):
    """Sets what stands in the way of namespaces, and of their delay."""

    def stand(namespaces="", delay=""):
        monkeypatch.setattr(shaped_links, "namespace_obstacle", lambda: namespaces)
        monkeypatch.setattr(shaped_links, "delay_obstacle", lambda: delay)

    return stand


def test_the_kernels_where_it_can(obstacles):
    obstacles()
    assert choose_links("auto", PARTIES).links.kind == "namespaces"
    assert choose_links("namespaces", PARTIES, delay_ms=3).links.kind == "namespaces"
    assert choose_links("relay", PARTIES).links.kind == "relay"


def test_the_relay_where_it_cannot_with_the_reason(obstacles):
    obstacles("only root can make them")
    chosen = choose_links("auto", PARTIES)
    assert (chosen.links.kind, chosen.reason) == ("relay", "only root can make them")
    with pytest.raises(BadInputError, match="only root can make them; use --shaping relay"):
        choose_links("namespaces", PARTIES)


def test_a_delay_the_kernel_does_not_have(obstacles):
    obstacles(delay="this kernel has no netem")
    assert choose_links("auto", PARTIES).links.kind == "namespaces"
    assert choose_links("auto", PARTIES, delay_ms=1).links.kind == "relay"
    with pytest.raises(BadInputError, match="this kernel has no netem; use --shaping relay"):
        choose_links("namespaces", PARTIES, delay_ms=1)


@pytest.mark.parametrize(
    ("shaping", "delay_ms", "sentence"),
    [
        ("wires", 0, "there is no shaping 'wires'; wanted auto, namespaces, relay"),
        ("relay", -1, "the delay is -1 ms; wanted 0 to 1000"),
        ("relay", 1001, "the delay is 1001 ms; wanted 0 to 1000"),
        ("relay", float("nan"), "the delay is nan ms"),
    ],
)
def test_what_cannot_be(shaping, delay_ms, sentence):
    with pytest.raises(SettingsError, match=sentence):
        choose_links(shaping, PARTIES, delay_ms=delay_ms)


def test_loopback_is_the_same_address_for_all():
    place = Loopback()
    assert place.listen("coordinator") == place.address("coordinator", dialler="ann") == place.listen("coordinator")
    assert place.listen("coordinator") != place.listen("neutral-server")
    assert place.command("ann") == ()
