"""Several parties' sides of a step in one process: their generators advance together, and openings are sums of what they yield."""

from collections.abc import Callable, Sequence

import numpy as np

from kernel.fixed_point import FixedPoint
from kernel.randomness import SecretKey, StreamPosition
from kernel.secret.correlations import CorrelatedShares, CorrelationDealer, Recipe, correct
from kernel.secret.recipe import step_recipe
from kernel.secret.spec import SecretSpec
from kernel.secret.step import SecretStep, SecretWeights, StepRows, multiply_ahead


def words_of(values, bits):
    return FixedPoint(64, bits).encode(np.asarray(values, np.float64), "a test's value")


def reals_of(words, bits):
    return FixedPoint(64, bits).decode(words)


def split(words, parties, rng):
    """Uniform shares that add up to ``words``."""
    shares = [rng.integers(0, 2**64, words.shape, dtype=np.uint64) for _ in range(parties - 1)]
    return [*shares, words - sum(shares, np.zeros_like(words))]


def blocks(words, parties):
    """Every party's own rows of ``words``, zero elsewhere."""
    found = [np.zeros_like(words) for _ in range(parties)]
    for one, rows in zip(found, np.array_split(np.arange(len(words)), parties), strict=True):
        one[rows] = words[rows]
    return found


def together(rounds: Sequence, seen: list | None = None) -> int:
    """Run generators in lockstep; the number of rounds. What was opened is added to ``seen``."""
    count, sent = 0, [next(one, None) for one in rounds]
    while any(one is not None for one in sent):
        assert all(one is not None for one in sent), "a party ended a round before the others"
        assert len({tuple(array.shape for array in one) for one in sent}) == 1
        opened = [sum(arrays[1:], arrays[0].copy()) for arrays in zip(*sent, strict=True)]
        if seen is not None:
            seen.extend(opened)
        sent = [_send(one, opened) for one in rounds]
        count += 1
    return count


def _send(rounds, opened):
    try:
        return rounds.send(opened)
    except StopIteration:
        return None


def dealt(items, parties: int, seed: int = 0):
    """Every party's shares of items that use no rows, the correction added at the last party."""
    seeds = [SecretKey(bytes([seed, place]) * 16) for place in range(parties)]
    recipe, position = Recipe(tuple(items)), StreamPosition(1, 0, 1)
    found = [CorrelatedShares(key).masks(recipe, position) for key in seeds]
    correct(found[-1], recipe, CorrelationDealer(seeds, 1, 1).correction(recipe, np.zeros(1, np.int64), position))
    return found


def total(shares):
    """The sum of shares of one array."""
    first, *others = shares
    return sum(others, first.copy())


def signed(words):
    """Python integers of ring words, two's complement, as an object array."""
    return words.view(np.int64).astype(object)


def _kept(rounds, found, place):
    """A generator whose result is kept in ``found``."""
    found[place] = yield from rounds


class Federation:
    """Parties with shares of rows and weights; ``weights`` and ``biases`` (of layer l) are what the shares add up to."""

    def __init__(self, spec: SecretSpec, rows, weights, parties: int = 2, seed: int = 0):
        self.spec, self.parties, self.rng = spec, parties, np.random.default_rng(seed)
        self.seen: list = []
        self.seeds = [SecretKey(self.rng.bytes(32)) for _ in range(parties)]
        self.dealer = CorrelationDealer(self.seeds, *rows.shape)
        self.shares = [CorrelatedShares(key) for key in self.seeds]
        f = spec.fractional_bits
        masks = [one.rows_mask(*rows.shape) for one in self.shares]
        self.e = words_of(rows, f) - sum(masks[1:], masks[0].copy())
        self.factors = [mask + self.e if place == 0 else mask for place, mask in enumerate(masks)]
        pieces = [split(words_of(one, f), parties, self.rng) for one in weights]
        if spec.weights == "own":
            pieces[0] = blocks(words_of(weights[0], f), parties)
        self.models = [
            SecretWeights(
                [piece[place].copy() for piece in pieces],
                {
                    number: np.zeros((1, spec.widths[number]), np.uint64)
                    for number in range(1, spec.depth + 1)
                    if spec.has_bias(number)
                },
            )
            for place in range(parties)
        ]

    def step(self, batch, number: int = 0, *, training: bool = True, epoch: int = 1) -> list[SecretStep]:
        recipe, position = step_recipe(self.spec, len(batch), training=training), StreamPosition(epoch, number, 1)
        dealt = [one.masks(recipe, position) for one in self.shares]
        correct(dealt[-1], recipe, self.dealer.correction(recipe, batch, position))
        rows = [StepRows(self.e[batch], factor[batch]) for factor in self.factors]
        for shares, one in zip(dealt, rows, strict=True):
            multiply_ahead(shares, one)
        return [
            SecretStep(self.spec, shares, one, model, place == 0)
            for place, (shares, one, model) in enumerate(zip(dealt, rows, self.models, strict=True))
        ]

    def output(self, steps):
        return reals_of(sum((one.product for one in steps), np.uint64(0)), 2 * self.spec.fractional_bits)

    def gradient(self, values):
        """What each party passes to `backward`: the opened gradient, or its share."""
        words = words_of(np.asarray(values) * 2.0**self.spec.gradient_shift, self.spec.fractional_bits)
        return [words] * self.parties if self.spec.gradient == "open" else split(words, self.parties, self.rng)

    def train(self, batch, gradient_of: Callable, number: int = 0):
        """One whole step; ``gradient_of`` z_i -> dL/dz_i. Returns (z_i, rounds forward, rounds backward)."""
        steps = self.last = self.step(batch, number)
        forward = together([one.forward() for one in steps], self.seen)
        z = self.output(steps)
        return z, forward, self._descend(self.gradient(gradient_of(z)))

    def train_without_server(self, batch, labels, number: int = 0):
        """The same of the label holder's ``labels`` t, [batch, outputs]. Returns (2^s dL/dy, rounds forward, of the head, backward)."""
        steps = self.last = self.step(batch, number)
        forward = together([one.forward() for one in steps], self.seen)
        t = words_of(labels, self.spec.fractional_bits)
        found = [t] * self.parties
        head = together(
            [_kept(one.head_gradient(t if place == 1 else 0 * t), found, place) for place, one in enumerate(steps)],
            self.seen,
        )
        return reals_of(total(found), self.spec.fractional_bits), forward, head, self._descend(found)

    def _descend(self, gradient) -> int:
        rounds = together([one.backward(share) for one, share in zip(self.last, gradient, strict=True)], self.seen)
        return rounds + together([one.settle() for one in self.last], self.seen)

    def first_gradient(self):
        """What the parties' shares of dL/dTheta_1 add up to."""
        words = total([one.first_gradient for one in self.last])
        return reals_of(words, 2 * self.spec.fractional_bits) / 2.0**self.spec.gradient_shift

    def set_first(self, values):
        """Blocks in the clear, after the parties' own optimizers moved them."""
        for model, block in zip(
            self.models, blocks(words_of(values, self.spec.fractional_bits), self.parties), strict=True
        ):
            model.weights[0] = block

    def weights(self):
        f = self.spec.fractional_bits
        return [
            reals_of(sum(parts, np.uint64(0)), f)
            for parts in zip(*(model.weights for model in self.models), strict=True)
        ]

    def biases(self):
        f = self.spec.fractional_bits
        return {
            key: reals_of(sum((model.biases[key] for model in self.models), np.uint64(0)), f)
            for key in self.models[0].biases
        }
