"""The network benchmarks through real processes: over the relay, and over namespaces where they can be made."""

import json
import os
import signal
from importlib.resources import files

import pytest
from command_line import outcome_of, start, tertium, wait_until

from coordinator.local.links.namespaces import namespace_obstacle
from coordinator.local.links.traffic_control import run

pytestmark = pytest.mark.e2e
PLAN = files("coordinator.local") / "plans" / "breast_cancer.toml"
SECONDS = 300.0
"""A federation, its runs and the plain network: TensorFlow is started twice."""
TRAINED_ROWS = 398  # of 569, 30 % are for the test


@pytest.fixture
def kernel_links():
    obstacle = namespace_obstacle()
    if obstacle:
        pytest.skip(f"no network namespaces: {obstacle}")


def of_pid(pid):
    return [line for line in run(["ip", "netns", "list"]).splitlines() if f"-{pid}-" in line]


def look_at(record, rates):
    assert [point["rate_mbps"] for point in record["points"]] == rates
    for point in record["points"]:
        assert point["rows"] == TRAINED_ROWS
        assert point["seconds"]["n"] == 1
        assert point["link"]["party"] == "laboratory"  # it holds the labels
        # a share and a gradient of 8 words of 4 bytes a row up, an activation and a gradient of as many down
        for way in ("up_bytes", "down_bytes"):
            assert 64 * TRAINED_ROWS < point["link"][way] < 1.1 * 64 * TRAINED_ROWS
        if point["rate_mbps"] is not None:
            for ways in point["achieved_mbps"].values():
                assert max(ways.values()) < 1.1 * point["rate_mbps"]
            wire = (point["link"]["up_bytes"] + point["link"]["down_bytes"]) * 8e-6 / point["rate_mbps"]
            assert point["over_wire"]["median"] == pytest.approx(point["seconds"]["median"] / wire)
    assert set(record["baseline"]["seconds"]) == set(record["ratio"]) == {"keras_fit", "tf_function"}


def test_bandwidth_over_the_relay(tmp_path):
    options = ["--rates", "4,none", "--epochs", "1", "--protocol", "masked_sum", "--shaping", "relay"]
    options += ["--micro-batches", "1"]
    outcome = tertium("bench", "bandwidth", PLAN, *options, "--out", "out", cwd=tmp_path, seconds=SECONDS)
    assert outcome.code == 0, outcome.err
    record = json.loads((tmp_path / "out" / "benchmarks.jsonl").read_text())
    assert record["shaping"] == "relay"
    look_at(record, [4.0, None])
    assert "wire limit = bytes of the busiest party's access link" in outcome.out
    assert "× limit" in (tmp_path / "out" / "benchmarks.md").read_text(encoding="utf-8")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out"]  # run directories went with the command


def test_bandwidth_over_namespaces(kernel_links, tmp_path):
    options = ["--rates", "4,none", "--epochs", "1", "--protocol", "masked_sum", "--shaping", "namespaces"]
    options += ["--micro-batches", "1"]
    process = start("bench", "bandwidth", PLAN, *options, "--out", "out", cwd=tmp_path)
    outcome = outcome_of(process, SECONDS)
    assert outcome.code == 0, outcome.err
    record = json.loads((tmp_path / "out" / "benchmarks.jsonl").read_text())
    assert record["shaping"] == "namespaces"
    look_at(record, [4.0, None])
    assert of_pid(process.pid) == []


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_bench_leaves_nothing(kind, kernel_links, tmp_path):
    options = ["--rates", "none", "--protocol", "masked_sum", "--shaping", "namespaces"]
    process = start("bench", "bandwidth", PLAN, *options, cwd=tmp_path)
    wait_until(lambda: len(of_pid(process.pid)) == 3, "namespaces of a hub and two parties")
    hub = f"tertium-{process.pid}-hub"
    roles = wait_until(lambda: run(["ip", "netns", "pids", hub], check=False).split(), "role in the hub")
    process.send_signal(kind)
    outcome = outcome_of(process)
    assert outcome.code == 130
    assert of_pid(process.pid) == []
    for role in roles:
        with pytest.raises(ProcessLookupError):
            os.kill(int(role), 0)


def test_size_over_the_relay(tmp_path):
    options = ["--generated", "240", "--fractions", "0.25,0.5,1", "--rate", "4", "--epochs", "1", "--shaping", "relay"]
    options += ["--micro-batches", "2"]
    outcome = tertium(
        "bench", "size", *options, "--protocol", "masked_sum", "--out", "out", cwd=tmp_path, seconds=SECONDS
    )
    assert outcome.code == 0, outcome.err
    record = json.loads((tmp_path / "out" / "benchmarks.jsonl").read_text())
    assert [(point["table_rows"], point["rows"]) for point in record["points"]] == [(60, 48), (120, 96), (240, 192)]
    sent = [point["link"]["up_bytes"] for point in record["points"]]
    assert sent[0] < sent[1] < sent[2]
    seconds = [point["seconds"]["median"] for point in record["points"]]
    fit = record["fit"]
    middle = fit["intercept_seconds"] + fit["slope_us_per_row"] * 1e-6 * (48 + 96 + 192) / 3
    assert middle == pytest.approx(sum(seconds) / 3)  # a least squares line goes through the mean
    assert record["baseline"]["seconds"]["keras_fit"]["n"] == 2
    assert record["generated_rows"] == 240
    assert f"R² = {fit['r_squared']:.5f}" in outcome.out
