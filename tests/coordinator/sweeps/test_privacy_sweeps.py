"""`bench defender` and `bench frontier`: the plans they make, the records they keep, what happens when a run fails."""

import json

import pytest
from local_runs import part, plan_toml

from coordinator.local.attacks import AttackOptions
from coordinator.plan import parse_plan
from coordinator.report.run_record import read_run
from coordinator.sweeps import attacked_run as one_run
from coordinator.sweeps.attacked_run import family_of, run_figures
from coordinator.sweeps.bench_log import BenchLog
from coordinator.sweeps.defender import defended_plan, defender_figures, defender_plans, run_defender
from coordinator.sweeps.frontier import frontier_cases, run_frontier
from coordinator.sweeps.variants import VariantsFile
from kernel.errors import BadInputError, PeerError, SettingsError

PARTIES = [
    part("clinic", "breast_cancer", "mean radius..mean area", label="target"),
    part("laboratory", "breast_cancer", "mean smoothness..mean concavity"),
]
PLAN = plan_toml("pair", PARTIES, epochs=3, widths=(4,), activations=("tanh",))
OWN_DEFENDER = {"weight": 5.0, "reveal_h1": True, "objective": "literal", "widths": [3], "activations": ["tanh"]}
DEFENDED = plan_toml("pair", PARTIES, epochs=3, widths=(4,), activations=("tanh",), defender=OWN_DEFENDER)
QUICK = AttackOptions("quick", 0.1, asked=True)
LISTED = VariantsFile.model_validate(
    {"variant": [{"name": "none"}, {"name": "narrow", "overrides": {"network": {"widths": [2]}}}]}
)


@pytest.fixture
def plan_file(tmp_path):
    file = tmp_path / "pair.toml"
    file.write_text(PLAN)
    return file


def left_by_a_run(directory, score, r2=None, measure="auc"):
    """metrics.json as a run leaves it; with one attack of the server if ``r2`` is given."""
    directory.mkdir(parents=True)
    score = {"value": score, "low": score - 0.125, "high": score + 0.125, "n": 171}
    document = {"run": directory.name, "scores": {measure: score}, "seconds": {"epoch": [0.5, 0.25]}}
    if r2 is not None:
        ends = {"value": r2, "low": r2, "high": r2, "n": 100}
        controls = dict.fromkeys(("baseline", "positive_control", "negative_control"), ends)
        rest = {"target": "rows", "leaked_rows": 40, "epochs_seen": 1, "note": ""}
        document["privacy"] = {"attacks": {"neutral-server.inverse_ridge.r2": {**ends, **controls, **rest}}}
    (directory / "metrics.json").write_text(json.dumps(document))
    return directory


def test_a_defender_is_put_into_a_plan_that_has_none():
    before = parse_plan(PLAN)
    _, plan = defended_plan(PLAN, "the plan", 0.01, 3, None)
    assert (plan.defender.weight, plan.defender.reveal_h1, plan.defender.objective) == (0.01, True, "adversarial")
    assert plan.model_copy(update={"defender": None, "seed": before.seed}) == before


def test_a_plans_own_defender_keeps_all_but_its_weight():
    _, plan = defended_plan(DEFENDED, "the plan", 0.25, 7, None)
    assert plan.defender == parse_plan(DEFENDED).defender.model_copy(update={"weight": 0.25})
    assert defended_plan(DEFENDED, "the plan", 0.25, 7, "adversarial")[1].defender.objective == "adversarial"


def test_every_seed_has_a_whole_curve_before_the_next(plan_file):
    plans = defender_plans(plan_file, [0.0, 0.5], [4, 9], None)
    assert [(plan.seed, plan.defender.weight) for _, plan in plans] == [(4, 0.0), (4, 0.5), (9, 0.0), (9, 0.5)]
    families = {defender_figures(plan)["family"] for _, plan in plans}
    assert len(families) == 1
    other = defender_plans(plan_file, [0.5], [4], "literal")[0][1]
    assert defender_figures(other)["family"] not in families


def test_the_default_is_the_fraud_experiment_of_the_paper():
    _, plan = defender_plans(None, [0.1], [1], None)[0]
    assert (plan.name, plan.network.widths, plan.defender.weight) == ("fraud", (8, 8), 0.1)


@pytest.mark.parametrize(
    ("weights", "seeds", "objective", "sentence"),
    [
        ([], [1], None, "one seed and one weight"),
        ([0.1], [], None, "one seed and one weight"),
        ([0.1], [1], "cooperative", "'defender.objective'"),
        ([-0.1], [1], None, "'defender.weight'"),
        ([2e9], [1], None, "'defender.weight'"),
    ],
)
def test_a_sweep_that_cannot_be_is_a_sentence(weights, seeds, objective, sentence, plan_file):
    with pytest.raises(SettingsError, match=sentence):
        defender_plans(plan_file, weights, seeds, objective)


def test_figures_of_an_attacked_run(tmp_path):
    plan = parse_plan(PLAN)
    figures = run_figures(plan, read_run(left_by_a_run(tmp_path / "r", 0.75, r2=0.5)), QUICK)
    leakage, (control, *_) = figures.pop("leakage"), figures.pop("controls")
    assert (control["attack"], control["measure"], control["value"]) == ("inverse_ridge", "r2", 0.5)
    names = {"role", "attack", "measure", "target", "value", "baseline", "class_mean", "positive", "negative"}
    assert set(control) == names
    assert control["class_mean"] is None
    assert figures == {
        "run": "r",
        "seed": 7,
        "epochs": 3,
        "epoch_seconds": [0.5, 0.25],
        "utility": {"measure": "auc", "value": 0.75, "low": 0.625, "high": 0.875, "n": 171},
        "attacks": {"effort": "quick", "leaked_fraction": 0.1},
    }
    assert leakage["r2_single"] == leakage["r2"]
    assert leakage["r2"]["value"] == 0.5
    assert leakage["r2_stacked"] is None


def test_a_run_that_was_not_attacked_has_no_leakage(tmp_path):
    figures = run_figures(parse_plan(PLAN), read_run(left_by_a_run(tmp_path / "r", 0.75)), AttackOptions())
    assert not {"attacks", "leakage"} & set(figures)


def test_a_run_without_its_score_is_refused(tmp_path):
    run = read_run(left_by_a_run(tmp_path / "r", 0.75, measure="accuracy"))
    with pytest.raises(BadInputError, match="run r has no auc"):
        run_figures(parse_plan(PLAN), run, AttackOptions())


def test_the_defenders_records(tmp_path, plan_file, monkeypatch):
    def train(text, plan, run, runs, *, resume, baseline, attacks, report, console):
        assert (run, resume, baseline, report, attacks) == ("", False, False, False, AttackOptions())
        assert parse_plan(text) == plan
        directory = left_by_a_run(runs / f"{plan.seed}-{plan.defender.weight:g}", 0.75 - plan.defender.weight)
        if plan.defender.weight:
            (directory / "plots").mkdir()
            (directory / "plots" / "recoveries.png").write_bytes(b"a picture")
        return directory

    monkeypatch.setattr(one_run, "train_here", train)
    log = BenchLog(tmp_path / "out")
    plans = defender_plans(plan_file, [0.0, 0.5], [4], None)
    found = list(run_defender(plans, AttackOptions(), tmp_path / "runs", log, tmp_path / "out" / "benchmarks"))
    assert found == log.records("defender")
    assert [one.get("picture") for one in found] == [None, f"recoveries-{plans[0][1].name}-adversarial-0.5-seed-4.png"]
    assert (tmp_path / "out" / "benchmarks" / found[1]["picture"]).read_bytes() == b"a picture"
    assert [(one["weight"], one["utility"]["value"], one["seed"]) for one in log.records("defender")] == [
        (0.0, 0.75, 4),
        (0.5, 0.25, 4),
    ]


def test_the_frontiers_records(tmp_path, plan_file, monkeypatch):
    monkeypatch.setattr(
        one_run,
        "train_here",
        lambda text, plan, run, runs, **_: left_by_a_run(runs / f"{plan.network.widths[0]}-{plan.seed}", 0.5, 0.25),
    )
    log = BenchLog(tmp_path / "out")
    cases = frontier_cases([plan_file], LISTED, [1, 2])
    list(run_frontier(cases, QUICK, tmp_path / "runs", log, pytest.fail))
    records = log.records("frontier")
    assert [(one["seed"], one["variant"], one["plain"]) for one in records] == [
        (1, "none", True),
        (1, "narrow", False),
        (2, "none", True),
        (2, "narrow", False),
    ]
    assert records[1]["overrides"] == {"network": {"widths": [2]}}
    assert {one["base"] for one in records} == {family_of(parse_plan(PLAN))}
    assert records[0]["family"] == records[2]["family"] == records[0]["base"]
    assert records[1]["family"] == records[3]["family"] != records[0]["base"]
    assert len({one["plan_hash"] for one in records}) == 4


def test_one_failed_run_does_not_keep_the_others_from_being_measured(tmp_path, plan_file, monkeypatch):
    def train(text, plan, run, runs, **_):
        if plan.network.widths == (4,):
            raise PeerError("laboratory was lost")
        return left_by_a_run(runs / "narrow", 0.5, 0.25)

    monkeypatch.setattr(one_run, "train_here", train)
    told, log = [], BenchLog(tmp_path)
    sentence = "pair, none, seed 1: laboratory was lost"
    with pytest.raises(BadInputError, match=f"1 of 2 runs failed; the first is {sentence}"):
        list(run_frontier(frontier_cases([plan_file], LISTED, [1]), QUICK, tmp_path / "runs", log, told.append))
    assert told == [sentence]
    assert [one["variant"] for one in log.records("frontier")] == ["narrow"]


def test_no_seed_is_a_sentence(plan_file):
    with pytest.raises(SettingsError, match="a sweep needs one seed"):
        frontier_cases([plan_file], LISTED, [])
