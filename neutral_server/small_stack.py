"""The hidden stack in numpy, for layers so small that a call into TensorFlow costs more than the layers do.

Steps 1 to 6 and the state are those of hidden_stack.py; a barrier of one is a barrier of the other. Measured on 2
cores, forward and backward of the fraud shape (5000 rows, [8, 8]): in the steps of a run 1.1 to 1.2 ms here and 1.7 to 2.2
compiled by XLA; called in turns in one process 0.9 and 1.1. Of the distress shape (2570 rows, [400, 16, 8]): 12 ms and 10.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import StepError
from kernel.initialisation import initial_stack
from kernel.network import ActivationName, NetworkSpec
from kernel.optimizers import SLOTS, Optimizer, check_state
from neutral_server.stack_input import check_head_gradient, check_words

_HALF = np.float32(0.5)


class SmallStack:
    """As `neutral_server.hidden_stack.HiddenStack`, step for step; the activations of a micro-batch live in one set of buffers.

    Not safe for use from several threads at once.

    Guarantees: the same calls on the same machine give the same bits.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        """Starts from ``kernel.initialisation.initial_stack``.

        Raises:
          SettingsError: the network or its optimizer cannot be built.
        """
        self.spec = spec
        self._weights: dict[str, NDArray[np.float32]] = initial_stack(spec)
        self._optimizer = Optimizer(spec.optimizer, [weight.shape for weight in self._weights.values()])
        self._kept: dict[int, list[NDArray[np.float32]]] = {}
        self._buffers: dict[int, list[NDArray[np.float32]]] = {}
        self._gathered: list[NDArray[np.float32]] = []

    def warm_up(
        self, steps: Sequence[Sequence[int]], *, scale_bits: int, ring_bits: int, defended: bool = False
    ) -> None:
        """Nothing is compiled."""

    def forward(self, words: NDArray[Any], scale_bits: int, ring_bits: int, *, piece: int = 0) -> NDArray[np.float32]:
        """A training forward; arguments, result and errors as ``HiddenStack.forward``."""
        check_words(words, scale_bits, ring_bits, self.spec.widths[0])
        buffers = self._buffers.get(piece)
        if buffers is None or len(words) > len(buffers[0]):
            buffers = self._buffers[piece] = [np.empty((len(words), width), np.float32) for width in self.spec.widths]
        kept = self._kept[piece] = self._activations(words, scale_bits, [buffer[: len(words)] for buffer in buffers])
        return kept[-1].copy()  # the next step overwrites the buffer, and the answer may still be on its way

    def predict(self, words: NDArray[Any], scale_bits: int, ring_bits: int) -> NDArray[np.float32]:
        """A forward that keeps nothing; arguments as for ``forward``."""
        check_words(words, scale_bits, ring_bits, self.spec.widths[0])
        return self._activations(
            words, scale_bits, [np.empty((len(words), width), np.float32) for width in self.spec.widths]
        )[-1]

    def first_activation(self, *, piece: int = 0) -> NDArray[np.float32]:
        """Argument and result as ``HiddenStack.first_activation``."""
        return self._kept[piece][0].copy()

    def backward(
        self,
        dh: NDArray[np.float32],
        *,
        piece: int = 0,
        last: bool = True,
        h1_gradient: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Arguments, result and errors as ``HiddenStack.backward``."""
        if piece not in self._kept:
            raise StepError("a gradient of h_L came without a forward waiting for it; send z1 of the step first.")
        check_head_gradient(dh, self._kept[piece][-1].shape)
        h, names = self._kept.pop(piece), self.spec.activations
        gradients: dict[str, NDArray[np.float32]] = {}
        if h1_gradient is not None and len(names) == 1:
            dh = dh + h1_gradient
        delta = dh * _slope(names[-1], h[-1])
        for k in range(len(names) - 1, 0, -1):
            gradients[f"bias_{k}"] = delta.sum(axis=0)
            gradients[f"kernel_{k}"] = h[k - 1].T @ delta
            delta = delta @ self._weights[f"kernel_{k}"].T
            if h1_gradient is not None and k == 1:
                delta += h1_gradient
            delta *= _slope(names[k - 1], h[k - 1])
        gradients["bias_0"] = delta.sum(axis=0)
        gathered = [gradients[name] for name in self._weights]
        if self._gathered:
            for gradient, before in zip(gathered, self._gathered, strict=True):
                gradient += before
        self._gathered = [] if last else gathered
        if last:
            self._optimizer.step(list(self._weights.values()), gathered)
        return delta

    def state(self) -> dict[str, NDArray[Any]]:
        """Copies of all that ``load`` needs, by the names of ``HiddenStack.state``."""
        slots = self._optimizer.state()
        named = {name: weight.copy() for name, weight in self._weights.items()}
        for slot in SLOTS[self.spec.optimizer.name]:
            named |= {f"{slot}.{name}": slots[f"{slot}.{index}"] for index, name in enumerate(self._weights)}
        return named | {"step": slots["step"]}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Takes over what ``state`` returned; drops activations kept for a backward.

        Raises:
          BadInputError: the state belongs to another network or optimizer; nothing has changed.
        """
        check_state(state, {name: value.shape for name, value in self.state().items()}, "hidden stack")
        slots = {"step": state["step"]}
        for slot in SLOTS[self.spec.optimizer.name]:
            slots |= {f"{slot}.{index}": state[f"{slot}.{name}"] for index, name in enumerate(self._weights)}
        self._optimizer.load(slots)
        for name, weight in self._weights.items():
            np.copyto(weight, state[name], casting="same_kind")
        self._kept.clear()
        self._gathered = []

    def _activations(
        self, words: NDArray[Any], scale_bits: int, out: list[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """h_0 ... h_L, into ``out``."""
        names, z = self.spec.activations, out[0]
        signed = words.view(np.dtype(f"i{words.itemsize}"))
        # Scaling by a power of two is exact; float64 holds a 64-bit word as HiddenStack decodes it.
        exact = np.float32 if words.itemsize == 4 else np.float64
        np.copyto(z, np.multiply(signed, exact(2.0**-scale_bits), dtype=exact, casting="unsafe"), casting="same_kind")
        z += self._weights["bias_0"]
        _activate(names[0], z)
        for k in range(1, len(names)):
            z = np.matmul(out[k - 1], self._weights[f"kernel_{k}"], out=out[k])
            z += self._weights[f"bias_{k}"]
            _activate(names[k], z)
        return out


def _activate(name: ActivationName, z: NDArray[np.float32]) -> None:
    """In place. sigmoid(z) = (1 + tanh(z / 2)) / 2 overflows nowhere."""
    if name == "sigmoid":
        z *= _HALF
        np.tanh(z, out=z)
        z *= _HALF
        z += _HALF
    elif name == "tanh":
        np.tanh(z, out=z)
    elif name == "relu":
        np.maximum(z, 0, out=z)


def _slope(name: ActivationName, h: NDArray[np.float32]) -> NDArray[np.float32]:
    """The derivative of an activation, from its output."""
    if name == "sigmoid":
        return h * (1 - h)
    if name == "tanh":
        return 1 - h * h
    return (h > 0).astype(np.float32) if name == "relu" else np.ones_like(h)
