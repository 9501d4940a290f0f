"""Runs with layers on shares train what a plain network trains, predict with it, and go on after a kill -9.

The plain side is float64, from the same weights (the sum of all parties' shares at barrier 0) on the same batches. Every
number on shares is off by at most a unit of 2^-18 a truncation, unbiased, and by float32 at the server; a step of the plan moves weights by
learning rate 0.125 times a gradient of order one. Forty steps of truncations of 4e-6 each, passed through squares of |z| < 16,
stay far below 2e-3; a wrong term (a gradient doubled, a bias that stays) moves some weight by more than ten times that, which
`test_the_comparison_would_notice` holds the tolerance to.
"""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from house import TWO_PARTIES, House, secret_plan
from local_runs import FinishedRun, follow, plan_toml, predict, read_barrier, wait_attending
from recordings import labels_of, order_of, rows_of, split_of
from scipy.stats import kstest

from kernel.fixed_point import FixedPoint
from kernel.gaussian_accounting import local_privacy
from kernel.plan_message import share_ring
from kernel.secret.polynomials import cubic, evaluate
from protos.v1 import common_pb2

pytestmark = pytest.mark.e2e

TOLERANCE = 2e-3
FRACTIONAL_BITS = 18
SERVERLESS = plan_toml(
    "serverless",
    TWO_PARTIES,
    protocol="beaver",
    widths=(),
    activations=(),
    learning_rate=2.0**-6,
    on_shares={"weights": "shared"},
    secret_layers=({"width": 4, "activation": "poly3", "approximates": "sigmoid", "interval": 32.0},),
    head_interval=16.0,
)
DEEPER = plan_toml(
    "deeper",
    TWO_PARTIES,
    protocol="beaver",
    widths=(4, 3),
    optimizer="momentum",
    learning_rate=2.0**-5,
    momentum=0.5,
    on_shares={"gradient": "shared", "weights": "shared"},
    secret_layers=(
        {"width": 4, "activation": "square", "interval": 64.0},
        {"width": 3, "activation": "identity", "interval": 256.0},
    ),
)


@dataclass
class Weights:
    """Of a whole network: ``layers`` (kernel, bias) from the rows to the label head; which activation follows is the plan's."""

    layers: list[tuple[np.ndarray, np.ndarray]]

    def distance(self, other: "Weights") -> float:
        return max(
            float(np.abs(a - b).max())
            for mine, theirs in zip(self.layers, other.layers, strict=True)
            for a, b in zip(mine, theirs, strict=True)
        )


def total(run: FinishedRun, name: str, barrier: int) -> np.ndarray:
    shares = [run.barrier(party.name, barrier)["secret_stack"][name] for party in run.plan.parties]
    return FixedPoint(64, FRACTIONAL_BITS).decode(sum(shares[1:], shares[0].copy()))


def weights_at(run: FinishedRun, barrier: int) -> Weights:
    """What the roles hold together at a barrier."""
    depth = len(run.plan.secret_layers) + 1
    serverless = not run.plan.network.widths
    if run.plan.weights == "shared":
        first = total(run, "weights_1", barrier)
    else:
        first = np.concatenate([run.theta(party.name, barrier) for party in run.plan.parties]).astype(np.float64)
    kernels = [first, *(total(run, f"weights_{number}", barrier) for number in range(2, depth + 1))]
    biases = [total(run, f"bias_{number}", barrier)[0] for number in range(1, depth + serverless)]
    if not serverless:
        stack = run.barrier("neutral-server", barrier)["stack"]
        head = run.barrier("laboratory", barrier)["label_head"]
        biases.append(stack["bias_0"].astype(np.float64))
        for number in range(1, len(run.plan.network.widths)):
            kernels.append(stack[f"kernel_{number}"].astype(np.float64))
            biases.append(stack[f"bias_{number}"].astype(np.float64))
        kernels.append(head["kernel"].astype(np.float64))
        biases.append(head["bias"].astype(np.float64))
    return Weights(list(zip(kernels, biases, strict=True)))


def forward(
    run: FinishedRun, weights: Weights, rows: np.ndarray
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Outputs [rows, 1], and of each layer (its input, the slope of its activation)."""
    tape, h = [], rows
    for number, (kernel, bias) in enumerate(weights.layers):
        z = h @ kernel + bias
        if number < len(run.plan.secret_layers):
            layer = run.plan.secret_layers[number]
            c = FIXED.get(layer.activation) or cubic("sigmoid", layer.interval)
            activated, slope = evaluate(c, z), c[1] + 2 * c[2] * z + 3 * c[3] * z * z
        elif number < len(weights.layers) - 1:
            activated, slope = np.tanh(z), 1 - np.tanh(z) ** 2
        else:
            activated, slope = z, np.ones_like(z)
        tape.append((h, slope))
        h = activated
    return h, tape


def train_plain(run: FinishedRun, *, gradient_scale: float = 1.0) -> Weights:
    """SGD, with momentum where the plan has it, in float64 from barrier 0 over the run's own batches."""
    rows = np.concatenate([rows_of(run, party.name).encoded for party in run.plan.parties], axis=1).astype(np.float64)
    labels = labels_of(run).astype(np.float64).reshape(-1, 1)
    weights = Weights([(kernel.copy(), bias.copy()) for kernel, bias in weights_at(run, 0).layers])
    size, rate = run.plan.batch_rows, run.plan.optimizer.learning_rate
    momentum = run.plan.optimizer.momentum if run.plan.optimizer.name == "momentum" else 0.0
    moves = [[np.zeros_like(one) for one in layer] for layer in weights.layers]
    for epoch in range(1, run.plan.epochs + 1):
        order = order_of(run, len(rows), epoch)
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            y, tape = forward(run, weights, rows[batch])
            p = 1 / (1 + np.exp(-y)) if run.plan.network.widths else evaluate(cubic("sigmoid", 16.0), y)
            gradient = gradient_scale * (p - labels[batch]) / len(batch)
            for number in range(len(weights.layers) - 1, -1, -1):
                kernel, bias = weights.layers[number]
                h, slope = tape[number]
                gradient = gradient * slope
                step = h.T @ gradient, gradient.sum(axis=0)
                gradient = gradient @ kernel.T
                moves[number] = [momentum * last - rate * one for last, one in zip(moves[number], step, strict=True)]
                weights.layers[number] = kernel + moves[number][0], bias + moves[number][1]
    return weights


FIXED = {"identity": (0.0, 1.0, 0.0, 0.0), "square": (0.0, 0.0, 1.0, 0.0)}
PLANS = {
    "open-own": secret_plan("open", "own"),
    "open-shared": secret_plan("open", "shared"),
    "shared-own": secret_plan("shared", "own"),
    "shared-shared-2": DEEPER,
    "serverless": SERVERLESS,
}


@pytest.fixture(scope="module", params=PLANS)
def run(request: pytest.FixtureRequest, house: House) -> FinishedRun:
    return house.train(f"on-shares-{request.param}", PLANS[request.param], predict_table="breast_cancer")


def test_what_all_hold_together_is_what_a_plain_network_learns(run: FinishedRun):
    assert weights_at(run, run.plan.epochs).distance(train_plain(run)) < TOLERANCE


def test_the_comparison_would_notice(run: FinishedRun):
    """Half a gradient more, and it fails."""
    assert weights_at(run, run.plan.epochs).distance(train_plain(run, gradient_scale=1.5)) > 5 * TOLERANCE


def test_nobody_holds_a_weight_beyond_the_first_layer(run: FinishedRun):
    """Each party's share after training is far from the weights, and so are the shares at the start."""
    for barrier in (0, run.plan.epochs):
        for number, (kernel, _) in enumerate(weights_at(run, barrier).layers[1 : len(run.plan.secret_layers) + 1], 2):
            for party in run.plan.parties:
                share = run.barrier(party.name, barrier)["secret_stack"][f"weights_{number}"]
                assert np.abs(FixedPoint(64, FRACTIONAL_BITS).decode(share) - kernel).max() > 0.05


def test_the_label_holder_alone_is_told_the_predictions(run: FinishedRun, house: House):
    """They are the trained network's, and nobody else has a file of them."""
    rows = np.concatenate([rows_of(run, party.name).encoded for party in run.plan.parties], axis=1).astype(np.float64)
    outputs, _ = forward(run, weights_at(run, run.plan.epochs), rows)
    files = {
        party.name: list((run.roles / party.name / "state" / "predictions").glob(f"{run.run}-*.csv"))
        for party in run.plan.parties
    }
    assert not files["clinic"]
    (file,) = files["laboratory"]
    scores = np.genfromtxt(file, delimiter=",", names=True)
    told = scores[scores.dtype.names[-1]]
    assert np.abs(told - 1 / (1 + np.exp(-outputs[:, 0]))).max() < TOLERANCE


def test_killed_and_resumed_it_goes_on_from_its_barrier(house: House):
    """The last bit of every truncation falls anew in another generation, so that weights are near and not equal."""
    name, federation = "on-shares-interrupted", house.federation
    text = plan_toml(
        "interrupted",
        TWO_PARTIES,
        protocol="beaver",
        batch_rows=2,  # so small that an epoch takes a second or more
        learning_rate=2.0**-10,
        on_shares={"gradient": "shared", "weights": "shared"},
        secret_layers=({"width": 4, "activation": "square", "interval": 128.0},),
    )
    _, first = federation.client.submit(text, name)
    seen = list(
        follow(federation.client, name, first, until=lambda one: one["event"] == "progress" and one["epoch"] == 2)
    )
    federation.kill_role("clinic")
    seen += follow(federation.client, name, first + len(seen), until=lambda one: one["event"] == "paused")
    federation.start_role("clinic")
    wait_attending(federation, "clinic", "laboratory")
    _, first = federation.client.resume(name)
    events = list(follow(federation.client, name, first))
    assert events[-1]["event"] == "done", events[-1]
    (resumed,) = [one for one in events if one["event"] == "resumed"]
    assert (resumed["generation"], resumed["barrier"]) == (2, 1)
    held = read_barrier(federation.roles, "clinic", name, 3)["secret_stack"]
    assert set(held) == {"weights_1", "weights_2", "bias_1"}
    assert predict(federation, name, "breast_cancer")["rows"] == 569


def test_noise_at_a_cut_that_is_proved(house: House):
    """The server's z of test rows is the trained network's plus both parties' noise, and the guarantee is of the interval."""
    noise, interval, text = 0.5, 1024.0, secret_plan("shared", "shared")
    recording = house.record("secret-noised", f"{text}\n[protection]\nz1_noise = {noise}\ncut_interval = {interval}\n")
    run = recording.run
    first, *others = (recording.shares(party, common_pb2.PURPOSE_EVALUATE) for party in recording.parties)
    z = share_ring(run.plan.message()).decode(sum(others, start=first.copy()))
    weights, held_out = weights_at(run, run.plan.epochs), split_of(run, len(labels_of(run))).test
    rows = np.concatenate([rows_of(run, party.name).encoded for party in run.plan.parties], axis=1)[held_out]
    (kernel, bias), (cut, _) = weights.layers[:2]
    left = z - np.square(rows.astype(np.float64) @ kernel + bias) @ cut
    assert kstest(left.ravel() / (noise * np.sqrt(2)), "norm").pvalue > 1e-6
    found = json.loads((run.directory / "metrics.json").read_bytes())["privacy"]["local_dp"]
    reach = 2 * interval * np.sqrt(cut.shape[1])
    assert found["epsilon"] == local_privacy(noise, reach, run.plan.epochs).epsilon
    assert (found["layer"], found["whole_row"], found["releases"]) == (2, True, run.plan.epochs)
