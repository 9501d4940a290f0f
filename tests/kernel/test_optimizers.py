"""kernel.optimizers against keras.optimizers, and the life of their state."""

import os

import numpy as np
import pytest

from kernel.errors import BadInputError, SettingsError, TertiumError
from kernel.network import OptimizerSpec
from kernel.optimizers import Optimizer

SHAPES = [(5, 3), (3,), (1,)]
SPECS = [
    OptimizerSpec("sgd", 0.05),
    OptimizerSpec("momentum", 0.05, momentum=0.8),
    OptimizerSpec("adam", 0.01, beta_1=0.85, beta_2=0.99),
]
by_name = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)


def gradients_of(step):
    """Gradients that differ in size by 1e6 between entries, and vanish now and then."""
    generator = np.random.default_rng(step)
    scales = [10.0 ** generator.integers(-4, 2, shape) * (generator.random(shape) > 0.1) for shape in SHAPES]
    return [(generator.normal(size=s.shape) * s).astype(np.float32) for s in scales]


def start():
    generator = np.random.default_rng(99)
    return [generator.normal(size=shape).astype(np.float32) for shape in SHAPES]


@by_name
def test_twenty_steps_equal_keras(spec):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    if spec.name == "adam":
        oracle = keras.optimizers.Adam(0.01, beta_1=0.85, beta_2=0.99)
    else:
        oracle = keras.optimizers.SGD(0.05, momentum=0.8 if spec.name == "momentum" else 0.0)
    weights = start()
    variables = [keras.Variable(value) for value in start()]
    optimizer = Optimizer(spec, SHAPES)
    for step in range(20):
        optimizer.step(weights, gradients_of(step))
        oracle.apply([keras.ops.convert_to_tensor(g) for g in gradients_of(step)], variables)
    for weight, variable, initial in zip(weights, variables, start(), strict=True):
        np.testing.assert_allclose(weight, variable.numpy(), rtol=2e-6, atol=1e-6)
        assert np.abs(weight - initial).max() > 1e-3


def test_first_steps_by_hand():
    """g = 4 twice: sgd -0.4, -0.4; momentum -0.4, then -0.2-0.4; adam's first step is lr whatever g is."""
    for spec, wanted in (
        (OptimizerSpec("sgd", 0.1), 1 - 0.8),
        (OptimizerSpec("momentum", 0.1, momentum=0.5), 1 - 0.4 - 0.6),
        (OptimizerSpec("adam", 0.1), 1 - 0.1 - 0.1),
    ):
        weights = [np.ones((1,), np.float32)]
        optimizer = Optimizer(spec, [(1,)])
        for _ in range(2):
            optimizer.step(weights, [np.full((1,), 4, np.float32)])
        assert weights[0][0] == pytest.approx(wanted, abs=2e-6)


@by_name
def test_a_loaded_state_continues_bit_for_bit(spec):
    straight, broken = start(), start()
    first = Optimizer(spec, SHAPES)
    for step in range(3):
        first.step(straight, gradients_of(step))
        if step == 1:
            saved, at_barrier = first.state(), [w.copy() for w in straight]
    for weight, value in zip(broken, at_barrier, strict=True):
        weight[:] = value
    second = Optimizer(spec, SHAPES)
    second.load(saved)
    second.step(broken, gradients_of(2))
    assert second.steps == 3
    for a, b in zip(straight, broken, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_state_is_a_copy():
    optimizer = Optimizer(SPECS[1], SHAPES)
    optimizer.step(start(), gradients_of(0))
    saved = optimizer.state()
    before = saved["momentum.0"].copy()
    optimizer.step(start(), gradients_of(1))
    np.testing.assert_array_equal(saved["momentum.0"], before)


def test_gradients_are_left_alone():
    for spec in SPECS:
        gradients = gradients_of(0)
        Optimizer(spec, SHAPES).step(start(), gradients)
        for left, given in zip(gradients, gradients_of(0), strict=True):
            np.testing.assert_array_equal(left, given)


def test_a_state_of_another_optimizer_or_shape_is_refused_whole():
    adam = Optimizer(SPECS[2], SHAPES)
    adam.step(start(), gradients_of(0))
    before = adam.state()
    with pytest.raises(BadInputError, match=r"lacks .*velocity\.0"):
        adam.load(Optimizer(SPECS[1], SHAPES).state())
    with pytest.raises(BadInputError, match=r"momentum\.0 of shape \(5, 4\), wanted \(5, 3\)"):
        adam.load(Optimizer(SPECS[2], [(5, 4), (3,), (1,)]).state())
    for name, value in adam.state().items():
        np.testing.assert_array_equal(value, before[name])


def test_steps_with_other_arrays_move_nothing():
    optimizer, weights = Optimizer(SPECS[0], SHAPES), start()
    with pytest.raises(TertiumError, match="gradients have shapes"):
        optimizer.step(weights, gradients_of(0)[:2])
    with pytest.raises(TertiumError, match="float32"):
        optimizer.step([w.astype(np.float64) for w in weights], gradients_of(0))
    assert optimizer.steps == 0
    np.testing.assert_array_equal(weights[0], start()[0])


@pytest.mark.parametrize(
    "spec",
    [
        OptimizerSpec("sgd", 0.0),
        OptimizerSpec("sgd", float("nan")),
        OptimizerSpec("momentum", 0.1, momentum=1.0),
        OptimizerSpec("adam", 0.1, beta_2=1.0),
        OptimizerSpec("adam", 0.1, epsilon=0.0),
        OptimizerSpec("rmsprop", 0.1),
    ],
)
def test_senseless_numbers_are_refused(spec):
    with pytest.raises(SettingsError):
        Optimizer(spec, SHAPES)
