"""Command lines of iproute2, word for word."""

import pytest

from coordinator.local.links.traffic_control import burst_bytes, missing_tool, pair_commands, run, shape_commands
from kernel.errors import BadInputError, TertiumError

TC = ["tc", "-n", "tertium-1-hub", "qdisc"]


def _words(line):
    return line.split()


def test_a_rate_is_a_tbf_in_place_of_what_was_there():
    assert shape_commands("tertium-1-hub", "tt1h0", 100.0, 0.0) == [
        [*TC, "del", "dev", "tt1h0", "root"],
        [*TC, *_words("add dev tt1h0 root handle 1: tbf rate 100000000bit burst 3200 latency 200ms")],
    ]


def test_no_rate_and_no_delay_only_remove():
    assert shape_commands("tertium-1-hub", "tt1h0", None, 0.0) == [[*TC, "del", "dev", "tt1h0", "root"]]


def test_a_delay_stands_below_the_rate_or_alone():
    _, _, below = shape_commands("tertium-1-hub", "tt1h0", 0.5, 2.5)
    assert below == [*TC, "add", "dev", "tt1h0", *_words("parent 1:1 handle 10: netem delay 2.5ms limit 100000")]
    _, alone = shape_commands("tertium-1-hub", "tt1h0", None, 2.5)
    assert alone[7:] == _words("root handle 1: netem delay 2.5ms limit 100000")


@pytest.mark.parametrize("rate_mbps", [0.1, 1.0, 10.0, 100.0, 200.0, 500.0, 1000.0, 10_000.0])
def test_a_burst_is_two_frames_or_an_eighth_of_a_millisecond(rate_mbps):
    burst = burst_bytes(rate_mbps)
    assert burst >= 2 * 1514
    assert burst <= max(3200, rate_mbps * 1e6 / 8 / 8000 + 1)


def test_a_burst_gives_an_epoch_less_than_two_percent():
    """A fraud step sends 160 kB four times on the label holder's link; each may begin with one burst."""
    for rate_mbps in (10.0, 50.0, 100.0, 200.0):
        assert 4 * burst_bytes(rate_mbps) <= 0.02 * 4 * 160_000


def test_a_pair_between_two_namespaces():
    addresses = {"address": "198.19.0.1/30", "far_address": "198.19.0.2/30"}
    assert [" ".join(words) for words in pair_commands("hub", "near", "away", "far", **addresses)] == [
        "ip -n hub link add name near type veth peer name far netns away",
        "ip -n hub address add 198.19.0.1/30 dev near",
        "ip -n away address add 198.19.0.2/30 dev far",
        "ip -n hub link set dev near up",
        "ip -n away link set dev far up",
    ]
    assert pair_commands(None, "near", "away", "far", **addresses)[0][:3] == ["ip", "link", "add"]


def test_a_command_that_is_missing_or_fails(monkeypatch, tmp_path):
    with pytest.raises(TertiumError, match="`false` failed: no message"):
        run(["false"])
    assert run(["false"], check=False) == ""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing_tool() == "ip"
    with pytest.raises(BadInputError, match="`tc` is not installed; install iproute2, or use --shaping relay"):
        run(["tc"])
    for tool in ("ip", "tc"):
        (tmp_path / tool).touch(mode=0o755)
    assert missing_tool() == ""
