"""kernel.secret.step: parties in lockstep against plain float64 training, within a bound that is derived (bounded.py)."""

from itertools import product

import numpy as np
import pytest
from bounded import PlainStack
from lockstep import Federation, together
from uniformity import FAILURE, uniform_p

from kernel.errors import RangeError
from kernel.secret.plan import gradient_shift
from kernel.secret.spec import SecretLayer, SecretSpec, StepSize

ROWS, COLUMNS, CUT, BATCH = 23, 7, 4, 10
STACKS = {
    "1": (),
    "2 identity": (SecretLayer(6, "identity", 8.0),),
    "2 square": (SecretLayer(6, "square", 8.0),),
    "2 sigmoid": (SecretLayer(6, "poly3", 4.0, "sigmoid"),),
    "3 relu, square": (SecretLayer(6, "poly3", 8.0, "relu"), SecretLayer(5, "square", 16.0)),
    "3 sigmoid, identity": (SecretLayer(6, "poly3", 8.0, "sigmoid"), SecretLayer(5, "identity", 16.0)),
}
FORWARD = {"identity": 2, "square": 3, "poly3": 4}
BACKWARD = {"identity": 2, "square": 3, "poly3": 3}
CASES = [
    (stack, gradient, weights)
    for stack, gradient, weights in product(STACKS, ("open", "shared"), ("own", "shared"))
    if stack != "1" or (gradient, weights) != ("open", "own")  # that one is beaver as it was
]


def spec_of(layers, gradient="shared", weights="shared", momentum=None, **more):
    return SecretSpec(
        **{
            "columns": COLUMNS,
            "layers": layers,
            "cut_width": CUT,
            "gradient": gradient,
            "weights": weights,
            "fractional_bits": 18,
            "gradient_shift": gradient_shift(BATCH),
            "step_size": StepSize.of(0.09375, "learning_rate"),
            "momentum": momentum,
            **more,
        }
    )


def start(spec, seed=1):
    """Rows and weights of about unit scale: every z stays inside its layer's interval."""
    rng = np.random.default_rng(seed)
    weights = [
        rng.normal(0, 0.3, (inner, width)) for inner, width in zip(spec.widths[:-1], spec.widths[1:], strict=True)
    ]
    return rng.normal(0, 1, (ROWS, spec.columns)), weights


def batches(steps):
    """Ten rows, ten, and the partial batch of three, again and again."""
    whole = [np.arange(first, min(first + BATCH, ROWS)) for first in range(0, ROWS, BATCH)]
    return [whole[number % len(whole)] for number in range(steps)]


@pytest.mark.parametrize(("parties", "momentum"), [(2, None), (3, StepSize(7, 3)), (4, StepSize(1, 1))])
@pytest.mark.parametrize(("stack", "gradient", "weights"), CASES)
def test_training_is_plain_training_within_the_derived_bound(stack, gradient, weights, parties, momentum):
    spec = spec_of(STACKS[stack], gradient, weights, momentum)
    rows, theta = start(spec)
    federation, plain = Federation(spec, rows, theta, parties), PlainStack(spec, rows, theta)
    targets = np.random.default_rng(2).normal(0, 1, (ROWS, CUT))
    for number, batch in enumerate(batches(4)):

        def gradient_of(z, batch=batch):
            return (z - targets[batch]) * (1 / len(batch))

        z, *_ = federation.train(batch, gradient_of, number)
        wanted = plain.forward(batch)
        assert wanted.holds(z)
        first = plain.backward((gradient_of(wanted) * 2.0**spec.gradient_shift).off(plain.unit / 2))
        if first is not None:
            assert first.holds(federation.first_gradient())
            federation.set_first(federation.weights()[0] - 0.0625 * federation.first_gradient())
            plain.weights[0] = (plain.weights[0] - first * 0.0625).off(plain.unit / 2)
        for found, bound in zip(federation.weights(), plain.weights, strict=True):
            assert bound.holds(found)
        for layer, found in federation.biases().items():
            assert plain.biases[layer].holds(found)
    assert max(one.error.max() for one in plain.weights) < 0.004  # the bound says something: weights have moved by more
    assert max(np.abs(one - two).max() for one, two in zip(federation.weights(), theta, strict=True)) > 0.03


@pytest.mark.parametrize(("stack", "gradient", "weights"), CASES)
def test_rounds_are_those_that_are_stated(stack, gradient, weights):
    """[1], per layer identity 2, square 3, poly3 4; back [6] of a shared gradient, [7], [8] of square and poly3, [9], and [10]."""
    spec = spec_of(STACKS[stack], gradient, weights)
    federation = Federation(spec, *start(spec))
    _, forward, backward = federation.train(np.arange(BATCH), lambda z: z / BATCH)
    activations = [layer.activation for layer in spec.layers]
    moves = 1 if spec.layers or weights == "shared" else 0
    assert forward == 1 + sum(FORWARD[one] for one in activations)
    assert backward == (gradient == "shared") + sum(BACKWARD[one] for one in activations) + moves


@pytest.mark.parametrize("activation", ["identity", "square", "poly3"])
def test_rounds_of_a_pass_without_training(activation):
    """The proof of an identity's range is settled in a round of its own; the others' rode."""
    spec = spec_of((SecretLayer(6, activation, 8.0, "sigmoid" if activation == "poly3" else ""),))
    rows, theta = start(spec)
    federation, plain = Federation(spec, rows, theta, 3), PlainStack(spec, rows, theta)
    steps = federation.step(np.arange(5), training=False)
    assert together([one.forward() for one in steps]) == 1 + FORWARD[activation]
    assert together([one.settle() for one in steps]) == (activation == "identity")
    assert plain.forward(np.arange(5)).holds(federation.output(steps))


@pytest.mark.parametrize("fractional_bits", [12, 16, 20])
def test_other_fractional_bits(fractional_bits):
    spec = spec_of(STACKS["3 sigmoid, identity"], fractional_bits=fractional_bits)
    rows, theta = start(spec)
    federation, plain = Federation(spec, rows, theta, 3), PlainStack(spec, rows, theta)
    batch = np.arange(BATCH)
    z, *_ = federation.train(batch, lambda z: z / BATCH)
    wanted = plain.forward(batch)
    plain.backward((wanted * (2.0**spec.gradient_shift / BATCH)).off(plain.unit / 2))
    assert wanted.holds(z)
    assert all(bound.holds(found) for found, bound in zip(federation.weights(), plain.weights, strict=True))
    assert np.abs(z - wanted.value).max() > 2.0 ** -(
        fractional_bits + 4
    )  # a bound of this precision, not of a finer one


@pytest.mark.parametrize("fractional_bits", [18, 20])
@pytest.mark.parametrize("rows_left", [1, 3, 20])
def test_the_last_rows_of_a_large_batch_do_not_wrap(rows_left, fractional_bits):
    """2^13 is of a batch of 5,000; of one row alone 2^13 dL/dz is thousands, and the cubic's truncation leaves 2^10 (f = 18), 2^6 (20)."""
    layers = (SecretLayer(6, "poly3", 8.0, "relu"), SecretLayer(5, "square", 16.0))
    spec = spec_of(layers, fractional_bits=fractional_bits, gradient_shift=gradient_shift(5000))
    rows, theta = start(spec)
    federation, plain = Federation(spec, rows, theta, 3), PlainStack(spec, rows, theta)
    batch = np.arange(rows_left)
    federation.train(batch, lambda z: (z + 3) / rows_left)
    plain.backward(((plain.forward(batch) + 3.0) * (2.0**spec.gradient_shift / rows_left)).off(plain.unit / 2))
    assert all(bound.holds(found) for found, bound in zip(federation.weights(), plain.weights, strict=True))
    assert max(one.error.max() for one in plain.weights) < 0.002
    assert max(np.abs(one - two).max() for one, two in zip(federation.weights(), theta, strict=True)) > 0.1


def test_a_gradient_of_twice_the_size_is_outside_the_bound():
    """Positive control: the bound is no blanket."""
    spec = spec_of(STACKS["2 square"])
    rows, theta = start(spec)
    federation, plain = Federation(spec, rows, theta), PlainStack(spec, rows, theta)
    batch = np.arange(BATCH)
    federation.train(batch, lambda z: 2 * z / BATCH)
    plain.backward((plain.forward(batch) * (2.0**spec.gradient_shift / BATCH)).off(plain.unit / 2))
    assert not any(bound.holds(found) for found, bound in zip(federation.weights(), plain.weights, strict=True))


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("activation", ["identity", "square", "poly3"])
def test_a_range_exceeded_is_named_before_anything_moves(activation, training, number):
    layers = [SecretLayer(6, activation, 8.0, "sigmoid" if activation == "poly3" else "")] * 2
    layers[number - 1] = SecretLayer(6, activation, 1.0, layers[0].approximates)
    spec = spec_of(tuple(layers))
    rows, theta = start(spec)
    for one in theta[:2]:
        one[...] = 0.25
    rows[...] = 0.5  # z_1 = 0.875
    theta[number - 1] *= 8  # z of that layer is at least 2
    federation = Federation(spec, rows, theta, 3)
    before = federation.weights()
    steps = federation.step(np.arange(BATCH), training=training)

    def whole():
        together([one.forward() for one in steps])
        if training:
            zero = federation.gradient(np.zeros((BATCH, CUT)))
            together([one.backward(share) for one, share in zip(steps, zero, strict=True)])
        together([one.settle() for one in steps])

    with pytest.raises(
        RangeError,
        match=rf"secret layer {number}: its linear output left \[-1, 1\]; .* a wider interval",
    ):
        whole()
    assert all(np.array_equal(one, two) for one, two in zip(before, federation.weights(), strict=True))


@pytest.mark.parametrize(("stack", "gradient", "weights"), [*CASES, ("1", "open", "own")])
def test_a_cut_that_is_proved_costs_three_rounds_and_changes_nothing(stack, gradient, weights):
    spec, proved = (spec_of(STACKS[stack], gradient, weights, cut_interval=bound) for bound in (0.0, 16.0))
    rows, theta = start(spec)
    plain, federations = PlainStack(spec, rows, theta), [Federation(one, rows, theta, 3) for one in (spec, proved)]
    (z, forward, backward), (same, more, after) = (
        one.train(np.arange(BATCH), lambda z: z / BATCH) for one in federations
    )
    wanted = plain.forward(np.arange(BATCH))
    assert wanted.holds(z)
    assert wanted.holds(same)
    assert (more, after) == (forward + 3, backward)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("stack", ["1", "2 square"])
def test_nothing_of_a_cut_beyond_its_interval_can_leave(stack, training):
    """`forward` does not end, so that no party has a share of z to send."""
    spec = spec_of(STACKS[stack], cut_interval=1.0)
    rows, theta = start(spec)
    theta[-1] *= 40  # of ten rows' z some are above 2
    federation = Federation(spec, rows, theta, 3)
    steps = federation.step(np.arange(BATCH), training=training)
    with pytest.raises(RangeError, match=r"the cut: its linear output left \[-1, 1\]"):
        together([one.forward() for one in steps], federation.seen)
    assert np.abs(federation.output(steps)).max() > 2


def test_what_a_step_opens_is_uniform():
    """Of constant rows and weights: each large opening by itself, all together, and zeros for the proofs' sums only.

    Keys are fixed; with random keys it would fail with probability 1e-6 for each opening and for all together.
    """
    layers = (SecretLayer(4, "square", 8.0), SecretLayer(4, "poly3", 8.0, "relu"))
    rows, theta = np.full((2048, 4), 0.5), [np.full((4, 4), 0.25)] * 3
    spec = spec_of(layers, columns=4, cut_width=4, gradient_shift=11, cut_interval=16.0)
    federation = Federation(spec, rows, theta, 3)
    federation.train(np.arange(2048), lambda z: z / 2048)
    sums = [one for one in federation.seen if one.shape == (1, 1)]
    others = [one for one in federation.seen if one.shape != (1, 1)]
    assert len(sums) == 3
    assert not np.any(sums)
    large = [one for one in others if one.size > 4096]
    forward = 4 + 5 + 2  # of a layer z, q - a, the activation and A - R, z^2 of poly3; z and q - a of the cut
    backward = 1 + 3 + 3  # [6], then [7] [8] [9] of each
    assert len(large) == forward + backward
    for one in large:
        assert uniform_p(one) > FAILURE
    assert uniform_p(np.concatenate([one.ravel() for one in others])) > FAILURE


def test_no_two_steps_open_alike():
    spec = spec_of(STACKS["2 square"])
    federation = Federation(spec, *start(spec))
    federation.train(np.arange(BATCH), lambda z: z / BATCH, 0)
    first, federation.seen = federation.seen, []
    federation.train(np.arange(BATCH), lambda z: z / BATCH, 1)
    for one, two in zip(first, federation.seen, strict=True):
        assert one.shape == (1, 1) or not np.any(one == two)
