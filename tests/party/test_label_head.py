"""party.label_head against TensorFlow's automatic differentiation."""

import os

import numpy as np
import pytest

from kernel.errors import BadInputError, RowsError, StepError, WireError
from kernel.network import NetworkSpec, OptimizerSpec
from party.label_head import LabelHead

LOSSES = [("binary", 1), ("multiclass", 4), ("regression", 1), ("regression", 3)]
by_loss = pytest.mark.parametrize(("loss", "outputs"), LOSSES)


def network(loss="binary", outputs=1, optimizer="adam"):
    return NetworkSpec((8, 6), ("sigmoid", "relu"), loss, outputs, OptimizerSpec(optimizer, 0.05), 3)


def batch(loss, outputs, rows=17, scale=2.0, seed=0):
    generator = np.random.default_rng(seed)
    h = (generator.normal(size=(rows, 6)) * scale).astype(np.float32)
    if loss == "regression":
        return h, generator.normal(size=(rows, outputs)).astype(np.float32)
    return h, generator.integers(0, max(outputs, 2), rows)


def autodiff(loss, h, labels, kernel, bias):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    tensors = [tf.constant(value) for value in (h, kernel, bias)]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        y = tensors[0] @ tensors[1] + tensors[2]
        if loss == "binary":
            targets = labels[:, None].astype(np.float32)
            each = tf.nn.sigmoid_cross_entropy_with_logits(targets, y)
        elif loss == "multiclass":
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, y)
        else:
            each = tf.square(y - labels)
        value = tf.reduce_mean(each)
    return float(value), [g.numpy() for g in tape.gradient(value, tensors)]


@by_loss
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_loss_and_gradients_equal_autodiff(loss, outputs, scale):
    head = LabelHead(network(loss, outputs, "sgd"))
    head.bias[:] = np.linspace(-1, 1, outputs)
    h, labels = batch(loss, outputs, scale=scale)
    kernel, bias = head.kernel.copy(), head.bias.copy()
    wanted, (dh, dkernel, dbias) = autodiff(loss, h, labels, kernel, bias)
    value, gradient = head.loss_and_gradient(h, labels)
    assert value == pytest.approx(wanted, rel=1e-5)
    assert gradient.dtype == np.float32
    np.testing.assert_allclose(gradient, dh, rtol=1e-4, atol=1e-5 * np.abs(dh).max())
    np.testing.assert_array_equal(head.kernel, kernel)
    head.apply()
    for moved, before, slope in ((head.kernel, kernel, dkernel), (head.bias, bias, dbias)):
        np.testing.assert_allclose(moved, before - 0.05 * slope, rtol=1e-4, atol=1e-5 * np.abs(slope).max())


@by_loss
def test_loss_alone_keeps_no_gradient(loss, outputs):
    head = LabelHead(network(loss, outputs))
    h, labels = batch(loss, outputs)
    value = head.loss(h, labels)
    with pytest.raises(StepError, match="no gradient to apply"):
        head.apply()
    assert value == head.loss_and_gradient(h, labels)[0]


def test_outputs_and_labels_by_hand():
    """One feature, W = 2, b = -1: h = 1 gives y = 1; log(1 + e) against label 0, log(1 + 1/e) against 1."""
    spec = NetworkSpec((1,), ("identity",), "binary", 1, OptimizerSpec("sgd", 1.0), 1)
    head = LabelHead(spec, (np.array([[2]], np.float32), np.array([-1], np.float32)))
    h = np.ones((2, 1), np.float32)
    np.testing.assert_array_equal(head.forward(h), np.ones((2, 1), np.float32))
    value, gradient = head.loss_and_gradient(h, np.array([[0], [1]]))
    s = 1 / (1 + np.exp(-1))
    assert value == pytest.approx((np.log1p(np.e) + np.log1p(1 / np.e)) / 2, rel=1e-6)
    np.testing.assert_allclose(gradient[:, 0], [s, s - 1], rtol=1e-6)  # times W = 2, over two rows


def test_the_first_apply_uses_a_gradient_once():
    head = LabelHead(network())
    head.loss_and_gradient(*batch("binary", 1))
    head.apply()
    with pytest.raises(StepError):
        head.apply()


@by_loss
def test_the_pieces_of_a_batch_add_up_to_it(loss, outputs):
    whole, pieces = LabelHead(network(loss, outputs)), LabelHead(network(loss, outputs))
    h, labels = batch(loss, outputs)
    value, gradient = whole.loss_and_gradient(h, labels)
    found = [pieces.loss_and_gradient(h[cut], labels[cut], len(h)) for cut in (slice(0, 3), slice(3, None))]
    np.testing.assert_allclose(np.concatenate([part[1] for part in found]), gradient, rtol=1e-5, atol=1e-8)
    assert (found[0][0] * 3 + found[1][0] * (len(h) - 3)) / len(h) == pytest.approx(value, rel=1e-5)
    for head in (whole, pieces):
        head.apply()
    np.testing.assert_allclose(pieces.kernel, whole.kernel, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(pieces.bias, whole.bias, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_a_loaded_state_continues_bit_for_bit(optimizer):
    straight = LabelHead(network("multiclass", 4, optimizer))
    for seed in range(4):
        straight.loss_and_gradient(*batch("multiclass", 4, seed=seed))
        straight.apply()
        if seed == 1:
            saved = straight.state()
    resumed = LabelHead(network("multiclass", 4, optimizer))
    resumed.loss_and_gradient(*batch("multiclass", 4, seed=9))
    resumed.load(saved)
    with pytest.raises(StepError):  # the stale gradient is gone
        resumed.apply()
    for seed in (2, 3):
        resumed.loss_and_gradient(*batch("multiclass", 4, seed=seed))
        resumed.apply()
    for name, value in straight.state().items():
        np.testing.assert_array_equal(resumed.state()[name], value)


def test_given_weights_are_copied_and_checked():
    kernel, bias = np.ones((6, 1), np.float32), np.zeros(1, np.float32)
    head = LabelHead(network(), (kernel, bias))
    head.loss_and_gradient(*batch("binary", 1))
    head.apply()
    assert (kernel == 1).all()
    assert not (head.kernel == 1).any()
    with pytest.raises(BadInputError, match=r"kernel of shape \(5, 1\), wanted \(6, 1\)"):
        LabelHead(network(), (kernel[:5], bias))


@pytest.mark.parametrize(
    ("loss", "outputs", "labels"),
    [
        ("binary", 1, np.full(17, 2)),
        ("binary", 1, np.full(17, np.nan)),
        ("binary", 1, np.zeros(16)),
        ("multiclass", 4, np.full(17, 4)),
        ("multiclass", 4, np.full(17, -1)),
        ("multiclass", 4, np.full(17, 0.5)),
        ("multiclass", 4, np.zeros((17, 4))),
        ("regression", 3, np.zeros(17)),
    ],
)
def test_labels_that_do_not_fit_are_refused(loss, outputs, labels):
    head = LabelHead(network(loss, outputs))
    with pytest.raises(RowsError):
        head.loss_and_gradient(batch(loss, outputs)[0], labels)


def test_h_that_does_not_fit_is_refused():
    head = LabelHead(network())
    for h in (np.zeros((4, 5), np.float32), np.zeros((4, 6)), np.zeros((0, 6), np.float32)):
        with pytest.raises(WireError, match="h_L came as"):
            head.forward(h)


def test_a_loss_that_is_not_finite_stops_training():
    head = LabelHead(network("regression", 1))
    h = np.full((3, 6), np.nan, np.float32)
    with pytest.raises(BadInputError, match="diverged"):
        head.loss_and_gradient(h, np.zeros(3))
    with pytest.raises(StepError):
        head.apply()
