"""One step of the layers on shares, as a party computes it: it yields what is to be opened and is sent what was opened.

Everything here is local to one party; ``first`` at exactly one, which adds what is public. Numbered by rounds of openings:
 [1] F_l = Theta_l - V_l of all layers; z_1 = X Theta_1 from the rows' opening E = X - U;
 [2] of each layer before the cut: z_l + mask, which truncates it and is its Beaver opening at once (truncation.py);
 [3] poly3: the same of z_l^2; [4] square, poly3: the same of the activation;
 [5] A_l - R_l, for both products A_l is part of. Rounds a layer before the cut: identity 2, square 3, poly3 4.
 [c] where z_i's range is proved: z_i + mask, and both openings of the proof, before it is sent: 3 rounds.
Then z_i, re-masked, is the neutral server's, and the gradient there comes back, in the clear or as shares.
 [6] a shared one: G_i - W_i;
 [7] of each layer before the cut, downwards: the gradient at its activation; [8] square, poly3: that at z_l; [9] G_l - W_l.
 [10] what moves weights that are shares, all at once.
Range proofs ride on the openings that follow them.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from kernel.errors import RangeError
from kernel.ring import RingArray, multiply_add, ring_matmul
from kernel.secret.polynomials import coefficients, cubic
from kernel.secret.range_proof import excess
from kernel.secret.recipe import activation_shift, range_shift
from kernel.secret.spec import COEFFICIENT_BITS, SecretLayer, SecretSpec
from kernel.secret.truncation import Truncated, masked, multiplied, squared, truncate, truncated_again

Openings = list[RingArray]
Rounds = Generator[Openings, Openings, None]
"""Yields shares, is sent their sums over all parties."""


@dataclass
class SecretWeights:
    """One party's shares, words; index l - 1 for layer l. ``weights[0]`` is its own block in the rows of its columns, zero elsewhere,
    where first-layer weights are a party's own. ``moves``: what momentum kept of the last step, for each array that moves."""

    weights: list[RingArray]
    biases: dict[int, RingArray]
    moves: dict[str, RingArray] = field(default_factory=dict)


@dataclass
class StepRows:
    """The batch's rows of E, words [batch, columns], and what E's products are completed with: this party's share of U, at the first party plus E."""

    e: RingArray
    factor: RingArray


@dataclass(eq=False)
class SecretStep:
    """A step at one party.

    Args:
      shares: of the step's recipe, corrected, after `multiply_ahead`.
      rows: of the batch.
    """

    spec: SecretSpec
    shares: Mapping[str, RingArray]
    rows: StepRows
    model: SecretWeights
    first: bool
    product: RingArray = field(init=False)
    """After `forward`: this party's share of z_i with 2 f fractional bits, words [batch, cut width]; not yet re-masked."""
    first_gradient: RingArray | None = field(default=None, init=False)
    """After `backward`, where first-layer weights are a party's own: its share of 2^s dL/dTheta_1, 2 f fractional bits."""

    def __post_init__(self) -> None:
        self._weights: list[RingArray] = []
        """F_l, opened."""
        self._activations: dict[int, RingArray] = {}
        """A_l - R_l, opened."""
        self._inputs: dict[str, Truncated] = {}
        """z_l (T), z_l^2 (P) after truncation."""
        self._proofs = _Proofs()

    def forward(self) -> Rounds:
        """Up to ``product``.

        Raises:
          RangeError: a layer's range was exceeded; names it.
        """
        spec, shares = self.spec, self.shares
        opened = yield [theta - shares[f"V{number}"] for number, theta in enumerate(self.model.weights, 1)]  # [1]
        self._weights = list(opened)
        self.product = self._first_product()
        for number, layer in enumerate(spec.layers, 1):
            yield from self._activate(number, layer)
            self.product = self._next_product(number + 1)
        if spec.cut_interval:
            yield from self._prove_cut()

    def settle(self) -> Rounds:
        """The range proofs that no later opening carried."""
        while due := self._proofs.due():
            self._proofs.take((yield due))

    def backward(self, gradient: RingArray) -> Rounds:
        """Gradients of all layers, and the move of those whose weights are shares.

        Args:
          gradient: words [batch, cut width] of 2^s dL/dz_i with f fractional bits: the same at all parties where the plan
            opens it, else this party's share.
        """
        spec, moves = self.spec, dict[str, RingArray]()
        for number in range(spec.depth, 0, -1):
            public = number == spec.depth and spec.gradient == "open"
            if number < spec.depth:
                gradient = yield from self._descend(number, gradient)
            if spec.has_bias(number):
                total = gradient.sum(axis=0, dtype=np.uint64).reshape(1, -1)
                moves[f"B{number}"] = total if not public or self.first else np.zeros_like(total)
            if public:
                moves[str(number)] = self._weight_gradient_of_public(number, gradient)
                gradient = self._input_gradient_of_public(number, gradient) if number > 1 else gradient
            else:
                (h,) = yield from self._open([gradient - self.shares[f"W{number}"]])  # [6] [9]
                moves[str(number)] = self._weight_gradient(number, h)
                gradient = self._input_gradient(number, h) if number > 1 else gradient
        if not spec.weights_shared(1):
            self.first_gradient = moves.pop("1")
        if moves:  # none where the first layer is the cut and a party's own: no round for nothing
            yield from self._move(moves)

    def head_gradient(self, labels: RingArray) -> Generator[Openings, Openings, RingArray]:
        """Without a neutral server: this party's share of 2^s dL/dy, f fractional bits, y the label head's output.

        L is the mean logistic loss of every output, (p(y) - t) / batch its gradient with the cubic p in the place of the sigmoid; of
        several classes each has an output of its own.

        Args:
          labels: this party's share of t, words [batch, outputs] with f fractional bits; the label holder's is t itself, the others' zero.
        """
        spec, number = self.spec, self.spec.depth
        f, spare = spec.fractional_bits, spec.spare_bits(len(labels))
        scale = 2.0 ** (spec.gradient_shift - spare) / len(labels)
        t = yield from self._truncate_linear(number, spec.head_interval)
        opened = yield from self._open([masked(squared(t, self.shares), self.shares[f"P{number}"], first=self.first)])
        p = truncate(f"P{number}", opened[0], self.shares, f, first=self.first)
        value = self._cubic([scale * one for one in cubic("sigmoid", spec.head_interval)], t, p)
        value -= (labels * _word(scale)) << np.uint64(f)
        opened = yield from self._open([masked(value, self.shares[f"G{number}"], first=self.first)])
        gradient = truncate(f"G{number}", opened[0], self.shares, activation_shift("poly3", f), first=self.first).share
        return gradient << np.uint64(spare)

    def linear_output(self) -> RingArray:
        """This party's share of the newest layer's linear output, bias included where it is on shares; 2 f fractional bits."""
        number = len(self._activations) + 1
        if not self.spec.has_bias(number):
            return self.product
        return self.product + (self.model.biases[number] << np.uint64(self.spec.fractional_bits))

    # --- forward ---------------------------------------------------------------------------------------------------

    def _first_product(self) -> RingArray:
        """Share of X Theta_1: E <V> + <C> + (<U> [+ E]) F; the first two are there (`multiply_ahead`)."""
        total = self.shares["C1"].copy()
        multiply_add(self.rows.factor, self._weights[0], total)
        return total

    def _next_product(self, number: int) -> RingArray:
        """Share of A_{l-1} Theta_l, the same with R in the place of U."""
        total = self.shares[f"C{number}"].copy()
        opened, mask = self._activations[number - 1], self.shares[f"R{number - 1}"]
        multiply_add(opened, self.shares[f"V{number}"], total)
        multiply_add(mask + opened if self.first else mask, self._weights[number - 1], total)
        return total

    def _activate(self, number: int, layer: SecretLayer) -> Rounds:
        t = self._inputs[f"T{number}"] = yield from self._truncate_linear(number, layer.interval)
        share, f = t.share, self.spec.fractional_bits
        if layer.activation != "identity":
            value = yield from self._polynomial(number, layer, t)
            shift = activation_shift(layer.activation, f)
            opened = yield from self._open([masked(value, self.shares[f"H{number}"], first=self.first)])  # [4]
            share = truncate(f"H{number}", opened[0], self.shares, shift, first=self.first).share
        opened = yield from self._open([share - self.shares[f"R{number}"]])  # [5]
        self._activations[number] = opened[0]

    def _truncate_linear(self, number: int, interval: float) -> Generator[Openings, Openings, Truncated]:
        """z_l with its bias, truncated, and the proof of its range begun."""
        opened = yield from self._open(
            [masked(self.linear_output(), self.shares[f"T{number}"], first=self.first)]
        )  # [2]
        name, shift = f"Q{number}", range_shift(self.spec, interval)
        q = truncated_again(name, f"T{number}", opened[0], self.shares, shift, first=self.first)
        self._proofs.add(name, q.share, self.shares, self._range_sentence(number, interval))
        return truncate(f"T{number}", opened[0], self.shares, self.spec.fractional_bits, first=self.first)

    def _polynomial(self, number: int, layer: SecretLayer, t: Truncated) -> Generator[Openings, Openings, RingArray]:
        """Share of the activation, before its truncation."""
        square = squared(t, self.shares)
        if layer.activation == "square":
            return square
        f = self.spec.fractional_bits
        opened = yield from self._open([masked(square, self.shares[f"P{number}"], first=self.first)])  # [3]
        p = self._inputs[f"P{number}"] = truncate(f"P{number}", opened[0], self.shares, f, first=self.first)
        return self._cubic(coefficients(layer), t, p)

    def _cubic(self, polynomial: Sequence[float], t: Truncated, p: Truncated) -> RingArray:
        """Share of c_0 + c_1 z + c_2 z^2 + c_3 z^3 with 2 f + `COEFFICIENT_BITS` fractional bits."""
        f, (c0, c1, c2, c3) = np.uint64(self.spec.fractional_bits), (_word(value) for value in polynomial)
        total = multiplied(t, p, self.shares) * c3
        total += (t.share * c1 + p.share * c2) << f
        if self.first:
            total += c0 << (np.uint64(2) * f)
        return total

    def _prove_cut(self) -> Rounds:
        """[c]: noise at the cut hides a row only as far as z_i is bounded, so that nothing of it leaves before the proof is through."""
        interval, name = self.spec.cut_interval, f"Q{self.spec.depth}"
        opened = yield from self._open([masked(self.product, self.shares[name], first=self.first)])
        q = truncate(name, opened[0], self.shares, range_shift(self.spec, interval), first=self.first)
        self._proofs.add(name, q.share, self.shares, self._range_sentence(self.spec.depth, interval))
        yield from self.settle()

    def _range_sentence(self, number: int, interval: float) -> str:
        last = "the label head" if self.spec.head else "the cut"
        what = last if number == self.spec.depth else f"secret layer {number}"
        return f"{what}: its linear output left [-{interval:g}, {interval:g}]"

    # --- backward --------------------------------------------------------------------------------------------------

    def _descend(self, number: int, gradient: RingArray) -> Generator[Openings, Openings, RingArray]:
        """From the share of the gradient at A_l, 2 f fractional bits, to that at z_l, f fractional bits."""
        spec, shares, layer = self.spec, self.shares, self.spec.layers[number - 1]
        f, spare = spec.fractional_bits, spec.spare_bits(len(self.rows.e))
        opened = yield from self._open([masked(gradient, shares[f"D{number}"], first=self.first)])  # [7]
        d = truncate(f"D{number}", opened[0], shares, f + spare, first=self.first)
        if layer.activation == "identity":
            return d.share << np.uint64(spare)
        value = multiplied(d, self._inputs[f"T{number}"], shares)
        if layer.activation == "square":
            value *= np.uint64(2)
        else:
            _, c1, c2, c3 = coefficients(layer)
            value *= _word(2 * c2)
            value += multiplied(d, self._inputs[f"P{number}"], shares) * _word(3 * c3)
            value += (d.share * _word(c1)) << np.uint64(f)
        opened = yield from self._open([masked(value, shares[f"G{number}"], first=self.first)])  # [8]
        g = truncate(f"G{number}", opened[0], shares, activation_shift(layer.activation, f), first=self.first)
        return g.share << np.uint64(spare)

    def _weight_gradient(self, number: int, h: RingArray) -> RingArray:
        """Share of A_{l-1}^T G_l from H = G_l - W_l."""
        total = self.shares[f"X{number}"].copy()
        opened, completed = self._input_of(number)
        if number > 1:
            multiply_add(np.ascontiguousarray(opened.T), self.shares[f"W{number}"], total)
        multiply_add(np.ascontiguousarray(completed.T), h, total)
        return total

    def _input_gradient(self, number: int, h: RingArray) -> RingArray:
        """Share of G_l Theta_l^T."""
        total = self.shares[f"B{number}"].copy()
        f, v = self._weights[number - 1], self.shares[f"V{number}"]
        multiply_add(h, np.ascontiguousarray((v + f if self.first else v).T), total)
        multiply_add(self.shares[f"W{number}"], np.ascontiguousarray(f.T), total)
        return total

    def _weight_gradient_of_public(self, number: int, gradient: RingArray) -> RingArray:
        _, completed = self._input_of(number)
        return ring_matmul(np.ascontiguousarray(completed.T), gradient)

    def _input_gradient_of_public(self, number: int, gradient: RingArray) -> RingArray:
        f, v = self._weights[number - 1], self.shares[f"V{number}"]
        return ring_matmul(gradient, np.ascontiguousarray((v + f if self.first else v).T))

    def _input_of(self, number: int) -> tuple[RingArray, RingArray]:
        """What was opened of A_{l-1}, and this party's share of it."""
        if number == 1:
            return self.rows.e, self.rows.factor
        opened, mask = self._activations[number - 1], self.shares[f"R{number - 1}"]
        return opened, mask + opened if self.first else mask

    def _move(self, moves: Mapping[str, RingArray]) -> Rounds:
        """Weights and biases on shares: move = momentum last move - step size gradient, as Keras's SGD has it."""
        spec, step = self.spec, self.spec.step_size
        due: list[tuple[str, RingArray, int]] = []
        for key, gradient in moves.items():
            bits = spec.gradient_shift + step.exponent + (0 if key.startswith("B") else spec.fractional_bits)
            due.append((f"N{key}", gradient * np.uint64(step.multiplier), bits))
            if spec.momentum is not None:
                last = self.model.moves.get(key)
                kept = np.zeros_like(gradient) if last is None else last * np.uint64(spec.momentum.multiplier)
                due.append((f"M{key}", kept, spec.momentum.exponent))
        opened = yield from self._open(
            [masked(value, self.shares[name], first=self.first) for name, value, _ in due]
        )  # [10]
        moved = {
            name: truncate(name, words, self.shares, bits, first=self.first).share
            for (name, _, bits), words in zip(due, opened, strict=True)
        }
        for key in moves:
            move = np.negative(moved[f"N{key}"])
            if spec.momentum is not None:
                move += moved[f"M{key}"]
                self.model.moves[key] = move
            target = self.model.biases[int(key[1:])] if key.startswith("B") else self.model.weights[int(key) - 1]
            target += move

    def _open(self, shares: Openings) -> Generator[Openings, Openings, Openings]:
        """A round, with the range proofs that are due riding on it."""
        riding = self._proofs.due()
        opened = yield [*shares, *riding]
        self._proofs.take(opened[len(shares) :])
        return opened[: len(shares)]


def multiply_ahead(shares: Mapping[str, RingArray], rows: StepRows) -> None:
    """What of a step's products no weight is part of, in place: E <V_1> to <C_1>, and E^T <W_1> to <X_1>. Once a step, before or after its correction."""
    multiply_add(rows.e, shares["V1"], shares["C1"])
    if "W1" in shares:
        multiply_add(np.ascontiguousarray(rows.e.T), shares["W1"], shares["X1"])


class _Proofs:
    """Range proofs on their way: the first opening of each, then the sum that must be zero."""

    def __init__(self) -> None:
        self._masked: list[tuple[RingArray, Callable[[RingArray], RingArray], str]] = []
        self._sums: list[tuple[RingArray, str]] = []
        self._asked = 0, 0

    def add(self, name: str, q: RingArray, shares: Mapping[str, RingArray], sentence: str) -> None:
        def finish(opened: RingArray) -> RingArray:
            return excess(name, opened, shares)

        self._masked.append((q - shares[f"{name}.a"], finish, sentence))

    def due(self) -> Openings:
        self._asked = len(self._masked), len(self._sums)
        return [*(share for share, _, _ in self._masked), *(share for share, _ in self._sums)]

    def take(self, opened: Openings) -> None:
        """The sums of what was due.

        Raises:
          RangeError: a range was exceeded.
        """
        first, second = self._asked
        for words, (_, sentence) in zip(opened[first : first + second], self._sums[:second], strict=True):
            if words.any():
                raise RangeError(
                    f"{sentence}; submit the plan again with a lower learning rate, a wider interval, or clip_deviations at the table"
                )
        done, self._masked = self._masked[:first], self._masked[first:]
        self._sums = self._sums[second:] + [
            (finish(words), sentence) for words, (_, finish, sentence) in zip(opened[:first], done, strict=True)
        ]


def _word(value: float) -> np.uint64:
    """A coefficient, a multiple of 2^-`COEFFICIENT_BITS`, as a ring word."""
    return np.uint64(round(value * (1 << COEFFICIENT_BITS)) % (1 << 64))
