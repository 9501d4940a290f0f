"""neutral_server.hidden_stack and small_stack against TensorFlow's automatic differentiation and Keras's optimizers."""

import numpy as np
import pytest

from kernel.errors import BadInputError, SettingsError, StepError, WireError
from kernel.network import NetworkSpec, OptimizerSpec
from neutral_server.hidden_stack import HiddenStack
from neutral_server.small_stack import SmallStack

ROWS = 6


@pytest.fixture(params=[HiddenStack, SmallStack], ids=["tensorflow", "numpy"])
def make_stack(request):
    return request.param


def network(optimizer="sgd", widths=(5, 4, 3), activations=("sigmoid", "tanh", "relu")):
    return NetworkSpec(widths, activations, "binary", 1, OptimizerSpec(optimizer, 0.05), 11)


def encode(z1, scale_bits, ring_bits):
    """Words by Python integers: the oracle of the decoding."""
    words = [[round(float(z) * 2**scale_bits) % 2**ring_bits for z in row] for row in z1]
    return np.array(words, np.uint32 if ring_bits == 32 else np.uint64)


def z1_of(step, width=5, rows=ROWS):
    return np.random.default_rng(step).normal(size=(rows, width)).astype(np.float32) * 2


def dh_of(step, width=3, rows=ROWS):
    return np.random.default_rng(100 + step).normal(size=(rows, width)).astype(np.float32)


def steps(stack, numbers):
    for step in numbers:
        stack.forward(encode(z1_of(step), 40, 64), 40, 64)
        stack.backward(dh_of(step))


class Plain:
    """The same layers by automatic differentiation, moved by a Keras optimizer."""

    def __init__(self, spec, state):
        import keras
        import tensorflow as tf

        self.tf, self.spec = tf, spec
        self.names = [name for name in state if name.startswith(("bias", "kernel"))]
        self.weights = {name: keras.Variable(state[name]) for name in self.names}
        rate = spec.optimizer.learning_rate
        self.optimizer = {
            "sgd": lambda: keras.optimizers.SGD(rate),
            "momentum": lambda: keras.optimizers.SGD(rate, momentum=0.9),
            "adam": lambda: keras.optimizers.Adam(rate),
        }[spec.optimizer.name]()

    def step(self, z1, dh):
        functions = {"identity": self.tf.identity, "relu": self.tf.nn.relu}
        functions |= {"sigmoid": self.tf.sigmoid, "tanh": self.tf.tanh}
        z = self.tf.constant(z1)
        variables = [self.weights[name].value for name in self.names]
        with self.tf.GradientTape() as tape:
            tape.watch(z)
            h = functions[self.spec.activations[0]](z + self.weights["bias_0"].value)
            for k, name in enumerate(self.spec.activations[1:], 1):
                h = functions[name](h @ self.weights[f"kernel_{k}"].value + self.weights[f"bias_{k}"].value)
        dz1, *gradients = tape.gradient(h, [z, *variables], output_gradients=self.tf.constant(dh))
        self.optimizer.apply(gradients, [self.weights[name] for name in self.names])
        return h.numpy(), dz1.numpy()


@pytest.mark.parametrize(
    ("optimizer", "activations"),
    [
        ("sgd", ("sigmoid", "tanh", "relu")),
        ("momentum", ("relu", "identity", "sigmoid")),
        ("adam", ("tanh", "sigmoid", "identity")),
    ],
)
def test_three_steps_equal_the_plain_layers(optimizer, activations, make_stack):
    spec = network(optimizer, activations=activations)
    stack = make_stack(spec)
    initial = stack.state()
    plain = Plain(spec, initial)
    for step in range(3):
        h = stack.forward(encode(z1_of(step), 40, 64), 40, 64)
        dz1 = stack.backward(dh_of(step))
        wanted_h, wanted_dz1 = plain.step(z1_of(step), dh_of(step))
        assert h.dtype == dz1.dtype == np.float32
        np.testing.assert_allclose(h, wanted_h, rtol=2e-5, atol=2e-6)
        np.testing.assert_allclose(dz1, wanted_dz1, rtol=1e-4, atol=5e-6)
    for name, variable in plain.weights.items():
        np.testing.assert_allclose(stack.state()[name], variable.numpy(), rtol=2e-5, atol=1e-5)
        assert np.abs(stack.state()[name] - initial[name]).max() > 1e-3
    assert stack.state()["step"] == 3


@pytest.mark.parametrize(("ring_bits", "scale_bits"), [(32, 16), (32, 0), (64, 20), (64, 63)])
def test_words_are_decoded_as_twos_complement(ring_bits, scale_bits, make_stack):
    stack = make_stack(network(widths=(4,), activations=("identity",)))
    top, full = 2 ** (ring_bits - 1), 2**ring_bits
    rows = [[0, 1, full - 1, top - 1], [top, top + 1, 12345678, full - 12345678]]
    words = np.array(rows, np.uint32 if ring_bits == 32 else np.uint64)
    wanted = [[(word - full if word >= top else word) / 2**scale_bits for word in row] for row in rows]
    np.testing.assert_array_equal(stack.predict(words, scale_bits, ring_bits), np.float32(wanted))
    np.testing.assert_array_equal(stack.forward(words, scale_bits, ring_bits), np.float32(wanted))


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_a_loaded_state_continues_bit_for_bit(optimizer, make_stack):
    straight, resumed = make_stack(network(optimizer)), make_stack(network(optimizer))
    steps(straight, (0, 1))
    saved = straight.state()
    steps(straight, (2, 3))
    steps(resumed, (7,))
    resumed.load(saved)
    steps(resumed, (2, 3))
    for name, value in straight.state().items():
        np.testing.assert_array_equal(resumed.state()[name], value)
    assert straight.state()["step"] == 4
    assert np.abs(straight.state()["kernel_1"] - saved["kernel_1"]).max() > 1e-3


def test_warming_up_and_predicting_change_nothing(make_stack):
    cold, warm = make_stack(network("adam")), make_stack(network("adam"))
    for stack in (cold, warm):
        steps(stack, (0,))
    warm.warm_up([[ROWS], [2], [ROWS], [2, 2, 1]], scale_bits=40, ring_bits=64)
    words = encode(z1_of(1), 40, 64)
    h = warm.forward(words, 40, 64)
    np.testing.assert_allclose(warm.predict(encode(z1_of(5, rows=2), 40, 64), 40, 64).shape, (2, 3))
    np.testing.assert_allclose(warm.predict(words, 40, 64), h, rtol=1e-5, atol=1e-6)
    warm.backward(dh_of(1))
    steps(cold, (1,))
    for name, value in cold.state().items():
        np.testing.assert_array_equal(warm.state()[name], value)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_the_pieces_of_a_step_move_the_weights_once(optimizer, make_stack):
    whole, pieces = make_stack(network(optimizer)), make_stack(network(optimizer))
    cuts = [slice(0, 2), slice(2, 3), slice(3, ROWS)]
    for step in range(3):  # the sums of one step must not reach into the next
        words, dh = encode(z1_of(step), 16, 32), dh_of(step)
        h, dz1 = whole.forward(words, 16, 32), whole.backward(dh)
        forward = [pieces.forward(words[cut], 16, 32, piece=number) for number, cut in enumerate(cuts)]
        backward = [pieces.backward(dh[cut], piece=number, last=number == 2) for number, cut in enumerate(cuts)]
        np.testing.assert_allclose(np.concatenate(forward), h, rtol=2e-5, atol=2e-6)
        np.testing.assert_allclose(np.concatenate(backward), dz1, rtol=1e-4, atol=5e-6)
    assert pieces.state()["step"] == 3
    for name, value in whole.state().items():
        np.testing.assert_allclose(pieces.state()[name], value, rtol=2e-5, atol=1e-5)


def test_a_step_in_one_piece_follows_one_in_several(make_stack):
    straight, mixed = make_stack(network("adam")), make_stack(network("adam"))
    steps(straight, (0, 1))
    words, dh = encode(z1_of(0), 16, 32), dh_of(0)
    for number, cut in enumerate((slice(0, 4), slice(4, ROWS))):
        mixed.forward(words[cut], 16, 32, piece=number)
        mixed.backward(dh[cut], piece=number, last=number == 1)
    steps(mixed, (1,))
    for name, value in straight.state().items():
        np.testing.assert_allclose(mixed.state()[name], value, rtol=2e-5, atol=1e-5)


def test_a_backward_needs_its_own_forward(make_stack):
    stack = make_stack(network())
    before = stack.state()
    with pytest.raises(StepError, match="without a forward"):
        stack.backward(dh_of(0))
    stack.forward(encode(z1_of(0), 16, 32), 16, 32)
    bad = dh_of(0)
    bad[1, 2] = np.inf
    for dh, message in ((bad, "not finite"), (dh_of(0)[1:], r"wanted float32\[6, 3\]")):
        with pytest.raises(WireError, match=message):
            stack.backward(dh)
    np.testing.assert_array_equal(stack.state()["kernel_1"], before["kernel_1"])
    stack.backward(dh_of(0))
    with pytest.raises(StepError):
        stack.backward(dh_of(0))


def test_words_of_another_form_are_refused(make_stack):
    stack = make_stack(network())
    words = encode(z1_of(0), 16, 32)
    for found in (words.astype(np.uint64), words.view(np.int32), words[:, :4], words[:0], words[0]):
        with pytest.raises(WireError, match="z1 came as"):
            stack.forward(found, 16, 32)
    for scale_bits, ring_bits in ((16, 16), (32, 32), (-1, 64)):
        with pytest.raises(SettingsError, match="fractional"):
            stack.predict(words, scale_bits, ring_bits)


def test_a_state_of_another_network_is_refused_whole(make_stack):
    stack = make_stack(network("momentum"))
    steps(stack, (0,))
    before = stack.state()
    with pytest.raises(BadInputError, match="kernel_1 of shape"):
        stack.load(make_stack(network("momentum", widths=(5, 7, 3))).state())
    with pytest.raises(BadInputError, match=r"lacks .*momentum\.bias_0"):
        stack.load(make_stack(network("sgd")).state())
    for name, value in stack.state().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_one_stack_goes_on_from_the_other_ones_state(optimizer):
    """A barrier does not say who wrote it: the names, shapes and dtypes are the same, and so is what follows."""
    compiled, small = HiddenStack(network(optimizer)), SmallStack(network(optimizer))
    steps(compiled, (0, 1))
    small.load(compiled.state())
    for stack in (compiled, small):
        steps(stack, (2,))
    ours, theirs = small.state(), compiled.state()
    assert {name: (v.dtype, v.shape) for name, v in ours.items()} == {n: (v.dtype, v.shape) for n, v in theirs.items()}
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=2e-5, atol=1e-5)


def test_what_was_answered_is_not_overwritten_by_the_next_step():
    stack = SmallStack(network())
    h = stack.forward(encode(z1_of(0), 16, 32), 16, 32)
    answered, dz1 = h.copy(), stack.backward(dh_of(0))
    kept = dz1.copy()
    steps(stack, (1, 2))
    np.testing.assert_array_equal(h, answered)
    np.testing.assert_array_equal(dz1, kept)


def test_an_extreme_z1_saturates_without_a_warning():
    stack = SmallStack(network(widths=(3,), activations=("sigmoid",)))
    words = encode(np.array([[-30000.0, 0.0, 30000.0]]), 16, 32)
    np.testing.assert_array_equal(stack.predict(words, 16, 32), np.float32([[0, 0.5, 1]]))
