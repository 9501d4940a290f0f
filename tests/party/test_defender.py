"""party.defender: gradients against finite differences, Adam against kernel.optimizers, and what each objective does."""

import numpy as np
import pytest

from kernel.defender_plan import DefenderSpec
from kernel.errors import BadInputError, SettingsError, StepError, WireError
from kernel.network import OptimizerSpec
from kernel.optimizers import Optimizer
from party.defender import Defender, check_tensorflow, initial_defender

WIDTH, COLUMNS, ROWS = 5, 4, 6


def spec(objective="adversarial", distance="mse", widths=(7,), activations=("tanh",), rate=0.01):
    return DefenderSpec(1.0, objective, distance, widths, activations, rate)


def weights_of(of, me="ann", columns=COLUMNS):
    return initial_defender(of, b"key", 3, me, WIDTH, columns)


def batch(seed=0, rows=ROWS):
    """h1 and rows that a linear function of it explains, but for noise."""
    rng = np.random.default_rng(seed)
    h1 = rng.normal(size=(rows, WIDTH)).astype(np.float32)
    mixing = np.random.default_rng(99).normal(size=(WIDTH, COLUMNS))
    return h1, (h1 @ mixing + 0.1 * rng.normal(size=(rows, COLUMNS))).astype(np.float32)


def distances(of, weights, h1, rows):
    """Each row's distance, float64[rows], in numpy: the oracle."""
    functions = {"tanh": np.tanh, "sigmoid": lambda z: 1 / (1 + np.exp(-z)), "relu": lambda z: np.maximum(z, 0)}
    a = np.asarray(h1, np.float64)
    for layer in range(len(of.widths) + 1):
        a = a @ weights[f"kernel_{layer}"].astype(np.float64) + weights[f"bias_{layer}"]
        a = functions[of.activations[layer]](a) if layer < len(of.widths) else a
    difference = a - rows
    return (np.square(difference) if of.distance == "mse" else np.abs(difference)).mean(axis=1)


SHAPES = [((), ()), ((7,), ("tanh",)), ((6, 3), ("sigmoid", "relu"))]


@pytest.mark.parametrize("distance", ["mse", "mae"])
@pytest.mark.parametrize(("widths", "activations"), SHAPES, ids=["linear", "one layer", "two layers"])
def test_the_gradient_is_that_of_each_rows_own_distance(widths, activations, distance):
    """Central differences of the float64 oracle; a row's distance depends on its own row of h1 alone."""
    of = spec(distance=distance, widths=widths, activations=activations)
    weights = weights_of(of)
    h1, rows = batch()
    mean, gradient = Defender(of, weights).distance_and_gradient(h1, rows)
    assert mean == pytest.approx(distances(of, weights, h1, rows).mean(), rel=1e-5)
    step = 1e-5
    wanted = np.empty((ROWS, WIDTH))
    for unit in range(WIDTH):
        moved = step * np.eye(WIDTH)[unit]
        up, down = (distances(of, weights, h1 + sign * moved, rows) for sign in (1, -1))
        wanted[:, unit] = (up - down) / (2 * step)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("objective", ["adversarial", "literal"])
def test_weights_move_as_adam_moves_them(objective):
    """Against kernel.optimizers, with the net's gradient by central differences; three steps; literal climbs instead."""
    of = spec(objective, widths=(3,), activations=("tanh",))
    defender, wanted = Defender(of, weights_of(of)), weights_of(of)
    optimizer = Optimizer(OptimizerSpec("adam", 0.01), [one.shape for one in wanted.values()])
    sign = -1 if objective == "literal" else 1
    for number in range(3):
        h1, rows = batch(number)
        defender.distance_and_gradient(h1, rows)
        gradients = []
        for name in wanted:
            found = np.empty(wanted[name].shape)
            for index in np.ndindex(found.shape):
                sides = []
                for shift in (1e-4, -1e-4):
                    moved = {key: value.astype(np.float64) for key, value in wanted.items()}
                    moved[name][index] += shift
                    sides.append(distances(of, moved, h1, rows).mean())
                found[index] = sign * (sides[0] - sides[1]) / 2e-4
            gradients.append(found)
        optimizer.step(list(wanted.values()), gradients)
        defender.apply()
        state = defender.state()
        for name, value in wanted.items():
            np.testing.assert_allclose(state[name], value, rtol=1e-3, atol=2e-5)


def distance_after(objective, distance="mse", steps=150):
    of = spec(objective, distance, rate=0.02)
    defender = Defender(of, weights_of(of))
    h1, rows = batch(5, 64)
    before = distances(of, defender.state(), h1, rows).mean()
    for _ in range(steps):
        defender.distance_and_gradient(h1, rows)
        defender.apply()
    return before, distances(of, defender.state(), h1, rows).mean()


@pytest.mark.parametrize("distance", ["mse", "mae"])
def test_an_adversarial_defender_learns_to_recover(distance):
    before, after = distance_after("adversarial", distance)
    assert after < 0.25 * before


def test_a_literal_defender_runs_away():
    """Eq. 3-4 to the letter: the net that should show what an attacker learns unlearns instead, without bound."""
    before, after = distance_after("literal")
    assert after > 10 * before


def test_a_batch_in_pieces_is_the_batch():
    """Gradients at h1 are the same rows; the move is the same up to the order of a float32 sum."""
    of = spec()
    whole, pieces = Defender(of, weights_of(of)), Defender(of, weights_of(of))
    for number in range(3):
        h1, rows = batch(number, 9)
        mean, gradient = whole.distance_and_gradient(h1, rows)
        cuts = [slice(0, 4), slice(4, 8), slice(8, 9)]
        found = [pieces.distance_and_gradient(h1[cut], rows[cut]) for cut in cuts]
        np.testing.assert_allclose(np.concatenate([one for _, one in found]), gradient, rtol=1e-4, atol=1e-6)
        assert sum(one * len(h1[cut]) for (one, _), cut in zip(found, cuts, strict=True)) / 9 == pytest.approx(mean)
        whole.apply()
        pieces.apply()
    for name, value in whole.state().items():
        np.testing.assert_allclose(pieces.state()[name], value, rtol=1e-3, atol=1e-5)


def trained(defender, numbers):
    for number in numbers:
        defender.distance_and_gradient(*batch(number))
        defender.apply()
    return defender.state()


def test_a_restored_defender_goes_on_bit_for_bit():
    of = spec()
    first = Defender(of, weights_of(of))
    saved = trained(first, range(3))
    wanted = trained(first, range(3, 6))
    second = Defender(of, weights_of(of, me="bob"))
    second.distance_and_gradient(*batch(8))  # of a step that was never done; load drops it
    second.load(saved)
    found = trained(second, range(3, 6))
    assert found.keys() == wanted.keys() >= {"kernel_0", "bias_1", "momentum.kernel_0", "velocity.bias_1", "step"}
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_warming_up_leaves_no_trace():
    of = spec()
    cold, warm = Defender(of, weights_of(of)), Defender(of, weights_of(of))
    warm.warm_up([ROWS, 2])
    left, right = trained(cold, range(2)), trained(warm, range(2))
    assert all(np.array_equal(left[name], right[name]) for name in left)


def test_a_start_belongs_to_key_seed_and_party():
    of = spec()
    starts = [
        initial_defender(of, key, seed, me, WIDTH, COLUMNS)["kernel_0"]
        for key, seed, me in [(b"key", 3, "ann"), (b"kez", 3, "ann"), (b"key", 4, "ann"), (b"key", 3, "bob")]
    ]
    assert np.array_equal(starts[0], weights_of(of)["kernel_0"])
    assert all(not np.any(starts[0] == other) for other in starts[1:])
    assert np.abs(starts[0]).max() <= np.sqrt(6 / (WIDTH + 7))


def test_a_state_of_another_shape_is_refused():
    of = spec()
    other = Defender(of, weights_of(of, columns=COLUMNS + 1))
    with pytest.raises(BadInputError, match="saved state of the defender has kernel_1 of shape"):
        Defender(of, weights_of(of)).load(other.state())


def test_h1_of_another_shape_is_refused():
    of = spec()
    h1, rows = batch()
    with pytest.raises(WireError, match=r"h1 came as float32\[6, 4\], wanted float32\[6, 5\]"):
        Defender(of, weights_of(of)).distance_and_gradient(h1[:, 1:], rows)


def test_nothing_is_applied_twice():
    of = spec()
    defender = Defender(of, weights_of(of))
    defender.distance_and_gradient(*batch())
    defender.apply()
    with pytest.raises(StepError, match="no gradient to apply"):
        defender.apply()


def test_a_party_without_tensorflow_says_so(monkeypatch):
    monkeypatch.setattr("party.defender.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"needs TensorFlow at every party; at 'ann' it is not installed: pip"):
        check_tensorflow("ann", "a defender", "defender")
