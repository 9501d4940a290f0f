"""party.baseline.plain_network against a loop written out in numpy."""

import numpy as np
import pytest

from kernel.errors import BadInputError, RowsError, SettingsError
from kernel.initialisation import glorot_rows, initial_head, initial_stack
from kernel.network import NetworkSpec, OptimizerSpec
from party.baseline.plain_network import NetworkParts, train_plain

N, D = 23, 4


def network(loss="binary", outputs=1, learning_rate=0.3):
    return NetworkSpec((5, 3), ("sigmoid", "tanh"), loss, outputs, OptimizerSpec("sgd", learning_rate), 5)


def parts_of(spec):
    theta = glorot_rows(b"", spec.seed, [f"x{i}" for i in range(D)], D, spec.widths[0])
    return NetworkParts(theta, initial_stack(spec), *initial_head(spec))


def table(loss, outputs=1):
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(N, D)).astype(np.float32)
    if loss == "regression":
        return rows, rows[:, :outputs] * 2 + 1
    return rows, (rows[:, 0] + rows[:, 1] > 0).astype(int) + (rows[:, 2] > 1) * (outputs > 1)


def order(epoch):
    return np.random.default_rng(epoch).permutation(18)


def by_hand(spec, parts, rows, labels, batch_rows, epochs):
    """Gradient descent on sigmoid-tanh-linear layers in float64, nothing shared with the product."""
    t1, b1 = parts.first_layer.astype(float), parts.stack["bias_0"].astype(float)
    w2, b2 = parts.stack["kernel_1"].astype(float), parts.stack["bias_1"].astype(float)
    w3, b3 = parts.head_weights.astype(float), parts.head_bias.astype(float)
    losses = []
    for epoch in range(epochs):
        indices, total = order(epoch), 0.0
        for start in range(0, len(indices), batch_rows):
            cut = indices[start : start + batch_rows]
            x, t = rows[cut].astype(float), labels[cut]
            h1 = 1 / (1 + np.exp(-(x @ t1 + b1)))
            h2 = np.tanh(h1 @ w2 + b2)
            y = h2 @ w3 + b3
            if spec.loss == "binary":
                p = 1 / (1 + np.exp(-y))
                loss = -np.log(np.where(t[:, None] == 1, p, 1 - p)).mean()
                d3 = (p - t[:, None]) / len(cut)
            elif spec.loss == "multiclass":
                p = np.exp(y) / np.exp(y).sum(axis=1, keepdims=True)
                loss = -np.log(p[np.arange(len(cut)), t]).mean()
                d3 = (p - np.eye(spec.outputs)[t]) / len(cut)
            else:
                loss = np.mean((y - t) ** 2)
                d3 = 2 * (y - t) / y.size
            total += loss * len(cut)
            d2 = (d3 @ w3.T) * (1 - h2**2)
            d1 = (d2 @ w2.T) * h1 * (1 - h1)
            rate = spec.optimizer.learning_rate
            w3, b3 = w3 - rate * h2.T @ d3, b3 - rate * d3.sum(0)
            w2, b2 = w2 - rate * h1.T @ d2, b2 - rate * d2.sum(0)
            t1, b1 = t1 - rate * x.T @ d1, b1 - rate * d1.sum(0)
        losses.append(total / len(indices))
    test = np.tanh((1 / (1 + np.exp(-(rows[18:] @ t1 + b1)))) @ w2 + b2) @ w3 + b3
    return losses, test, [t1, b1, w2, b2, w3, b3]


def flat(parts):
    return [parts.first_layer, *parts.stack.values(), parts.head_weights, parts.head_bias]


@pytest.mark.parametrize(
    ("loss", "outputs", "batch_rows", "xla"),
    [("binary", 1, 6, False), ("multiclass", 3, 8, True), ("regression", 2, 50, False)],
    ids=["whole batches", "a partial batch", "one small batch"],
)
def test_both_loops_equal_gradient_descent_by_hand(loss, outputs, batch_rows, xla):
    spec = network(loss, outputs)
    parts, (rows, labels) = parts_of(spec), table(loss, outputs)
    before = [value.copy() for value in flat(parts)]
    result = train_plain(spec, parts, rows, labels, order, batch_rows, 3, np.arange(18, N), xla=xla)
    losses, outputs_by_hand, weights = by_hand(spec, parts, rows, labels, batch_rows, 3)
    np.testing.assert_allclose(result.epoch_losses, losses, rtol=1e-5)
    np.testing.assert_allclose(result.test_outputs, outputs_by_hand, rtol=1e-4, atol=1e-5)
    for found in (result.weights, result.tf_function_weights):
        for value, wanted, initial in zip(flat(found), weights, before, strict=True):
            np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=2e-6)
            assert np.abs(value - initial).max() > 1e-3
    for value, initial in zip(flat(parts), before, strict=True):
        np.testing.assert_array_equal(value, initial)
    for seconds in (result.keras_fit_seconds, result.tf_function_seconds):
        assert len(seconds) == 3
        assert min(seconds) > 0


def test_what_does_not_fit_is_refused():
    spec = network()
    parts, (rows, labels) = parts_of(spec), table("binary")
    test = np.arange(18, N)
    with pytest.raises(RowsError, match=r"labels have shape \(22,\)"):
        train_plain(spec, parts, rows, labels[1:], order, 6, 1, test)
    with pytest.raises(RowsError, match="float64"):
        train_plain(spec, parts, rows.astype(float), labels, order, 6, 1, test)
    with pytest.raises(RowsError, match="same number"):
        train_plain(spec, parts, rows, labels, lambda epoch: np.arange(9 + epoch), 6, 2, test)
    with pytest.raises(SettingsError, match="batch_rows is 0"):
        train_plain(spec, parts, rows, labels, order, 0, 1, test)
    with pytest.raises(BadInputError, match=r"first layer of shape \(4, 5\), wanted \(3, 5\)"):
        train_plain(spec, parts, rows[:, :3], labels, order, 6, 1, test)
