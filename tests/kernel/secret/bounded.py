"""A plain float64 network with the activations of shares, and how far the one on shares may be from it.

Every array carries a bound on |what shares have - what float64 has|, moved through each operation (running error analysis,
Wilkinson 1963): a number encoded is off by 2^-(f+1), a truncation by less than 2^-f, and of a product |a| e_b + |b| e_a + e_a e_b.
"""

import numpy as np

from kernel.secret.polynomials import coefficients, cubic
from kernel.secret.spec import COEFFICIENT_BITS


class Bounded:
    """``value`` float64 and ``error`` of its shape, at least 0."""

    def __init__(self, value, error=0.0):
        self.value = np.asarray(value, np.float64)
        self.error = np.broadcast_to(np.asarray(error, np.float64), self.value.shape)

    def __add__(self, other):
        other = exact(other)
        return Bounded(self.value + other.value, self.error + other.error)

    def __sub__(self, other):
        return self + exact(other) * -1.0

    def __mul__(self, other):
        other = exact(other)
        error = np.abs(self.value) * other.error + np.abs(other.value) * self.error + self.error * other.error
        return Bounded(self.value * other.value, error)

    def __matmul__(self, other):
        error = np.abs(self.value) @ other.error + self.error @ np.abs(other.value) + self.error @ other.error
        return Bounded(self.value @ other.value, error)

    def __getitem__(self, rows):
        return Bounded(self.value[rows], self.error[rows])

    @property
    def T(self):  # noqa: N802
        return Bounded(self.value.T, self.error.T)

    def sum_rows(self):
        return Bounded(self.value.sum(axis=0, keepdims=True), self.error.sum(axis=0, keepdims=True))

    def off(self, unit):
        """One rounding of at most ``unit``."""
        return Bounded(self.value, self.error + unit)

    def holds(self, found):
        """Whether ``found`` is within the bound (and float64's own rounding, 1e-12)."""
        return bool(np.all(np.abs(np.asarray(found) - self.value) <= self.error + 1e-12))


def exact(value):
    return value if isinstance(value, Bounded) else Bounded(value)


class PlainStack:
    """The layers of a `SecretSpec` on rows [n, columns] in the clear, with bounds."""

    def __init__(self, spec, rows, weights):
        self.spec, self.unit = spec, 2.0**-spec.fractional_bits
        self.rows = Bounded(rows, self.unit / 2)
        self.weights = [Bounded(one, self.unit / 2) for one in weights]
        self.biases = {n: Bounded(np.zeros((1, spec.widths[n]))) for n in range(1, spec.depth + 1) if spec.has_bias(n)}
        self.moves = {}

    def forward(self, batch):
        """z_i, or the label head's output y with its bias where there is no server."""
        self.inputs, self.linear, h = [], [], self.rows[batch]
        for number, layer in enumerate(self.spec.layers, 1):
            self.inputs.append(h)
            t = (h @ self.weights[number - 1] + self.biases[number]).off(self.unit)
            self.linear.append((t, (t * t).off(self.unit)))
            if layer.activation == "identity":
                h = t
            elif layer.activation == "square":
                h = self.linear[-1][1]  # the activation is z^2, truncated once
            else:
                h = self._cubic(coefficients(layer), *self.linear[-1]).off(self.unit)
        self.inputs.append(h)
        z = h @ self.weights[-1]
        return z + self.biases[self.spec.depth] if self.spec.head else z

    def head_gradient(self, y, labels):
        """2^s dL/dy of the cubic: its coefficients, times 2^s / batch, are rounded to `COEFFICIENT_BITS`."""
        spare = self.spec.spare_bits(len(labels))
        scale, half = 2.0 ** (self.spec.gradient_shift - spare) / len(labels), 2.0 ** -(COEFFICIENT_BITS + 1)
        t = y.off(self.unit)
        scaled = [Bounded(scale * one, half) for one in cubic("sigmoid", self.spec.head_interval)]
        value = self._cubic(scaled, t, (t * t).off(self.unit)) - Bounded(labels) * Bounded(scale, half)
        return value.off(self.unit) * 2.0**spare

    @staticmethod
    def _cubic(polynomial, t, p):
        c0, c1, c2, c3 = polynomial
        return t * p * c3 + p * c2 + t * c1 + c0

    def backward(self, gradient):
        """Gradients by name from 2^s dL/dz_i; what weights on shares move by. Returns dL/dTheta_1 where it is the parties' own."""
        spec, found = self.spec, {}
        for number in range(spec.depth, 0, -1):
            if number < spec.depth:
                gradient = self._derivative(number, gradient)
            if spec.has_bias(number):
                found["B", number] = gradient.sum_rows()
            found["W", number] = self.inputs[number - 1].T @ gradient
            gradient = gradient @ self.weights[number - 1].T
        scale = 2.0**-spec.gradient_shift
        first = None if spec.weights_shared(1) else found.pop(("W", 1)) * scale
        for key, one in found.items():
            move = (one * (-scale * spec.step_size.value)).off(self.unit)
            if spec.momentum is not None:
                move = move + (self.moves.get(key, one * 0.0) * spec.momentum.value).off(self.unit)
                self.moves[key] = move
            kind, number = key
            if kind == "B":
                self.biases[number] = self.biases[number] + move
            else:
                self.weights[number - 1] = self.weights[number - 1] + move
        return first

    def _derivative(self, number, gradient):
        """The gradient at z_l from that at A_l; of a partial batch with the bits that rows of a whole one have."""
        layer, (t, p) = self.spec.layers[number - 1], self.linear[number - 1]
        spare = 2.0 ** self.spec.spare_bits(len(gradient.value))
        d = (gradient * (1 / spare)).off(self.unit)
        if layer.activation == "identity":
            return d * spare
        _, c1, c2, c3 = coefficients(layer)
        return (d * p * (3 * c3) + d * t * (2 * c2) + d * c1).off(self.unit) * spare
