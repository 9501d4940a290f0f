"""kernel.secret.openings: exactly what parties in lockstep open, and a step worked by hand."""

from dataclasses import replace

import numpy as np
import pytest
from lockstep import Federation, together

from kernel.secret.openings import OpenedWords, opened_words
from kernel.secret.spec import SecretLayer, SecretSpec, StepSize

IDENTITY = SecretLayer(3, "identity", 8.0)
SQUARE = SecretLayer(4, "square", 8.0)
CUBIC = SecretLayer(5, "poly3", 8.0, "sigmoid")
ROWS, COLUMNS, CUT = 7, 6, 2


def spec(layers=(), gradient="shared", weights="own", momentum=None, head=""):
    return SecretSpec(
        columns=COLUMNS,
        layers=layers,
        cut_width=CUT,
        gradient=gradient,
        weights=weights,
        fractional_bits=18,
        gradient_shift=3,
        step_size=StepSize(1, 3),
        momentum=momentum,
        head=head,
        head_interval=8.0,
    )


def noted(rounds, words):
    """The same rounds, each one's words written down."""
    try:
        opened = next(rounds)
        while True:
            words.append(sum(one.size for one in opened))
            opened = rounds.send((yield opened))
    except StopIteration as end:
        return end.value


def opened_together(of, training):
    """By three parties that train together on random rows and weights."""
    generator = np.random.default_rng(3)
    shapes = zip(of.widths, of.widths[1:], strict=False)
    weights = [generator.normal(0, 0.1, shape) for shape in shapes]
    federation = Federation(of, generator.normal(0, 1, (ROWS, COLUMNS)), weights, parties=3)
    steps = federation.step(np.arange(ROWS), training=training)
    forward, backward = [[] for _ in steps], [[] for _ in steps]
    together([noted(one.forward(), words) for one, words in zip(steps, forward, strict=True)])
    if training:
        gradients = federation.gradient(generator.normal(0, 0.1, (ROWS, of.cut_width)))
        together(
            [noted(one.backward(share), words) for one, share, words in zip(steps, gradients, backward, strict=True)]
        )
    last = backward if training else forward
    together([noted(one.settle(), words) for one, words in zip(steps, last, strict=True)])
    assert forward[0] == forward[1] == forward[2]
    assert backward[0] == backward[1] == backward[2]
    return OpenedWords(tuple(forward[0]), tuple(backward[0]))


@pytest.mark.parametrize("training", [True, False], ids=["training", "forward only"])
@pytest.mark.parametrize(
    "of",
    [
        spec(),
        spec(weights="shared"),
        spec(gradient="open", weights="shared", momentum=StepSize(7, 3)),
        spec((SQUARE,), gradient="open"),
        spec((IDENTITY, SQUARE), weights="shared", momentum=StepSize(7, 3)),
        spec((CUBIC, IDENTITY, SQUARE)),
    ],
    ids=["shared gradient", "shared weights", "only weights", "one layer", "two, momentum", "three"],
)
def test_parties_open_exactly_this(of, training):
    assert opened_words(of, ROWS, training=training) == opened_together(of, training)


def test_a_step_by_hand():
    """6 columns - square of 4 - cut of 2, gradient shared, weights own, 7 rows; letters and numbers as in step.py."""
    found = opened_words(spec((SQUARE,)), ROWS, training=True)
    assert found.forward == (
        6 * 4 + 4 * 2,  # [1] F_1 and F_2
        7 * 4,  # [2] z_1
        7 * 4 + 7 * 4,  # [4] its square, and the proof of its range
        7 * 4 + 1,  # [5] A_1 - R_1, and the proof's sum
    )
    assert found.backward == (
        7 * 2,  # [6] G_2 - W_2
        7 * 4,  # [7] the gradient at the square
        7 * 4,  # [8] at z_1
        7 * 4,  # [9] G_1 - W_1
        4 * 2 + 4,  # [10] Theta_2 and the first bias
    )
    assert found.words == found.forward + found.backward


def test_an_open_gradient_saves_its_round_and_own_weights_their_move():
    shared, opened = (
        opened_words(spec(gradient=form, weights="shared"), ROWS, training=True) for form in ("shared", "open")
    )
    assert (shared.backward, opened.backward) == ((7 * 2, 6 * 2), (6 * 2,))
    assert opened_words(spec(), ROWS, training=True).backward == (7 * 2,)  # no round in which nothing is opened


def test_a_label_head_on_shares_opens_its_output_its_square_and_its_gradient():
    head = spec((SQUARE,), weights="shared", head="binary")
    without = opened_words(replace(head, head=""), ROWS, training=True).backward
    with_head = opened_words(head, ROWS, training=True).backward
    assert with_head[:3] == (7 * 2, 7 * 2 + 7 * 2, 7 * 2 + 1)  # y; y^2 and y's proof; the gradient and the proof's sum
    assert with_head[3:-1] == without[:-1]
    assert with_head[-1] == without[-1] + 2  # the head's bias moves, too
