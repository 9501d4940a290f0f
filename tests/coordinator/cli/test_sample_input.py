"""`tertium sample`: what cannot be sampled is a sentence, before a role is started."""

import importlib.resources
import json

import pytest
from command_line import tertium_here

PLANS = importlib.resources.files("coordinator.local") / "plans"
SCHEDULE = {
    "event": "schedule",
    "policy": "equal_steps",
    "groups": [
        {"classes": [0, 1], "steps": {"party-a": 5, "party-b": 5}},
        {"classes": [2], "steps": {"party-a": 5, "party-b": 0}},
    ],
}


@pytest.fixture
def runs(tmp_path):
    """Runs as a coordinator left them: one of GANs that is done, one that paused, one of a split network."""
    for run, plan, state in (
        ("pictures", "privgan", "done"),
        ("half", "privgan", "paused"),
        ("split", "breast_cancer", "done"),
    ):
        directory = tmp_path / "runs" / run
        directory.mkdir(parents=True)
        (directory / "plan.toml").write_text((PLANS / f"{plan}.toml").read_text(encoding="utf-8"))
        (directory / "events.jsonl").write_text(json.dumps(SCHEDULE) + "\n")
        (directory / "status.json").write_text(json.dumps({"state": state, "generation": 1}))
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("run", "options", "sentence"),
    [
        ("pictures", ["--party", "party-c"], "has no party 'party-c'; its parties are party-a, party-b"),
        (
            "pictures",
            ["--party", "party-b", "--class", "0", "--class", "2"],
            "'party-b' has no generator of class 2; it has 0, 1",
        ),
        ("pictures", ["--party", "party-a", "--class", "9"], "no generator of class 9; it has 0, 1, 2"),
        ("pictures", ["--party", "party-a", "--rows", "0"], "--rows is 0; ask for one row of a class or more"),
        ("pictures", ["--party", "party-a", "--out", "rows.csv"], "rows.csv ends in none of .npz, .parquet, .png"),
        ("half", ["--party", "party-a"], "run 'half' is paused; it must be done before it is sampled from"),
        ("split", ["--party", "clinic"], "sample is for plans of jobs privgan and gan"),
        ("nothing", ["--party", "party-a"], "there is no run 'nothing' here"),
    ],
)
def test_one_sentence(run, options, sentence, capfd, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tertium_here(capfd, "sample", run, "--local", "--runs", runs, *options).refused(2, sentence)
    assert not list(runs.glob("*/roles"))
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


@pytest.mark.parametrize("options", [[], ["--local", "--coordinator", "127.0.0.1:1"]])
def test_one_place_is_named(options, capfd, runs):
    sampled = tertium_here(capfd, "sample", "pictures", "--party", "party-a", "--runs", runs, *options)
    sampled.refused(2, "say either --coordinator HOST:PORT (daemons that run) or --local")
