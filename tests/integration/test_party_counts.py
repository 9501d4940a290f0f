"""Two, three and five parties over the same columns train the same model, within the rounding of the ring.

Tolerances. Weights start from the columns' names, batches from the seed, so all that differs between the runs is the
rounding of z1, and of float32.

masked_sum: |z1 - X Theta| <= n 2^-(f+1) + float32 rounding of the products (masked_sum.py). How far such an error carries
into the weights is measured, not guessed: the plain network is trained in float64 on the same batches, once exactly and
several times with each entry of z1 moved by plus or minus the largest error of five parties, at random signs. The protocol's
own errors are no larger, so its weights must stay within four times the largest distance seen.

beaver: both factors are rounded before they meet, by their owner, entry by entry, and the ring's product and sum are exact:
z1 is the same word for word however the columns are dealt. Left is the float32 product X_i^T dL/dz1, whose sums over a
batch of B rows numpy may order otherwise for another shape: gamma_B |X|^T |dL/dz1| a step, below 57 * 2^-24 * (mean |x||g|
<= 0.5) * learning rate 0.1 * 21 steps = 4e-6.
"""

import csv
from collections.abc import Callable

import numpy as np
import pytest
from house import House, breast_cancer_plan, three_party_plan
from local_runs import FinishedRun, part, plan_toml
from recordings import labels_of, order_of, rows_of, split_of

from party.rows.builtin_schema import SCHEMAS

pytestmark = pytest.mark.e2e

COLUMNS = [name for name in SCHEMAS["breast_cancer"]() if name != "target"]
TOLERANCE_SCALE = 4
BEAVER_TOLERANCE = 4e-6


def _five(protocol: str) -> str:
    """Blocks of 1, 7, 2, 10 and 10 columns, the label holder in the middle."""
    cuts = (("clinic", 0, 1), ("ward", 1, 8), ("laboratory", 8, 10), ("archive", 10, 20), ("registry", 20, 30))
    parties = [
        part(name, "breast_cancer", *COLUMNS[start:stop], label="target" if name == "laboratory" else None)
        for name, start, stop in cuts
    ]
    return plan_toml("five", parties, protocol=protocol)


PLANS: dict[int, Callable[[str], str]] = {2: breast_cancer_plan, 3: three_party_plan, 5: _five}


@pytest.fixture(scope="module", params=["masked_sum", "beaver"])
def runs(request: pytest.FixtureRequest, house: House) -> dict[int, FinishedRun]:
    """By number of parties; each has predicted the table it was trained on."""
    protocol = request.param
    names = {2: f"recorded-{protocol}", 3: f"three-{protocol}", 5: f"five-{protocol}"}
    return {
        parties: house.train(names[parties], plan(protocol), predict_table="breast_cancer")
        for parties, plan in PLANS.items()
    }


def _theta(run: FinishedRun, barrier: int | None = None) -> np.ndarray:
    """First-layer weights of all parties, in the table's order of columns."""
    of_column = {}
    for party in run.plan.parties:
        of_column.update(zip(rows_of(run, party.name).names, run.theta(party.name, barrier), strict=True))
    return np.stack([of_column[name] for name in COLUMNS])


def _weights(run: FinishedRun, barrier: int | None = None) -> dict[str, np.ndarray]:
    stack = run.barrier("neutral-server", barrier)["stack"]
    head = run.barrier("laboratory", barrier)["label_head"]
    return {
        "theta": _theta(run, barrier),
        **{name: stack[name] for name in ("bias_0", "kernel_1", "bias_1")},
        **{name: head[name] for name in ("kernel", "bias")},
    }


def _predictions(run: FinishedRun) -> np.ndarray:
    (file,) = (run.roles / "laboratory" / "state" / "predictions").glob(f"{run.run}-*.csv")
    with file.open(newline="") as lines:
        return np.array([float(row["probability"]) for row in csv.DictReader(lines)])


def _distance(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)


def _plain(run: FinishedRun, disturbance: float = 0.0, seed: int = 0) -> dict[str, np.ndarray]:
    """Gradient descent in float64 (tanh, tanh, sigmoid cross-entropy), z1 moved by +-``disturbance``."""
    weights = {name: value.astype(np.float64) for name, value in _weights(run, 0).items()}
    theta, b0, k1, b1, k2, b2 = weights.values()
    x = np.concatenate([rows_of(run, party.name).encoded for party in run.plan.parties], axis=1).astype(np.float64)
    names = [name for party in run.plan.parties for name in rows_of(run, party.name).names]
    x = x[:, [names.index(name) for name in COLUMNS]]
    t, generator, rate = (
        labels_of(run).astype(np.float64),
        np.random.default_rng(seed),
        run.plan.optimizer.learning_rate,
    )
    for epoch in range(1, run.plan.epochs + 1):
        order = order_of(run, len(x), epoch)
        for start in range(0, len(order), run.plan.batch_rows):
            batch = order[start : start + run.plan.batch_rows]
            z1 = x[batch] @ theta
            z1 += disturbance * generator.choice([-1.0, 1.0], size=z1.shape)
            h1 = np.tanh(z1 + b0)
            h2 = np.tanh(h1 @ k1 + b1)
            d3 = (1 / (1 + np.exp(-(h2 @ k2 + b2))) - t[batch, None]) / len(batch)
            d2 = (d3 @ k2.T) * (1 - h2**2)
            d1 = (d2 @ k1.T) * (1 - h1**2)
            for weight, gradient in (
                (theta, x[batch].T @ d1), (b0, d1.sum(0)), (k1, h1.T @ d2),
                (b1, d2.sum(0)), (k2, h2.T @ d3), (b2, d3.sum(0)),
            ):  # fmt: skip
                weight -= rate * gradient
    return weights


def _tolerance(run: FinishedRun, disturbance: float) -> float:
    exact = _plain(run)
    return TOLERANCE_SCALE * max(_distance(exact, _plain(run, disturbance, seed)) for seed in range(3))


def _largest_z1_error(parties: int) -> float:
    """masked_sum: n 2^-17 and the float32 products, gamma_30 times |x||theta| <= 40 summed over the columns."""
    return parties * 2.0**-17 + 30 * 2.0**-24 * 40


def test_every_number_of_parties_starts_from_the_same_network(runs: dict[int, FinishedRun]):
    for run in runs.values():
        assert _distance(_weights(run, 0), _weights(runs[2], 0)) == 0


def test_the_model_does_not_depend_on_the_number_of_parties(runs: dict[int, FinishedRun]):
    masked = runs[2].plan.first_layer.protocol == "masked_sum"
    tolerance = _tolerance(runs[2], _largest_z1_error(5)) if masked else BEAVER_TOLERANCE
    assert tolerance < 1e-3
    for run in runs.values():
        assert _distance(_weights(run), _weights(runs[2])) <= tolerance
        assert np.abs(_theta(run) - _theta(run, 0)).max() > 100 * tolerance  # it has learned far more than that


def test_the_model_is_that_of_the_plain_network(runs: dict[int, FinishedRun]):
    """Against exact training; beaver's factors are rounded by 2^-21, a z1 of 30 terms by less than 2e-4."""
    masked = runs[2].plan.first_layer.protocol == "masked_sum"
    disturbance = _largest_z1_error(5) if masked else 30 * 2.0**-21 * (14 + 1)
    tolerance = _tolerance(runs[2], disturbance)
    exact = _plain(runs[2])
    for run in runs.values():
        assert _distance(_weights(run), exact) <= tolerance


def test_predictions_do_not_depend_on_the_number_of_parties(runs: dict[int, FinishedRun]):
    """A probability moves by at most |dp/dy| = 1/4 of its output, which moves by the weights' distances times |h| <= 1, 8 + 8
    wide, and by z1's own rounding: far below 1e-4."""
    first = _predictions(runs[2])
    assert len(first) == 569
    assert first.std() > 0.1
    for run in runs.values():
        np.testing.assert_allclose(_predictions(run), first, atol=1e-4)
        (scores,) = [event["scores"] for event in run.events if event["event"] == "evaluated"]
        (wanted,) = [event["scores"] for event in runs[2].events if event["event"] == "evaluated"]
        test_rows = len(split_of(run, 569).test)
        assert abs(scores["accuracy"]["value"] - wanted["accuracy"]["value"]) <= 1 / test_rows
        assert abs(scores["auc"]["value"] - wanted["auc"]["value"]) <= 1e-3
