"""coordinator.runner: what a run of one job is not asked for, in a sentence, before any role hears of it."""

import pytest
from gan_runs import gan_plan_toml
from local_runs import part, plan_toml

from coordinator.run_store import RunStore
from coordinator.runner import Runner
from coordinator.sampling import Sampling
from coordinator.settings import CoordinatorSettings
from kernel.errors import BadInputError, SettingsError
from kernel.run_state import RunState

SPLIT = plan_toml("split", [part("a", "wine", "alcohol"), part("b", "wine", "ash", label="target")])
ASKED = Sampling("party-a", 5, (), 0)


@pytest.fixture
def runner(tmp_path):
    """With runs `split` and `gans` that are done, and `young` of GANs that is not; no role is there."""
    store = RunStore(tmp_path)
    for run, text, done in (
        ("split", SPLIT, True),
        ("gans", gan_plan_toml("g"), True),
        ("young", gan_plan_toml("g"), False),
    ):
        record = store.create(run, text)
        for state in (RunState.READY, RunState.DONE) if done else ():
            record.move(state)
    settings = {
        "neutral_server": {"address": "nowhere:1"},
        "runs_directory": tmp_path,
        "tls": {"certificate": tmp_path, "key": tmp_path, "authority": tmp_path},
    }
    return Runner(store, None, None, None, CoordinatorSettings.model_validate(settings))


def test_a_run_of_gans_predicts_nothing(runner):
    with pytest.raises(SettingsError, match="predict is for plans of job split_nn; plan 'g' is of job privgan"):
        runner.predict("gans", "table")
    assert runner.active_run() == ""


def test_a_split_run_is_not_sampled_from(runner):
    with pytest.raises(
        SettingsError, match="sample is for plans of jobs privgan and gan; plan 'split' is of job split_nn"
    ):
        runner.sample("split", ASKED)


def test_only_a_run_that_is_done_is_sampled_from(runner):
    with pytest.raises(BadInputError, match="run 'young' is joined; it must be done before it is sampled from"):
        runner.sample("young", ASKED)


def test_only_a_party_of_the_run_is_sampled_from(runner):
    with pytest.raises(BadInputError, match="run 'gans' has no party 'nobody'; its parties are party-a, party-b"):
        runner.sample("gans", Sampling("nobody", 5, (), 0))


def test_no_rows_are_not_sampled(runner):
    with pytest.raises(BadInputError, match="ask for one row of a class or more"):
        runner.sample("gans", Sampling("party-a", 0, (), 0))


def test_a_class_the_party_lacks_is_refused_by_name(runner):
    groups = [
        {"classes": [0, 1], "steps": {"party-a": 3, "party-b": 3}},
        {"classes": [7], "steps": {"party-a": 0, "party-b": 2}},
    ]
    runner._store.get("gans").note("schedule", policy="equal_steps", groups=groups)
    with pytest.raises(BadInputError, match="'party-a' has no generator of class 7; it has 0, 1"):
        runner.sample("gans", Sampling("party-a", 5, (1, 7), 0))
