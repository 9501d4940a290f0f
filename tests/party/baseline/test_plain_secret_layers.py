"""The plain network with layers that the split one computes on shares, against gradient descent written out in numpy."""

import numpy as np
import pytest

from kernel.errors import BadInputError, SettingsError
from kernel.network import NetworkSpec, OptimizerSpec
from kernel.secret.polynomials import cubic
from kernel.secret.spec import SecretLayer, SecretSpec, StepSize
from party.baseline.network_parts import NetworkParts
from party.baseline.plain_network import train_plain

N, D, BATCH, EPOCHS = 22, 4, 6, 3
SQUARE, CUBIC = SecretLayer(3, "square", 8.0), SecretLayer(3, "poly3", 4.0, "sigmoid")


def secret_of(layers, cut_width, **head):
    return SecretSpec(D, layers, cut_width, "shared", "own", 18, 3, StepSize(1, 2), **head)


def drawn(*shape):
    return (np.random.default_rng([*shape, 3]).normal(size=shape) * 0.6).astype(np.float32)


def table():
    rows = np.random.default_rng(1).normal(size=(N, D)).astype(np.float32)
    return rows, (rows[:, 0] > 0).astype(int) + (rows[:, 1] > 0)


def order(epoch):
    return np.random.default_rng(epoch).permutation(17)


def descend(weights, gradient_of, rate, momentum):
    """Keras's SGD: move = momentum last move - rate gradient; gradients of every batch in turn."""
    weights = [value.astype(float) for value in weights]
    moves = [np.zeros_like(value) for value in weights]
    for epoch in range(EPOCHS):
        for start in range(0, 17, BATCH):
            gradients = gradient_of(weights, order(epoch)[start : start + BATCH])
            moves = [momentum * move - rate * one for move, one in zip(moves, gradients, strict=True)]
            weights = [value + move for value, move in zip(weights, moves, strict=True)]
    return weights


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@pytest.mark.parametrize(("layer", "momentum"), [(SQUARE, 0.0), (CUBIC, 0.75)], ids=["square", "cubic, momentum"])
def test_a_layer_before_the_cut_is_a_layer_like_any_other(layer, momentum):
    """4 - 3 - cut 5, sigmoid - 1: the activation of the first layer and its derivative by hand."""
    c0, c1, c2, c3 = cubic("sigmoid", 4.0) if layer is CUBIC else (0.0, 0.0, 1.0, 0.0)
    rows, labels = table()
    labels = (labels > 0).astype(int)

    def gradients(weights, cut):
        t1, b1, t2, b2, t3, b3 = weights
        x, t = rows[cut].astype(float), labels[cut, None]
        z1 = x @ t1 + b1
        a1 = c0 + c1 * z1 + c2 * z1**2 + c3 * z1**3
        h = sigmoid(a1 @ t2 + b2)
        d3 = (sigmoid(h @ t3 + b3) - t) / len(cut)
        d2 = (d3 @ t3.T) * h * (1 - h)
        d1 = (d2 @ t2.T) * (c1 + 2 * c2 * z1 + 3 * c3 * z1**2)
        return [x.T @ d1, d1.sum(0), a1.T @ d2, d2.sum(0), h.T @ d3, d3.sum(0)]

    optimizer = OptimizerSpec("momentum" if momentum else "sgd", 0.25, momentum or 0.9)
    spec = NetworkSpec((5,), ("sigmoid",), "binary", 1, optimizer, 1)
    start = [drawn(D, 3), drawn(3), drawn(3, 5), drawn(5), drawn(5, 1), drawn(1)]
    parts = NetworkParts(
        start[0], {"bias_0": start[3]}, start[4], start[5], {"bias_1": start[1], "weights_2": start[2]}
    )
    test = np.arange(17, N)
    found = train_plain(spec, parts, rows, labels, order, BATCH, EPOCHS, test, secret=secret_of((layer,), 5))
    wanted = descend(start, gradients, 0.25, momentum)
    for one in (found.weights, found.tf_function_weights):
        assert list(one.secret) == ["bias_1", "weights_2"]
        flat = [one.first_layer, *one.secret.values(), *one.stack.values(), one.head_weights, one.head_bias]
        for value, by_hand, initial in zip(flat, wanted, start, strict=True):
            np.testing.assert_allclose(value, by_hand, rtol=1e-4, atol=1e-5)
            assert np.abs(value - initial).max() > 1e-3
    t1, b1, t2, b2, t3, b3 = wanted
    z1 = rows[test] @ t1 + b1
    outputs = sigmoid((c0 + c1 * z1 + c2 * z1**2 + c3 * z1**3) @ t2 + b2) @ t3 + b3
    np.testing.assert_allclose(found.test_outputs, outputs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("loss", "outputs"), [("binary", 1), ("multiclass", 3)])
def test_without_a_server_the_head_learns_by_the_cubic(loss, outputs):
    """4 - 3, square - head: (p(y) - t) / batch with p on [-4, 4], one logistic output a class; the loss is the true one."""
    c0, c1, c2, c3 = cubic("sigmoid", 4.0)
    rows, labels = table()
    labels = labels if outputs > 1 else (labels > 0).astype(int)
    targets = np.eye(outputs)[labels] if outputs > 1 else labels[:, None]
    losses = []

    def gradients(weights, cut):
        t1, b1, t2, b2 = weights
        x, t = rows[cut].astype(float), targets[cut]
        z1 = x @ t1 + b1
        y = z1**2 @ t2 + b2
        losses.append(-np.log(np.where(t == 1, sigmoid(y), 1 - sigmoid(y))).sum())
        d2 = (c0 + c1 * y + c2 * y**2 + c3 * y**3 - t) / len(cut)
        d1 = (d2 @ t2.T) * 2 * z1
        return [x.T @ d1, d1.sum(0), z1.T**2 @ d2, d2.sum(0)]

    spec = NetworkSpec((), (), loss, outputs, OptimizerSpec("sgd", 0.0625), 1)
    secret = secret_of((SQUARE,), outputs, head=loss, head_interval=4.0)
    start = [0.5 * one for one in (drawn(D, 3), drawn(3), drawn(3, outputs), drawn(outputs))]  # |y| stays below 4
    parts = NetworkParts(start[0], {}, None, None, dict(zip(("bias_1", "weights_2", "bias_2"), start[1:], strict=True)))
    found = train_plain(spec, parts, rows, labels, order, BATCH, EPOCHS, np.arange(17, N), secret=secret)
    wanted = descend(start, gradients, 0.0625, 0.0)
    for one in (found.weights, found.tf_function_weights):
        for value, by_hand in zip([one.first_layer, *one.secret.values()], wanted, strict=True):
            np.testing.assert_allclose(value, by_hand, rtol=1e-4, atol=1e-5)
        assert one.head_weights is None
    np.testing.assert_allclose(found.epoch_losses, np.reshape(losses, (EPOCHS, -1)).sum(1) / 17, rtol=1e-5)
    assert found.test_outputs.shape == (N - 17, outputs)


def test_weights_and_layers_of_another_network_are_refused():
    rows, labels = table()
    spec = NetworkSpec((5,), ("sigmoid",), "binary", 1, OptimizerSpec("sgd", 0.25), 1)
    parts = NetworkParts(drawn(D, 3), {"bias_0": drawn(5)}, drawn(5, 1), drawn(1), {"bias_1": drawn(3)})
    arguments = (rows, (labels > 0).astype(int), order, BATCH, 1, np.arange(0))
    with pytest.raises(BadInputError, match="lacks \\['weights_2'\\]"):
        train_plain(spec, parts, *arguments, secret=secret_of((SQUARE,), 5))
    with pytest.raises(SettingsError, match="4 columns to 2 outputs, the network from 4 to 5"):
        train_plain(spec, parts, *arguments, secret=secret_of((SQUARE,), 2))
    with pytest.raises(BadInputError, match="unknown \\['bias_1'\\]"):
        train_plain(spec, parts, *arguments)
