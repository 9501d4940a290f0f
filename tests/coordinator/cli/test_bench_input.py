"""Bad input of the network benchmarks: one sentence, exit code 2, nothing started and nothing written."""

import importlib.resources

import pytest
from command_line import tertium_here

PLAN = importlib.resources.files("coordinator.local") / "plans" / "breast_cancer.toml"


@pytest.mark.parametrize(
    ("bench", "options", "sentence"),
    [
        ("bandwidth", ["--rates", "0"], "rate '0' cannot be measured"),
        ("bandwidth", ["--rates=-10"], "rate '-10' cannot be measured"),
        ("bandwidth", ["--rates", "10,fast"], "rate 'fast' cannot be measured"),
        ("bandwidth", ["--rates", ""], "the list of rates is empty"),
        ("bandwidth", ["--rates", "10", "--shaping", "wires"], "there is no shaping 'wires'"),
        ("bandwidth", ["--rates", "10", "--delay-ms", "5000"], "the delay is 5000 ms; wanted 0 to 1000"),
        ("bandwidth", ["--rates", "10", "--protocol", "plain"], "'first_layer.protocol'"),
        ("bandwidth", ["--rates", "10", "--epochs", "0"], "Invalid value for '--epochs'"),
        ("size", ["--fractions", "0,0.5,1"], "fraction '0' is no share of the rows"),
        ("size", ["--fractions", "0.5,1,1.5"], "fraction '1.5' is no share of the rows"),
        ("size", ["--fractions", "all"], "fraction 'all' is no share of the rows"),
        ("size", ["--fractions", "0.5,1"], "2 different sizes make no line"),
        (
            "size",
            ["--generated", "100"],
            "names the column 'mean radius'; the made-up table has V1, V2, … and the label y",
        ),
        ("bandwidth", ["--generated", "1"], "Invalid value for '--generated'"),
        ("size", ["--rate", "0"], "rate '0' cannot be measured"),
        ("size", ["--rows", "570"], "570 rows were asked for and the tables have 569"),
    ],
)
def test_one_sentence(bench, options, sentence, capfd, tmp_path):
    outcome = tertium_here(
        capfd, "bench", bench, PLAN, "--out", tmp_path / "out", "--runs", tmp_path / "runs", *options
    )
    outcome.refused(2, sentence)
    assert list(tmp_path.iterdir()) == []


def test_namespaces_without_root(capfd, monkeypatch, tmp_path):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    options = ["--rates", "10", "--shaping", "namespaces", "--out", tmp_path / "out"]
    tertium_here(capfd, "bench", "bandwidth", PLAN, *options).refused(
        2, "links cannot be shaped by network namespaces: only root can make them; use --shaping relay"
    )


def test_a_plan_that_cannot_be_read(capfd, tmp_path):
    tertium_here(capfd, "bench", "bandwidth", tmp_path / "none.toml").refused(
        2, f"cannot read {tmp_path / 'none.toml'}"
    )
