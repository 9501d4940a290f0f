"""Fixed point is checked, not hoped: a sum that does not fit stops the run with the remedy, and the barrier stands."""

import json

import pytest
from command_line import tertium
from hand_made_federation import plan_document, write_toml
from shelf_of_tables import PEOPLE, changed, people, section, write_csv

from kernel.batch_order import split_rows

CASES = {
    "masked_sum": ({"optimizer": {"learning_rate": 1e5}}, "the ring leaves 15 with f=16", "use ring_bits=64"),
    "beaver": (
        {"optimizer": {"learning_rate": 9e5}, "first_layer": {"protocol": "beaver"}},
        "the ring leaves 23 with f=40",
        "lower the learning rate or fractional_bits",
    ),
}


@pytest.mark.e2e
@pytest.mark.parametrize(("changes", "room", "remedy"), CASES.values(), ids=CASES)
def test_an_overflow_names_what_does_not_fit_and_the_remedy(changes, room, remedy, federation):
    outcome = federation.run(("ann", "people"), ("bob", "people"), **changes)
    outcome.refused(2, "|z1 of this party's columns", " integer bits; ", room, remedy)
    run = federation.runs()[-1]
    for role in ("ann", "bob", "neutral-server"):
        assert (federation.directory / role / "state" / run / "barriers" / "0" / "manifest.json").exists()
    # paused, not lost: it does not predict, and it can be resumed
    federation.tertium("predict", run, "people").refused(
        2, f"run '{run}' is paused; it must be done before it predicts"
    )


@pytest.mark.e2e
def test_an_overflowed_run_resumes_from_its_barrier_and_meets_the_same_end(federation):
    changes = {"optimizer": {"learning_rate": 1e5}, "batch_rows": 30}
    federation.run(("ann", "people"), ("bob", "people"), **changes).refused(2, "the ring leaves 15 with f=16")
    again = federation.tertium("run", "--resume", federation.runs()[-1])
    again.refused(2, "the ring leaves 15 with f=16")
    assert "resumed as generation 2 from barrier 1" in again.out  # one step an epoch: the first was still whole


@pytest.mark.e2e
def test_a_local_run_with_too_many_fractional_bits(command, tmp_path):
    source = write_csv(tmp_path / "rows.csv", people())
    document = plan_document(
        ("ann", "rows"),
        ("bob", "rows"),
        local={"tables": {"rows": section(source)}},
        first_layer={"fractional_bits": 23},
        optimizer={"learning_rate": 90.0},
    )
    plan = write_toml(tmp_path / "trial.toml", document)
    outcome = command("run", plan, "--local")
    outcome.refused(
        2,
        "|z1 of this party's columns| with 2 addend(s) needs ",
        "the ring leaves 8 with f=23: lower the learning rate, use ring_bits=64",
    )
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "roles" / "ann" / "state" / run.name / "barriers" / "0" / "manifest.json").exists()


@pytest.mark.e2e
def test_a_test_row_out_of_range_costs_the_scores_and_not_the_network(tmp_path):
    """107 deviations out at a row that nothing is trained on: every epoch is held, and the run is done."""
    far = int(split_rows(PEOPLE, 0.25, 3).test[0]) + 1
    source = write_csv(tmp_path / "rows.csv", changed(people(), far, income="1000000"))
    document = plan_document(
        ("ann", "rows"),
        ("bob", "rows"),
        local={"tables": {"rows": section(source)}},
        first_layer={"protocol": "beaver", "gradient": "shared"},
        secret_layers=[{"width": 4, "activation": "identity", "interval": 8.0}],
        optimizer={"name": "sgd", "learning_rate": 2.0**-6},
    )
    plan = write_toml(tmp_path / "trial.toml", document)
    outcome = tertium("run", plan, "--local", "--no-baseline", "--attacks", "none", cwd=tmp_path, seconds=120)
    assert outcome.code == 0, outcome
    assert "trained to its end, and not scored on test rows: " in outcome.out
    assert "secret layer 1: its linear output left [-8, 8]" in outcome.out
    (run,) = (tmp_path / "runs").iterdir()
    assert json.loads((run / "status.json").read_bytes())["state"] == "done"
    metrics = json.loads((run / "metrics.json").read_bytes())
    assert "scores" not in metrics
    assert metrics["bytes"]["coordinator>bob"] > 0
    assert "Trained to its end, and not scored on test rows" in (run / "report.html").read_text()
