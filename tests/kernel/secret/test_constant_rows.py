"""Rows that are all alike, weights at zero and a gradient at zero: what a party is sent is uniform all the same.

With whatever is known of the values taken away by knowing them all, only masks are left; truly uniform words fail with probability at
most FAILURE for each party.
"""

import numpy as np
import pytest
from lockstep import Federation, together
from uniformity import FAILURE, uniform_p

from kernel.secret.spec import SecretLayer, SecretSpec, StepSize

STEPS, ROWS = 12, 32


def spec(weights):
    return SecretSpec(
        columns=6,
        layers=(
            SecretLayer(4, "square", 16.0),
            SecretLayer(3, "poly3", 8.0, "sigmoid"),
            SecretLayer(4, "identity", 8.0),
        ),
        cut_width=2,
        gradient="shared",
        weights=weights,
        fractional_bits=18,
        gradient_shift=5,
        step_size=StepSize(1, 3),
        momentum=StepSize(7, 3),
    )


def noted(rounds, kept):
    """The same rounds, what a party sends in each written down."""
    try:
        opened = next(rounds)
        while True:
            kept.append(np.concatenate([one.ravel() for one in opened]))
            opened = rounds.send((yield opened))
    except StopIteration as end:
        return end.value


def sent(of, parties, value):
    """By party, everything it sends to its peers in `STEPS` steps on rows that are all ``value``, and what was opened."""
    weights = [np.zeros(shape) for shape in zip(of.widths, of.widths[1:], strict=False)]
    federation = Federation(of, np.full((ROWS, of.columns), value), weights, parties=parties, seed=parties)
    words = [[] for _ in range(parties)]
    for number in range(STEPS):
        steps = federation.step(np.arange(ROWS), number)
        gradients = federation.gradient(np.zeros((ROWS, of.cut_width)))
        together([noted(one.forward(), kept) for one, kept in zip(steps, words, strict=True)])
        together([noted(one.backward(g), kept) for one, g, kept in zip(steps, gradients, words, strict=True)])
        together([noted(one.settle(), kept) for one, kept in zip(steps, words, strict=True)])
    return federation, [np.concatenate(kept) for kept in words]


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("weights", ["own", "shared"])
def test_all_that_peers_send_is_uniform_for_constant_rows(parties, weights):
    federation, words = sent(spec(weights), parties, 1.0)
    assert words[0].size > 10_000
    assert min(map(uniform_p, words)) > FAILURE
    opened = sum(words[1:], words[0].copy())
    proofs = len(spec(weights).layers) * STEPS
    assert opened.size - np.count_nonzero(opened) == proofs  # the sum of a range proof, and nothing else
    assert uniform_p(opened[opened != 0]) > FAILURE
    for number in federation.models[0].biases:  # and so are the shares of what was trained
        assert all(model.weights[-1].any() for model in federation.models), number


def test_the_values_behind_them_are_not():
    """Positive control: rows and weights themselves, as ring words."""
    of = spec("shared")
    federation, _ = sent(of, 2, 1.0)
    e = federation.e + sum((one.rows_mask(ROWS, of.columns) for one in federation.shares), np.zeros_like(federation.e))
    assert uniform_p(e) < FAILURE
