"""`tertium run --attacks`: what cannot be attacked is a sentence, before anything is started."""

import importlib.resources

import pytest
from command_line import tertium_here

PLAN = importlib.resources.files("coordinator.local") / "plans" / "breast_cancer.toml"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--local", "--attacks", "some"], "--attacks is 'some'; it is none, quick, full"),
        (["--local", "--leaked-fraction", "0"], "--leaked-fraction is 0; it must be above 0 and below 1"),
        (["--local", "--leaked-fraction", "1"], "--leaked-fraction is 1; it must be above 0 and below 1"),
        (["--local", "--leaked-fraction", "-0.1"], "--leaked-fraction is -0.1"),
        (["--local", "--leaked-fraction", "nan"], "--leaked-fraction is nan"),
        (["--coordinator", "127.0.0.1:1", "--attacks", "quick"], "rehearse the plan with --local"),
        (["--coordinator", "127.0.0.1:1", "--attacks", "full"], "daemons that run elsewhere record nothing"),
    ],
)
def test_one_sentence(options, sentence, capfd, tmp_path):
    tertium_here(capfd, "run", PLAN, "--runs", tmp_path / "runs", *options).refused(2, sentence)
    assert not (tmp_path / "runs").exists()


def test_an_unknown_effort_of_the_demo(capfd, tmp_path):
    tertium_here(capfd, "demo", "--attacks", "hard", "--runs", tmp_path / "runs").refused(2, "--attacks is 'hard'")
