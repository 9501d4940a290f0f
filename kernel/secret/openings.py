"""How much a step on shares opens, round by round: counted by taking one, so that nothing here can differ from step.py.

The step is taken by one party alone whose masks and weights are zero: what is opened is then its own, and every truncation,
product and proof holds. Words of a round are affine in the rows of the batch, so that two small batches tell of any.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from kernel.ring import ring_dtype
from kernel.secret.recipe import step_recipe
from kernel.secret.spec import SecretSpec
from kernel.secret.step import Openings, SecretStep, SecretWeights, StepRows, multiply_ahead

Result = TypeVar("Result")


@dataclass(frozen=True)
class OpenedWords:
    """Words that every party sends to every other, a number for each round.

    Attributes:
      forward: up to z_i, range proofs that nothing carried included where the step goes no further; backward: from the gradient
        at the cut to the last weight's move, and proofs.
    """

    forward: tuple[int, ...]
    backward: tuple[int, ...]

    @property
    def words(self) -> tuple[int, ...]:
        """Of all rounds, in order."""
        return self.forward + self.backward


def opened_words(spec: SecretSpec, rows: int, *, training: bool) -> OpenedWords:
    """Of a step over ``rows`` rows.

    Raises:
      SettingsError: as `step_recipe`.
    """
    one, two = (_taken(spec, number, training) for number in (1, 2))
    return OpenedWords(
        *(
            tuple(first + (rows - 1) * (second - first) for first, second in zip(few, more, strict=True))
            for few, more in ((one.forward, two.forward), (one.backward, two.backward))
        )
    )


def _taken(spec: SecretSpec, rows: int, training: bool) -> OpenedWords:
    word = ring_dtype(64)
    recipe = step_recipe(spec, rows, training=training)
    shares = {item.name: np.zeros(item.shape, ring_dtype(item.bits)) for item in recipe.items}
    no_rows = np.zeros((rows, spec.columns), word)
    batch = StepRows(no_rows, no_rows)
    multiply_ahead(shares, batch)
    model = SecretWeights(
        [np.zeros(shape, word) for shape in zip(spec.widths, spec.widths[1:], strict=False)],
        {
            number: np.zeros((1, spec.widths[number]), word)
            for number in range(1, spec.depth + 1)
            if spec.has_bias(number)
        },
    )
    step = SecretStep(spec, shares, batch, model, first=True)
    forward, backward = list[int](), list[int]()
    _alone(step.forward(), forward)
    output = np.zeros((rows, spec.cut_width), word)
    if training:
        gradient = _alone(step.head_gradient(output), backward) if spec.head else output
        _alone(step.backward(gradient), backward)
    _alone(step.settle(), backward if training else forward)
    return OpenedWords(tuple(forward), tuple(backward))


def _alone(rounds: Generator[Openings, Openings, Result], words: list[int]) -> Result:
    """Opens to itself what a single party shares, and notes its words."""
    try:
        opened = next(rounds)
        while True:
            words.append(sum(one.size for one in opened))
            opened = rounds.send([one.copy() for one in opened])
    except StopIteration as end:
        result: Result = end.value
        return result
