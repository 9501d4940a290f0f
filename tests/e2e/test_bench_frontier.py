"""`tertium bench frontier` through real processes: two variants of a small plan, trained, attacked and on the page."""

import json

import pytest
from command_line import tertium
from local_runs import part, plan_toml

pytestmark = pytest.mark.e2e
VARIANTS = """
[[variant]]
name = "unprotected"

[[variant]]
name = "width 1, one pass"
plans = ["pair"]
overrides.epochs = 1
overrides.network.widths = [1, 4]
"""


def test_two_variants_and_one_seed(tmp_path):
    parties = [
        part("clinic", "breast_cancer", "mean radius..mean smoothness", label="target"),
        part("laboratory", "breast_cancer", "worst radius..worst smoothness"),
    ]
    text = plan_toml("pair", parties, epochs=3, widths=(8, 4), optimizer="adam", learning_rate=0.02)
    (tmp_path / "pair.toml").write_text(text)
    (tmp_path / "variants.toml").write_text(VARIANTS)
    options = ["--variants", "variants.toml", "--attacks", "quick", "--leaked-fraction", "0.2", "--out", "out"]
    outcome = tertium("bench", "frontier", "pair.toml", *options, cwd=tmp_path, seconds=300.0)
    assert outcome.code == 0, outcome
    lines = (tmp_path / "out" / "benchmarks.jsonl").read_text(encoding="utf-8").splitlines()
    plain, narrow = (json.loads(line) for line in lines)
    assert (plain["variant"], plain["plain"], plain["seed"]) == ("unprotected", True, 1)
    assert (narrow["variant"], narrow["plain"], narrow["epochs"]) == ("width 1, one pass", False, 1)
    for record in (plain, narrow):
        metrics = json.loads((tmp_path / "runs" / record["run"] / "metrics.json").read_bytes())
        assert metrics["plan_hash"] == record["plan_hash"]
        assert record["utility"]["value"] == metrics["scores"]["auc"]["value"]
        attacks = metrics["privacy"]["attacks"]
        strongest = max(
            found["value"]
            for key, found in attacks.items()
            if key.startswith("neutral-server.") and key.endswith(".re_identification")
        )
        assert record["leakage"]["re_identification"]["value"] == strongest
        assert record["leakage"]["label_auc"]["value"] > 0.6  # nothing protects labels here
    assert plain["leakage"]["re_identification"]["value"] > 0.8  # eight numbers about ten columns give rows away
    assert narrow["leakage"]["re_identification"]["value"] < plain["leakage"]["re_identification"]["value"]
    assert plain["leakage"]["r2_stacked"]["value"] > 0
    assert narrow["leakage"]["r2_stacked"] is None  # one epoch is no stack
    assert "R² from the view of all epochs no higher than from one, at ≤ 0.005 AUC lost" in outcome.out
    page = (tmp_path / "out" / "benchmarks.md").read_text(encoding="utf-8")
    assert "### pair: 2 settings" in page
    assert "| width 1, one pass |" in page
    assert "Controls of the attacks on pair, lowest and highest of 2 runs" in page
    told = {f"{one['role']}.{one['attack']}.{one['measure']}": one for one in plain["controls"]}
    attacks = metrics_of(tmp_path, plain)
    assert {key: one["value"] for key, one in told.items()} == {key: one["value"] for key, one in attacks.items()}
    ridge = told["neutral-server.inverse_ridge.re_identification"]
    assert ridge["negative"] < 0.1 < 0.9 < ridge["positive"]
    assert not list(tmp_path.rglob("*.transcript"))


def metrics_of(directory, record):
    metrics = json.loads((directory / "runs" / record["run"] / "metrics.json").read_bytes())
    return metrics["privacy"]["attacks"]
