"""The split network without a wire: first layer + HiddenStack + LabelHead move as the plain network does."""

import numpy as np
import pytest

from kernel.initialisation import glorot_rows
from kernel.network import NetworkSpec, OptimizerSpec
from kernel.optimizers import Optimizer
from neutral_server.hidden_stack import HiddenStack
from party.baseline.plain_network import NetworkParts, train_plain
from party.label_head import LabelHead

N, BATCH, EPOCHS, SCALE_BITS = 50, 16, 3, 32
BLOCKS = (["age", "income"], ["height", "weight", "steps"], ["score"])  # three parties
COLUMNS = [name for block in BLOCKS for name in block]


def order(epoch):
    return np.random.default_rng(40 + epoch).permutation(N)


def theta_of(spec, columns):
    return glorot_rows(b"parties only", spec.seed, columns, len(COLUMNS), spec.widths[0])


@pytest.mark.parametrize(
    ("optimizer", "loss", "outputs"),
    [
        (OptimizerSpec("sgd", 0.2), "binary", 1),
        (OptimizerSpec("momentum", 0.05), "multiclass", 3),
        (OptimizerSpec("adam", 0.01), "regression", 1),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_chain_reproduces_the_plain_network(optimizer, loss, outputs):
    spec = NetworkSpec((7, 5, 4), ("sigmoid", "relu", "tanh"), loss, outputs, optimizer, 21)
    generator = np.random.default_rng(2)
    rows = generator.normal(size=(N, len(COLUMNS))).astype(np.float32)
    labels = rows[:, 0] * 2 if loss == "regression" else (rows[:, 0] > 0).astype(int) + (rows[:, 1] > 1) * (outputs > 1)

    stack, head = HiddenStack(spec), LabelHead(spec)
    thetas = [theta_of(spec, block) for block in BLOCKS]
    optimizers = [Optimizer(spec.optimizer, [theta.shape]) for theta in thetas]
    held = np.split(rows, np.cumsum([len(block) for block in BLOCKS])[:-1], axis=1)
    parts = NetworkParts(theta_of(spec, COLUMNS), stack.state(), head.kernel.copy(), head.bias.copy())
    losses = []
    for epoch in range(EPOCHS):
        total = 0.0
        for start in range(0, N, BATCH):
            cut = order(epoch)[start : start + BATCH]
            z1 = sum(x[cut].astype(np.float64) @ theta for x, theta in zip(held, thetas, strict=True))
            words = np.rint(z1 * 2.0**SCALE_BITS).astype(np.int64).view(np.uint64)
            loss_value, dh = head.loss_and_gradient(stack.forward(words, SCALE_BITS, 64), labels[cut])
            dz1 = stack.backward(dh)
            head.apply()
            for x, theta, mover in zip(held, thetas, optimizers, strict=True):
                mover.step([theta], [x[cut].T @ dz1])
            total += loss_value * len(cut)
        losses.append(total / N)

    plain = train_plain(spec, parts, rows, labels, order, BATCH, EPOCHS, np.arange(5))
    np.testing.assert_allclose(losses, plain.epoch_losses, rtol=1e-5)
    for found in (plain.weights, plain.tf_function_weights):
        np.testing.assert_allclose(np.concatenate(thetas), found.first_layer, atol=1e-5)
        np.testing.assert_allclose(head.kernel, found.head_weights, atol=1e-5)
        np.testing.assert_allclose(head.bias, found.head_bias, atol=1e-5)
        for name, value in found.stack.items():
            np.testing.assert_allclose(stack.state()[name], value, atol=1e-5, err_msg=name)
    assert np.abs(np.concatenate(thetas) - parts.first_layer).max() > 1e-2
