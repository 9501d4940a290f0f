"""Every loss, each with another optimizer and activation: the split network scores as the plain one does."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from house import CELL_ERRORS, CELL_MEANS, CELL_WORST, House
from local_runs import SECONDS, FinishedRun, part, plan_toml

from coordinator.local.baseline import run_baseline
from coordinator.local.federation import LocalFederation
from coordinator.metrics_file import metrics_of
from coordinator.run_store import RunRecord

pytestmark = pytest.mark.e2e

GAP = 0.001
PLANS = {
    "binary": plan_toml(
        "binary",
        [
            part("clinic", "breast_cancer", CELL_MEANS, CELL_ERRORS),
            part("laboratory", "breast_cancer", CELL_WORST, label="target"),
        ],
        epochs=5,
        activations=("sigmoid", "sigmoid"),
        optimizer="adam",
        learning_rate=0.02,
    ),
    "multiclass": plan_toml(
        "multiclass",
        [
            part("clinic", "wine", "alcohol..magnesium"),
            part("ward", "wine", "total_phenols..proanthocyanins"),
            part("laboratory", "wine", "color_intensity..proline", label="target"),
        ],
        epochs=12,
        batch_rows=32,
        loss="multiclass",
        outputs=3,
        optimizer="momentum",
        learning_rate=0.05,
    ),
    "regression": plan_toml(
        "regression",
        [part("archive", "diabetes", "age..bp"), part("registry", "diabetes", "s1..s6", label="target")],
        protocol="beaver",
        epochs=25,
        batch_rows=32,
        activations=("relu", "relu"),
        loss="regression",
        optimizer="sgd",
        learning_rate=0.05,
    ),
}
# what each must reach to have learned anything, and which scores are compared
SCORES = {
    "binary": {"auc": 0.9, "accuracy": 0.8},
    "multiclass": {"accuracy": 0.8, "macro_auc": 0.9},
    "regression": {"r_squared": 0.3},
}


@dataclass(frozen=True)
class Pair:
    split: dict[str, float]
    plain: dict[str, float]
    losses: list[float]
    plain_losses: list[float]


@pytest.fixture(scope="module")
def pairs(house: House) -> dict[str, Pair]:
    """Split runs one after the other in the house; beside them the plain networks, two at a time."""
    with ThreadPoolExecutor(2) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr("coordinator.local.baseline._BASELINE_SECONDS", SECONDS)
        plain = {}
        for loss, text in PLANS.items():
            run = house.train(f"loss-{loss}", text)
            shutil.copytree(run.roles, run.directory / "roles")  # the baseline writes its plan and result there
            plain[loss] = pool.submit(_with_baseline, run)
        return {loss: future.result() for loss, future in plain.items()}


def _with_baseline(run: FinishedRun) -> Pair:
    """As `tertium run` does after a local run."""
    record = RunRecord.load(run.directory)
    run_baseline(record, LocalFederation(run.directory, run.plan))
    metrics = metrics_of(record)
    (plain,) = [event for event in record.events if event["event"] == "baseline"]
    return Pair(
        {name: score["value"] for name, score in metrics["scores"].items()},
        {name: score["value"] for name, score in metrics["baseline"]["scores"].items()},
        [event["loss"] for event in record.events if event["event"] == "epoch"],
        plain["losses"],
    )


@pytest.mark.parametrize("loss", PLANS)
def test_scores_equal_those_of_the_plain_network(pairs: dict[str, Pair], loss: str):
    pair = pairs[loss]
    for name, least in SCORES[loss].items():
        assert pair.split[name] > least
        assert abs(pair.split[name] - pair.plain[name]) <= GAP


@pytest.mark.parametrize("loss", PLANS)
def test_losses_equal_those_of_the_plain_network(pairs: dict[str, Pair], loss: str):
    """Epoch by epoch, to three digits: the same batches in the same order."""
    pair = pairs[loss]
    assert len(pair.losses) == len(pair.plain_losses)
    assert pair.losses == pytest.approx(pair.plain_losses, rel=1e-3)
    assert pair.losses[-1] < 0.9 * pair.losses[0]
