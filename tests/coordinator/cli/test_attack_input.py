"""`tertium run --attacks`: what cannot be attacked is a sentence, before anything is started."""

import importlib.resources

import pytest
from command_line import tertium_here

from coordinator.plan import parse_plan

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
        (
            ["--coordinator", "127.0.0.1:1", "--leaked-fraction", "0.2"],
            "--leaked-fraction is for the attacks on a --local",
        ),
        (["--coordinator", "127.0.0.1:1", "--record", "kept"], "--record is for --local"),
    ],
)
def test_one_sentence(options, sentence, capfd, tmp_path):
    tertium_here(capfd, "run", PLAN, "--runs", tmp_path / "runs", *options).refused(2, sentence)
    assert not (tmp_path / "runs").exists()


def test_an_unknown_effort_of_the_demo(capfd, tmp_path):
    tertium_here(capfd, "demo", "--attacks", "hard", "--runs", tmp_path / "runs").refused(2, "--attacks is 'hard'")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "there is no run 'nothing' here"),
        (["--attacks", "none"], "--attacks none leaves nothing to do; say quick or full"),
        (["--attacks", "hard"], "--attacks is 'hard'"),
        (["--leaked-fraction", "1"], "--leaked-fraction is 1; it must be above 0 and below 1"),
    ],
)
def test_one_sentence_of_attacks_on_an_older_run(options, sentence, capfd, tmp_path):
    tertium_here(capfd, "attacks", "run", "nothing", "--runs", tmp_path / "runs", *options).refused(2, sentence)
    assert not list(tmp_path.iterdir())


def test_a_run_is_named_and_not_a_path(capfd, tmp_path):
    tertium_here(capfd, "attacks", "run", "../runs/x", "--runs", tmp_path).refused(2, "a run id is 1 to 80 letters")


def test_the_plumbing_takes_a_plan_message_and_says_what_is_easier(capfd, tmp_path):
    files = {"--party-config": "a.toml", "--server-state": "state", "--transcripts": "kept", "--out": "out.json"}
    options = ["--run", "x", *(word for option in files.items() for word in option), "--server-plan"]
    command = ["attacks", "evaluate"]
    easier = "`tertium attacks run RUN` finds everything"
    tertium_here(capfd, *command, PLAN, *options, "00").refused(2, "breast_cancer.toml is no plan message", easier)
    tertium_here(capfd, *command, tmp_path / "none", *options, "00").refused(2, "cannot read", "No such file")
    plan = tmp_path / "plan.bin"
    plan.write_bytes(parse_plan(PLAN.read_text()).message().SerializeToString())
    tertium_here(capfd, *command, plan, *options, "xx").refused(2, "--server-plan is not hexadecimal", easier)
