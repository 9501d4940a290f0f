"""coordinator.metrics_file: numbers of a run worked out by hand from its events, before and after a resume."""

import json
import math

import pytest
from local_runs import part, plan_toml

from coordinator.metrics_file import metrics_of, versions, write_metrics
from coordinator.plan import parse_plan
from coordinator.run_store import RunRecord
from kernel.gaussian_accounting import gaussian_epsilon
from kernel.plan_message import plan_hash
from kernel.run_state import RunState
from kernel.version import VERSION

TEXT = plan_toml("p", [part("a", "wine", "alcohol"), part("b", "wine", "ash", label="target")], epochs=2)
SCORE = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 54}


def epoch(record, number, seconds, size, rounds=4):
    record.note(
        "epoch",
        epoch=number,
        loss=1 / number,
        seconds=seconds,
        rows=124,
        bytes={"a>neutral-server": size, "neutral-server>a": 2 * size},
        relayed_bytes={},
        rounds=rounds,
    )


def traffic(record, generation, size, relayed):
    record.note(
        "traffic",
        generation=generation,
        bytes={"a>neutral-server": size},
        relayed_bytes=relayed,
        versions={"a": VERSION},
    )


@pytest.fixture
def record(tmp_path):
    return RunRecord.create(tmp_path / "run-1", TEXT)


def test_before_anything_was_trained_there_are_no_numbers_and_no_guesses(record):
    found = metrics_of(record)
    assert found["seconds"] == {"epoch": [], "total": 0}
    assert (found["bytes"], found["rounds"]) == ({}, 0)
    assert found.keys().isdisjoint({"scores", "baseline", "ratio", "epoch_bytes", "relayed_bytes", "privacy"})


def test_the_keys_that_were_fixed_are_there(record):
    plan = parse_plan(TEXT)
    found = metrics_of(record)
    assert found["run"] == "run-1"
    assert found["job"] == "split_nn"
    assert found["plan_hash"] == plan_hash(plan.message()).hex()
    assert found["protocol"] == "masked_sum"
    assert found["versions"]["tertium"] == VERSION


NOISE = """
[protection]
z1_noise = 4.0
row_norm = 1.0
weight_norm = 2.0
"""


@pytest.fixture
def noisy(tmp_path):
    return RunRecord.create(tmp_path / "run-2", TEXT + NOISE)


def test_noise_is_accounted_for_each_epoch_a_row_was_sent(noisy):
    """2 R S / noise = 1 a release; 3 epochs of which one was done twice, a resume, and a run that has not ended: 5."""
    noisy.note("generation", generation=1, barrier=0)
    for number in (1, 2):
        epoch(noisy, number, 0.5, 100)
    noisy.note("resumed", generation=2, barrier=1)
    epoch(noisy, 2, 0.5, 100)
    found = metrics_of(noisy)["privacy"]["local_dp"]
    assert (found["noise"], found["releases"], found["delta"]) == (4.0, 5, 1e-5)
    assert found["relation"] == "replace one row"
    assert "weights" in found["given"]
    assert found["epsilon"] == gaussian_epsilon(math.sqrt(5), 1e-5)


def test_a_run_that_went_through_has_one_release_an_epoch(noisy):
    for number in (1, 2):
        epoch(noisy, number, 0.5, 100)
    for state in (RunState.READY, RunState.TRAINING, RunState.READY, RunState.DONE):
        noisy.move(state)
    assert metrics_of(noisy)["privacy"]["local_dp"]["releases"] == 2


def test_epochs_traffic_and_scores(record):
    epoch(record, 1, 0.5, 100)
    epoch(record, 2, 0.25, 100)
    record.note("evaluated", epoch=2, scores={"auc": SCORE})
    traffic(record, 1, 230, {"a>b": 11})
    found = metrics_of(record)
    assert found["seconds"] == {"epoch": [0.5, 0.25], "total": 0.75}
    assert found["rounds"] == 8
    assert found["bytes"] == {"a>neutral-server": 230}
    assert found["epoch_bytes"] == {"a>neutral-server": 100, "neutral-server>a": 200}
    assert found["relayed_bytes"] == {"a>b": 11}
    assert found["scores"] == {"auc": SCORE}


def test_an_epoch_trained_again_after_a_resume_counts_once_and_its_bytes_twice(record):
    epoch(record, 1, 0.5, 100)
    epoch(record, 2, 9.0, 100)  # lost with the pause: its barrier was not committed
    record.note("paused", sentence="x")
    record.note("resumed", generation=2, barrier=1)
    epoch(record, 2, 0.25, 100)
    traffic(record, 2, 100, {"a>b": 1})
    traffic(record, 3, 30, {"a>b": 2, "b>a": 4})  # a prediction
    found = metrics_of(record)
    assert found["seconds"] == {"epoch": [0.5, 0.25], "total": 0.75}
    assert found["bytes"] == {"a>neutral-server": 130}
    assert found["relayed_bytes"] == {"a>b": 3, "b>a": 4}


def test_ratios_divide_medians(record):
    epoch(record, 1, 1.0, 100)
    epoch(record, 2, 3.0, 100)
    record.note("baseline", scores={"auc": SCORE}, keras_fit_seconds=[1.0, 4.0, 2.0], tf_function_seconds=[0.5, 0.5])
    found = metrics_of(record)
    assert found["ratio"] == {"keras_fit": 1.0, "tf_function": 4.0}
    assert found["baseline"]["scores"] == {"auc": SCORE}
    assert found["baseline"]["seconds"] == {"keras_fit": [1.0, 4.0, 2.0], "tf_function": [0.5, 0.5]}


def test_the_file_is_the_document(record):
    epoch(record, 1, 0.5, 100)
    write_metrics(record)
    text = (record.directory / "metrics.json").read_text()
    assert json.loads(text) == metrics_of(record)
    assert text.endswith("\n")
    assert [path.name for path in record.directory.iterdir() if path.suffix == ".part"] == []


def test_versions_are_of_what_is_installed():
    found = versions()
    assert found["tertium"] == VERSION
    assert {"python", "numpy", "grpcio", "protobuf"} <= found.keys()


def test_attacks_stand_under_privacy(record):
    first, last = {"neutral-server.inverse_ridge.r2": {**SCORE}}, {"neutral-server.gram.r2": {**SCORE}}
    record.note("attacks", attacks=first, effort="quick")
    record.note("attacks", attacks=last, effort="full")
    assert metrics_of(record)["privacy"] == {"attacks": last}


def test_a_defender_is_outside_the_noise(tmp_path, noisy):
    """The server decodes a sum into which rows enter without noise: a number that bounds z1 must not be read as covering it."""
    defended = RunRecord.create(tmp_path / "run-3", TEXT + NOISE + "[defender]\nweight = 1\nreveal_h1 = true\n")
    for record in (noisy, defended):
        epoch(record, 1, 0.5, 100)
    found = [metrics_of(record)["privacy"]["local_dp"] for record in (noisy, defended)]
    assert ["defender" in one["given"] for one in found] == [False, True]
    assert found[0]["epsilon"] == found[1]["epsilon"]


def test_z1_that_was_sent_before_an_epoch_ended_is_accounted_for(noisy):
    assert "privacy" not in metrics_of(noisy)
    noisy.note("generation", generation=1, barrier=0)
    found = metrics_of(noisy)["privacy"]["local_dp"]
    assert (found["releases"], found["epsilon"]) == (1, gaussian_epsilon(1.0, 1e-5))


def test_a_row_that_changes_at_both_parties_moves_twice_as_far_through_noise_that_is_root_two_wider(noisy):
    """mu = 2 * (2 R S) / (sqrt(2) * noise) = sqrt(2) a release; the run has not ended: two of them."""
    epoch(noisy, 1, 0.5, 100)
    found = metrics_of(noisy)["privacy"]["local_dp"]
    assert found["epsilon_all_parties"] == pytest.approx(gaussian_epsilon(math.sqrt(2) * math.sqrt(2), 1e-5), rel=1e-8)
    assert f"if the row changes at all 2 parties, epsilon is {found['epsilon_all_parties']:.3g}" in found["given"]


def test_releases_that_are_not_counted_are_said(noisy):
    epoch(noisy, 1, 0.5, 100)
    said = "every prediction on such a row and every other run over it adds a release that is not counted here"
    assert metrics_of(noisy)["privacy"]["local_dp"]["given"].endswith(said)
    noisy.note("predicted", rows=3, party="b")
    assert metrics_of(noisy)["privacy"]["local_dp"]["given"].endswith(f"{said} (1 prediction was made with this run)")


def test_the_network_lists_defender_and_protection_only_where_they_are_on(tmp_path, record):
    assert metrics_of(record)["network"].keys().isdisjoint({"defender", "protection"})
    section = "[defender]\nweight = 2.5\nreveal_h1 = true\n"
    labels = '[protection]\nlabel_gradient = "max_norm"\nfreeze_first_layer_after = 1\n'
    found = metrics_of(RunRecord.create(tmp_path / "run-4", TEXT + section + labels))["network"]
    assert found["defender"] == {
        "weight": 2.5,
        "reveal_h1": True,
        "objective": "adversarial",
        "distance": "mse",
        "widths": [64],
        "activations": ["relu"],
        "learning_rate": 0.01,
    }
    assert found["protection"] == {"label_gradient": "max_norm", "freeze_first_layer_after": 1}
    assert metrics_of(RunRecord.create(tmp_path / "run-5", TEXT + NOISE))["network"]["protection"] == {
        "z1_noise": 4.0,
        "row_norm": 1.0,
        "weight_norm": 2.0,
    }
