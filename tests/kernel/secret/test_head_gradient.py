"""The label head on shares, without a neutral server: its gradient is the cubic's, and training is plain training with it."""

import numpy as np
import pytest
from bounded import PlainStack
from lockstep import Federation

from kernel.errors import RangeError
from kernel.secret.plan import gradient_shift
from kernel.secret.polynomials import cubic, evaluate
from kernel.secret.spec import SecretLayer, SecretSpec, StepSize

ROWS, COLUMNS, BATCH = 22, 6, 11
HIDDEN = {
    "1": (),
    "2 square": (SecretLayer(5, "square", 8.0),),
    "2 sigmoid": (SecretLayer(5, "poly3", 8.0, "sigmoid"),),
    "3": (SecretLayer(5, "poly3", 8.0, "relu"), SecretLayer(4, "identity", 16.0)),
}
IN_FRONT = {"identity": 2, "square": 3, "poly3": 4}
BEHIND = {"identity": 2, "square": 3, "poly3": 3}


def start(layers, outputs, weights="shared", **more):
    spec = SecretSpec(
        **{
            "columns": COLUMNS,
            "layers": layers,
            "cut_width": outputs,
            "gradient": "shared",
            "weights": weights,
            "fractional_bits": 18,
            "gradient_shift": gradient_shift(BATCH),
            "step_size": StepSize(3, 5),
            "momentum": StepSize(7, 3),
            "head": "binary" if outputs == 1 else "multiclass",
            "head_interval": 8.0,
            **more,
        }
    )
    rng = np.random.default_rng(3)
    theta = [rng.normal(0, 0.3, pair) for pair in zip(spec.widths[:-1], spec.widths[1:], strict=True)]
    kinds = rng.integers(0, max(outputs, 2), ROWS)
    labels = kinds.reshape(-1, 1) if outputs == 1 else np.eye(outputs)[kinds]
    return spec, rng.normal(0, 1, (ROWS, COLUMNS)), theta, labels.astype(float)


@pytest.mark.parametrize(("parties", "weights"), [(2, "own"), (2, "shared"), (3, "shared"), (4, "own")])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_training_without_a_server(hidden, outputs, parties, weights):
    """Two epochs of two batches: gradient, weights and biases within the derived bound, and the rounds that are stated."""
    spec, rows, theta, labels = start(HIDDEN[hidden], outputs, weights)
    federation, plain = Federation(spec, rows, theta, parties), PlainStack(spec, rows, theta)
    for number in range(4):
        batch = np.arange(number % 2 * BATCH, number % 2 * BATCH + BATCH)
        gradient, forward, head, backward = federation.train_without_server(batch, labels[batch], number)
        wanted = plain.head_gradient(plain.forward(batch), labels[batch])
        assert wanted.holds(gradient)
        first = plain.backward(wanted)
        if first is not None:
            assert first.holds(federation.first_gradient())
            federation.set_first(federation.weights()[0] - 0.125 * federation.first_gradient())
            plain.weights[0] = (plain.weights[0] - first * 0.125).off(plain.unit / 2)
        assert all(bound.holds(found) for found, bound in zip(federation.weights(), plain.weights, strict=True))
        biases = federation.biases()
        assert set(biases) == set(range(1, spec.depth + 1))
        assert all(plain.biases[layer].holds(found) for layer, found in biases.items())
        activations = [layer.activation for layer in spec.layers]
        assert forward == 1 + sum(IN_FRONT[one] for one in activations)
        assert head == 3  # y and z^2 truncated, then the cubic
        assert backward == 2 + sum(BEHIND[one] for one in activations)
    assert np.abs(biases[spec.depth]).max() > 0.01
    assert max(one.error.max() for one in plain.weights) < 0.02


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_gradient_is_that_of_the_cubic_in_the_place_of_the_sigmoid(outputs):
    """By hand on one layer: 2^s / batch (p(X Theta) - t). Scaled coefficients are off by 2^-17, z below 4 and its powers with them."""
    spec, rows, theta, labels = start((), outputs)
    batch = np.arange(BATCH)
    gradient, *_ = Federation(spec, rows, theta, 3).train_without_server(batch, labels[batch])
    y = rows[batch] @ theta[0]
    assert np.abs(y).max() < 4
    by_hand = 16 / 11 * (evaluate(cubic("sigmoid", 8.0), y) - labels[batch])
    assert np.abs(gradient - by_hand).max() < 2.0**-17 * (1 + 1 + 4 + 16 + 64) + 2e-4
    assert (
        np.abs(gradient - 16 / 11 * (1 / (1 + np.exp(-y)) - labels[batch])).max() < 16 / 11 * 0.1113
    )  # `largest_error`


@pytest.mark.parametrize("fractional_bits", [18, 20])
@pytest.mark.parametrize("rows_left", [1, 4, 20])
def test_the_last_rows_of_a_large_batch_do_not_wrap(rows_left, fractional_bits):
    """Of a batch of 5,000: 2^13 (p(y) - t) of one row is thousands, and the truncation leaves 2^10 (f = 18), 2^6 (20)."""
    shift = gradient_shift(5000)
    spec, rows, theta, labels = start((), 1, fractional_bits=fractional_bits, gradient_shift=shift)
    batch = np.arange(rows_left)
    gradient, *_ = Federation(spec, rows, theta, 2).train_without_server(batch, labels[batch])
    plain = PlainStack(spec, rows, theta)
    wanted = plain.head_gradient(plain.forward(batch), labels[batch])
    assert wanted.holds(gradient)
    assert wanted.error.max() * rows_left < 0.001 * 2**shift
    assert np.abs(gradient).max() * rows_left > 0.4 * 2**shift


def test_labels_move_the_gradient_by_their_scale():
    """Another label: 2^s / batch less in that place, to a coefficient's and a truncation's last bit, and nothing elsewhere but these."""
    spec, rows, theta, labels = start((), 1)
    batch = np.arange(BATCH)
    changed = labels.copy()
    changed[4, 0] = 1 - changed[4, 0]
    one, two = (
        Federation(spec, rows, theta, 2).train_without_server(batch, each[batch])[0] for each in (labels, changed)
    )
    difference = np.abs(one - two).ravel()
    assert abs(difference[4] - 16 / 11) < 2.0**-16 + 2 * 2.0**-18
    assert np.delete(difference, 4).max() <= 2 * 2.0**-18


@pytest.mark.parametrize("outputs", [1, 3])
def test_an_output_beyond_the_head_s_interval_is_named(outputs):
    spec, rows, theta, labels = start((), outputs, head_interval=1.0)
    federation = Federation(spec, rows * 0 + 1, [one * 0 + 1.0 for one in theta])
    with pytest.raises(RangeError, match=r"the label head: its linear output left \[-1, 1\]"):
        federation.train_without_server(np.arange(BATCH), labels[:BATCH])
    assert all(np.array_equal(one, np.ones_like(one)) for one in federation.weights())
