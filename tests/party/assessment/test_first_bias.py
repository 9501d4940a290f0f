"""The bias moved again: equal to an optimizer that moves it among other weights."""

import numpy as np
import pytest

from kernel.network import NetworkSpec, OptimizerSpec
from neutral_server.small_stack import SmallStack
from party.assessment.first_bias import activated, replayed_bias


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_as_the_server_moved_it(name):
    """From a state in the middle of training, with slots that are not zero."""
    spec = NetworkSpec((3, 2), ("tanh", "sigmoid"), "binary", 1, OptimizerSpec(name, 0.05), 4)
    stack, generator = SmallStack(spec), np.random.default_rng(0)

    def step():
        words = generator.integers(0, 1 << 18, (5, 3)).astype(np.uint32)
        stack.forward(words, 16, 32)
        return stack.backward(generator.normal(size=(5, 2)).astype(np.float32)).sum(axis=0)

    for _ in range(3):
        step()
    start, wanted, gradients = stack.state(), {}, {}
    for number in range(4):
        wanted[2, number] = stack.state()["bias_0"]
        gradients[2, number] = step()
    found = replayed_bias(spec, start, dict(reversed(gradients.items())))
    assert set(found) == set(wanted)
    for key, bias in wanted.items():
        assert np.allclose(found[key], bias, atol=1e-6), key
    assert np.abs(found[2, 3] - found[2, 0]).max() > 1e-3


def test_activations_by_hand():
    z = np.array([-1000.0, -1.0, 0.0, 2.0], np.float32)
    assert np.allclose(activated("sigmoid", z), [0, 1 / (1 + np.e), 0.5, 1 / (1 + np.exp(-2))])
    assert np.allclose(activated("relu", z), [0, 0, 0, 2])
    assert np.allclose(activated("tanh", z), np.tanh(z))
    assert np.array_equal(activated("identity", z), z)
