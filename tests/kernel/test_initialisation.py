"""kernel.initialisation: one network whoever holds the columns."""

import hashlib

import numpy as np
import pytest

from kernel.errors import RowsError, SettingsError
from kernel.initialisation import check_network, glorot_layer, glorot_rows, initial_head, initial_stack
from kernel.network import NetworkSpec, OptimizerSpec

COLUMNS = [f"column {i}" for i in range(30)]


def network(**changes):
    numbers = {
        "widths": (6, 4, 3),
        "activations": ("relu", "tanh", "identity"),
        "loss": "multiclass",
        "outputs": 5,
        "optimizer": OptimizerSpec("sgd", 0.1),
        "seed": 7,
    }
    return NetworkSpec(**(numbers | changes))


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_any_split_of_the_columns_gives_the_same_rows(parties):
    pooled = glorot_rows(b"secret", 3, COLUMNS, 30, 8)
    shuffled = np.random.default_rng(parties).permutation(30)
    for held in np.array_split(shuffled, parties):
        block = glorot_rows(b"secret", 3, [COLUMNS[i] for i in held], 30, 8)
        np.testing.assert_array_equal(block, pooled[held])


def test_rows_are_glorot_uniform():
    """4000 draws: the sample variance of a uniform strays over 6 % with probability below 1e-4."""
    rows = glorot_rows(b"", 1, [str(i) for i in range(500)], 500, 8)
    limit = np.sqrt(6 / 508)
    assert rows.dtype == np.float32
    assert rows.shape == (500, 8)
    assert np.abs(rows).max() <= limit * (1 + 1e-6)
    assert abs(rows.mean()) < 4.5 * limit / np.sqrt(3 * 4000)
    assert rows.var() == pytest.approx(limit**2 / 3, rel=0.06)


def test_each_ingredient_changes_the_row():
    row = glorot_rows(b"s", 1, ["a"], 10, 8)
    others = [
        glorot_rows(b"t", 1, ["a"], 10, 8),
        glorot_rows(b"s", 2, ["a"], 10, 8),
        glorot_rows(b"s", 1, ["b"], 10, 8),
        glorot_rows(b"sa", 1, [""], 10, 8),  # where the secret ends and the name begins matters
    ]
    for other in others:
        assert not np.isclose(row, other).any()


def test_the_written_rule():
    """The first number of a row, from its definition: SHA-256, SeedSequence, Philox, top 53 bits."""
    name = b"tertium first layer row\x00" + (5).to_bytes(8, "big") + (2).to_bytes(4, "big") + b"ab" + b"age"
    digest = hashlib.sha256(name).digest()
    words = [int.from_bytes(digest[i : i + 4], "big") for i in range(0, 32, 4)]
    raw = int(np.random.Philox(np.random.SeedSequence(words)).random_raw(1)[0])
    wanted = (2 * (raw >> 11) / 2**53 - 1) * (6 / (9 + 4)) ** 0.5
    assert glorot_rows(b"ab", 5, ["age"], 9, 4)[0, 0] == np.float32(wanted)


def test_layers_differ_and_repeat():
    np.testing.assert_array_equal(glorot_layer(1, 1, 8, 8), glorot_layer(1, 1, 8, 8))
    assert not np.isclose(glorot_layer(1, 1, 8, 8), glorot_layer(1, 2, 8, 8)).any()
    assert not np.isclose(glorot_layer(1, 1, 8, 8), glorot_layer(-1, 1, 8, 8)).any()


def test_the_whole_network_by_name():
    stack = initial_stack(network())
    assert {name: value.shape for name, value in stack.items()} == {
        "bias_0": (6,),
        "kernel_1": (6, 4),
        "bias_1": (4,),
        "kernel_2": (4, 3),
        "bias_2": (3,),
    }
    np.testing.assert_array_equal(stack["kernel_2"], glorot_layer(7, 2, 4, 3))
    assert not stack["bias_1"].any()
    kernel, bias = initial_head(network())
    np.testing.assert_array_equal(kernel, glorot_layer(7, 3, 3, 5))
    np.testing.assert_array_equal(bias, np.zeros(5, np.float32))


def test_bad_columns_and_seeds_are_refused():
    with pytest.raises(RowsError, match="'a'"):
        glorot_rows(b"", 1, ["a", "b", "a"], 3, 4)
    with pytest.raises(RowsError, match="fan_in is 1 with 2 columns"):
        glorot_rows(b"", 1, ["a", "b"], 1, 4)
    with pytest.raises(SettingsError, match="64-bit"):
        glorot_rows(b"", 2**63, ["a"], 1, 4)
    with pytest.raises(SettingsError, match="must be 1 or more"):
        glorot_layer(1, 1, 0, 4)


@pytest.mark.parametrize(
    "changes",
    [
        {"widths": (), "activations": ()},
        {"widths": (6, 0, 3)},
        {"activations": ("relu", "relu")},
        {"activations": ("relu", "relu", "gelu")},
        {"loss": "hinge"},
        {"outputs": 1},
        {"loss": "binary", "outputs": 2},
        {"loss": "regression", "outputs": 0},
    ],
)
def test_networks_that_cannot_be_built_are_refused(changes):
    with pytest.raises(SettingsError):
        check_network(network(**changes))
