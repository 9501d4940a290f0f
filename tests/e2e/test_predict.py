"""A trained model after everything was stopped: started again it predicts the same, and rows of a file."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from local_runs import FinishedRun, network_outputs
from recordings import labels_of, rows_of, split_of
from second_life import NEW_ROWS, SecondLife
from sklearn.metrics import roc_auc_score

pytestmark = pytest.mark.e2e

SEEN = 569


@dataclass(frozen=True)
class Predicted:
    """Two files of predictions, [rows], by roles that were started a second time; ``roles``: their directories."""

    run: FinishedRun
    roles: Path
    same: np.ndarray
    new: np.ndarray


@pytest.fixture(scope="module")
def predicted(predictions: tuple[SecondLife, list[str]]) -> Predicted:
    life, files = predictions
    same, new = (_read(life.directory / "roles" / "laboratory" / "state" / file) for file in files)
    return Predicted(life.first_run, life.directory / "roles", same, new)


def _read(file: Path) -> np.ndarray:
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [int(row["row"]) for row in rows] == list(range(1, len(rows) + 1))
    return np.array([float(row["probability"]) for row in rows])


def _forward(run: FinishedRun) -> np.ndarray:
    """Probabilities of every row of the table, from the weights on disk, in numpy; z1 in units of 2^-16, as masked_sum
    rounds each party's product."""
    z1 = np.zeros((SEEN, run.plan.network.widths[0]))
    for party in run.plan.parties:
        z1 += np.rint(rows_of(run, party.name).encoded @ run.theta(party.name) * 2.0**16) * 2.0**-16
    return 1 / (1 + np.exp(-network_outputs(run, z1)[:, 0]))


def test_predictions_are_the_forward_pass(predicted: Predicted):
    wanted = _forward(predicted.run)
    assert predicted.same.shape == (SEEN,)
    assert wanted.std() > 0.1
    np.testing.assert_allclose(predicted.same, wanted, atol=1e-5)


def test_predictions_of_the_test_rows_score_as_training_said(predicted: Predicted):
    metrics = json.loads((predicted.run.directory / "metrics.json").read_bytes())
    test = split_of(predicted.run, SEEN).test
    labels = labels_of(predicted.run)[test]
    assert metrics["scores"]["auc"]["n"] == len(test)
    assert roc_auc_score(labels, predicted.same[test]) == pytest.approx(metrics["scores"]["auc"]["value"], abs=1e-12)
    accuracy = ((predicted.same[test] > 0.5) == labels).mean()
    assert accuracy == pytest.approx(metrics["scores"]["accuracy"]["value"], abs=1e-12)


def test_a_file_with_another_number_of_rows(predicted: Predicted):
    """Row by row the predictions of the same rows in the table, whatever batch they stood in."""
    assert predicted.new.shape == (len(NEW_ROWS),)
    np.testing.assert_allclose(predicted.new, predicted.same[list(reversed(NEW_ROWS))], atol=1e-6)


def test_predictions_stay_at_the_label_holder(predicted: Predicted):
    assert {path.parent.parent.name for path in predicted.roles.rglob("predictions")} == {"laboratory"}
    assert len(list((predicted.roles / "laboratory" / "state" / "predictions").iterdir())) == 2
    csv_files = {path.relative_to(predicted.roles).parts[0] for path in predicted.roles.rglob("*.csv")}
    assert csv_files == {"laboratory"}
