"""The hidden stack: from the words of z1 to h_L and back, on the neutral server.

    1. z1 = words / 2**scale_bits           two's complement, decoded inside the compiled function
    2. h_0 = act_0(z1 + bias_0)             the first layer's bias and activation live here
    3. h_k = act_k(h_{k-1} kernel_k + bias_k),  k = 1 ... len(widths) - 1;  h_L goes to the label holder
    4. delta_L = dL/dh_L * act_L'(h_L);  delta_{k-1} = delta_k kernel_k^T * act_{k-1}'(h_{k-1})
    5. every weight moves by the optimizer (formulas of Keras 3, as in kernel.optimizers)
    6. dL/dz1 = delta_0 goes to the parties

A step's rows may come in several micro-batches: the gradients of 4 add up, and 5 happens with the last. One compiled call does 1-3 and one does 4-6. The derivative of each activation is a function of its own
output, so the forward keeps h_0 ... h_L and the backward computes nothing twice. Measured in one run on 2
cores, forward + backward: fraud shape (5000, [8, 8]) 1.0 ms with XLA, 1.4 without; distress shape (2570,
[400, 16, 8]) 5.9 ms and 7.4 (recomputing the forward instead of keeping it: 7.2 and 9.2). XLA also won at
[512, 256, 128] and [2048, 2048], so training always uses it; it compiles anew, for about 0.3 s, at each new
batch size (``warm_up``). ``predict`` runs once and does without.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernel.errors import StepError
from kernel.initialisation import initial_stack
from kernel.network import ActivationName, NetworkSpec
from kernel.optimizers import SLOTS, check_optimizer, check_state
from neutral_server.stack_input import check_head_gradient, check_words


class _Compiled(NamedTuple):
    """The functions of one word format."""

    forward: Any
    predict: Any


class _Backward(NamedTuple):
    """The backward functions, without a defender or with one."""

    whole: Any
    """Of a step that comes in one piece: gradients and update."""
    gather: Any
    """Of a piece that is not the step's last: its gradients are added up."""
    finish: Any
    """Of the last of several pieces: what was added up, its own gradients, and the update."""


class HiddenStack:
    """Weights, optimizer slots and compiled functions of the neutral server's layers.

    Not safe for use from several threads at once: a step is ``forward``, then ``backward``, of each of its pieces.

    Guarantees: the same calls on the same machine with as many threads give the same bits.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        """Starts from ``kernel.initialisation.initial_stack``; imports TensorFlow (seconds, the first time).

        Raises:
          SettingsError: the network or its optimizer cannot be built.
        """
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import tensorflow as tf

        self.spec = spec
        check_optimizer(spec.optimizer)
        initial = initial_stack(spec)
        self._tf = tf
        self._weights = {name: tf.Variable(value, name=name) for name, value in initial.items()}
        self._slots = {
            slot: {name: tf.Variable(tf.zeros_like(weight)) for name, weight in self._weights.items()}
            for slot in SLOTS[spec.optimizer.name]
        }
        self._step = tf.Variable(0, dtype=tf.int64)
        self._compiled: dict[tuple[int, int], _Compiled] = {}
        self._backwards: dict[bool, _Backward] = {}
        self._kept: dict[int, list[Any]] = {}
        self._sums: dict[str, Any] = {}
        self._gathering = False

    def warm_up(
        self, steps: Sequence[Sequence[int]], *, scale_bits: int, ring_bits: int, defended: bool = False
    ) -> None:
        """Compiles the training functions for every size of a micro-batch, so that no step waits for it.

        Weights, slots and step count are as before afterwards; activations kept for a backward are dropped.

        Args:
          steps: rows of each piece of every kind of training step, the last and partial batch too.
          scale_bits: as for ``forward``.
          ring_bits: as for ``forward``.
          defended: whether every ``backward`` will bring an ``h1_gradient``.

        Raises:
          SettingsError: the word format is not one the ring has.
        """
        saved = self.state()
        dtype = np.uint32 if ring_bits == 32 else np.uint64
        for pieces in steps:
            for piece, rows in enumerate(pieces):
                words = np.zeros((rows, self.spec.widths[0]), dtype)
                h = self.forward(words, scale_bits, ring_bits, piece=piece)
                pull = np.zeros((rows, self.spec.widths[0]), np.float32) if defended else None
                self.backward(np.zeros_like(h), piece=piece, last=piece == len(pieces) - 1, h1_gradient=pull)
                self.predict(words, scale_bits, ring_bits)
        self.load(saved)

    def forward(self, words: NDArray[Any], scale_bits: int, ring_bits: int, *, piece: int = 0) -> NDArray[np.float32]:
        """A training forward; keeps its activations for one ``backward`` of this piece, in place of any kept before.

        Args:
          words: ring words of z1, uint32 or uint64 (by ``ring_bits``) [batch, widths[0]], two's complement.
          scale_bits: fractional bits of a word: z1 = words / 2**scale_bits.
          ring_bits: 32 or 64.
          piece: which micro-batch of the step.

        Returns:
          h_L, float32[batch, widths[-1]].

        Raises:
          SettingsError: ``ring_bits`` or ``scale_bits`` is not one the ring has.
          WireError: the words have another dtype or shape.
        """
        compiled, signed = self._prepare(words, scale_bits, ring_bits)
        activations = compiled.forward(signed)
        self._kept[piece] = activations
        return np.asarray(activations[-1].numpy(), np.float32)

    def first_activation(self, *, piece: int = 0) -> NDArray[np.float32]:
        """h_1, float32[batch, widths[0]], of a forward whose backward is still to come."""
        return np.asarray(self._kept[piece][0].numpy(), np.float32)

    def backward(
        self,
        dh: NDArray[np.float32],
        *,
        piece: int = 0,
        last: bool = True,
        h1_gradient: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Gives the parties their gradient, and with a step's last piece moves the stack's weights by one step.

        Args:
          dh: dL/dh_L for the rows of the piece's ``forward``, float32[batch, widths[-1]].
          last: whether the step has no further piece.
          h1_gradient: what a defender adds to dL/dh_1 below the layers above it, float32[batch, widths[0]].

        Returns:
          dL/dz1 at the weights before the step, float32[batch, widths[0]].

        Raises:
          StepError: no forward is waiting for a gradient.
          WireError: another dtype or shape than h_L had, or values that are not finite; nothing has moved.
        """
        if piece not in self._kept:
            raise StepError("a gradient of h_L came without a forward waiting for it; send z1 of the step first.")
        activations = self._kept[piece]
        check_head_gradient(dh, tuple(activations[-1].shape))
        del self._kept[piece]
        functions = self._functions(defended=h1_gradient is not None)
        whole = functions.finish if self._gathering else functions.whole
        backward = whole if last else functions.gather
        self._gathering = not last
        gradients = [self._tf.constant(one) for one in (dh, h1_gradient) if one is not None]
        return np.asarray(backward(activations, *gradients).numpy(), np.float32)

    def predict(self, words: NDArray[Any], scale_bits: int, ring_bits: int) -> NDArray[np.float32]:
        """A forward that keeps nothing, traced once for all batch sizes; arguments as for ``forward``."""
        compiled, signed = self._prepare(words, scale_bits, ring_bits)
        return np.asarray(compiled.predict(signed).numpy(), np.float32)

    def state(self) -> dict[str, NDArray[Any]]:
        """Copies of all that ``load`` needs.

        Returns:
          the weights by the names of ``initial_stack``, ``<slot>.<weight name>`` for every optimizer slot,
          and ``step`` (int64, shape ()).
        """
        return {name: np.array(variable.numpy()) for name, variable in self._variables().items()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Takes over what ``state`` returned; drops activations kept for a backward.

        Raises:
          BadInputError: the state belongs to another network or optimizer; nothing has changed.
        """
        variables = self._variables()
        check_state(state, {name: tuple(v.shape) for name, v in variables.items()}, "hidden stack")
        for name, variable in variables.items():
            variable.assign(np.asarray(state[name], variable.dtype.as_numpy_dtype))
        self._kept.clear()
        for total in self._sums.values():
            total.assign(self._tf.zeros_like(total))
        self._gathering = False

    def _variables(self) -> dict[str, Any]:
        variables = dict(self._weights)
        for slot, values in self._slots.items():
            variables |= {f"{slot}.{name}": value for name, value in values.items()}
        return variables | {"step": self._step}

    def _prepare(self, words: NDArray[Any], scale_bits: int, ring_bits: int) -> tuple[_Compiled, Any]:
        check_words(words, scale_bits, ring_bits, self.spec.widths[0])
        key = (scale_bits, ring_bits)
        if key not in self._compiled:
            self._compiled[key] = self._compile(scale_bits, ring_bits)
        return self._compiled[key], self._tf.constant(words.view(np.dtype(f"i{ring_bits // 8}")))

    def _compile(self, scale_bits: int, ring_bits: int) -> _Compiled:
        tf, widths = self._tf, self.spec.widths
        words = tf.TensorSpec([None, widths[0]], tf.int32 if ring_bits == 32 else tf.int64)

        def forward(words: Any) -> list[Any]:
            # Scaling by a power of two is exact; float64 holds a 64-bit word as a decoding in numpy would.
            real = tf.cast(words, tf.float32 if ring_bits == 32 else tf.float64) * 2.0**-scale_bits
            return self._activations(tf.cast(real, tf.float32))

        return _Compiled(
            self._function(forward, [words], True), self._function(lambda words: forward(words)[-1], [words], False)
        )

    def _functions(self, *, defended: bool) -> _Backward:
        if defended not in self._backwards:
            tf = self._tf
            kept = [tf.TensorSpec([None, width], tf.float32) for width in self.spec.widths]
            signature = [kept, kept[-1], kept[0]] if defended else [kept, kept[-1]]
            if not self._sums:
                self._sums = {name: tf.Variable(tf.zeros_like(weight)) for name, weight in self._weights.items()}
            whole, gather, finish = (
                self._function(body if defended else _undefended(body), signature, True)
                for body in (self._backward, self._gather, self._finish)
            )
            self._backwards[defended] = _Backward(whole, gather, finish)
        return self._backwards[defended]

    def _function(self, body: Any, signature: list[Any], xla: bool) -> Any:
        return self._tf.function(
            body, input_signature=signature, jit_compile=True if xla else None, autograph=False
        ).get_concrete_function()

    def _activations(self, z1: Any) -> list[Any]:
        names = self.spec.activations
        h = [self._activate(names[0], z1 + self._weights["bias_0"])]
        for k in range(1, len(names)):
            z = self._tf.matmul(h[-1], self._weights[f"kernel_{k}"]) + self._weights[f"bias_{k}"]
            h.append(self._activate(names[k], z))
        return h

    def _backward(self, h: Sequence[Any], dh: Any, h1_gradient: Any) -> Any:
        delta, gradients = self._gradients(h, dh, h1_gradient)
        self._update(gradients)
        return delta

    def _gather(self, h: Sequence[Any], dh: Any, h1_gradient: Any) -> Any:
        delta, gradients = self._gradients(h, dh, h1_gradient)
        for name, gradient in gradients.items():
            self._sums[name].assign_add(gradient)
        return delta

    def _finish(self, h: Sequence[Any], dh: Any, h1_gradient: Any) -> Any:
        delta, gradients = self._gradients(h, dh, h1_gradient)
        self._update({name: self._sums[name] + gradient for name, gradient in gradients.items()})
        for total in self._sums.values():
            total.assign(self._tf.zeros_like(total))
        return delta

    def _gradients(self, h: Sequence[Any], dh: Any, h1_gradient: Any) -> tuple[Any, dict[str, Any]]:
        tf, names = self._tf, self.spec.activations
        gradients: dict[str, Any] = {}
        below = dh if h1_gradient is None or len(names) > 1 else dh + h1_gradient
        delta = below * self._slope(names[-1], h[-1])
        for k in range(len(names) - 1, 0, -1):
            gradients[f"bias_{k}"] = tf.reduce_sum(delta, axis=0)
            gradients[f"kernel_{k}"] = tf.matmul(h[k - 1], delta, transpose_a=True)
            below = tf.matmul(delta, self._weights[f"kernel_{k}"], transpose_b=True)
            below = below if h1_gradient is None or k > 1 else below + h1_gradient
            delta = below * self._slope(names[k - 1], h[k - 1])
        gradients["bias_0"] = tf.reduce_sum(delta, axis=0)
        return delta, gradients

    def _update(self, gradients: Mapping[str, Any]) -> None:
        tf, spec = self._tf, self.spec.optimizer
        self._step.assign_add(1)
        time = tf.cast(self._step, tf.float32)
        alpha = spec.learning_rate * tf.sqrt(1 - tf.pow(spec.beta_2, time)) / (1 - tf.pow(spec.beta_1, time))
        for name, gradient in gradients.items():
            weight = self._weights[name]
            if spec.name == "sgd":
                weight.assign_sub(spec.learning_rate * gradient)
                continue
            moment = self._slots["momentum"][name]
            if spec.name == "momentum":
                moment.assign(moment * spec.momentum - spec.learning_rate * gradient)
                weight.assign_add(moment)
                continue
            velocity = self._slots["velocity"][name]
            moment.assign_add((gradient - moment) * (1 - spec.beta_1))
            velocity.assign_add((tf.square(gradient) - velocity) * (1 - spec.beta_2))
            weight.assign_sub(moment * alpha / (tf.sqrt(velocity) + spec.epsilon))

    def _activate(self, name: ActivationName, z: Any) -> Any:
        functions = {"sigmoid": self._tf.sigmoid, "relu": self._tf.nn.relu, "tanh": self._tf.tanh}
        return z if name == "identity" else functions[name](z)

    def _slope(self, name: ActivationName, h: Any) -> Any:
        """The derivative of an activation, from its output."""
        if name == "sigmoid":
            return h * (1 - h)
        if name == "tanh":
            return 1 - h * h
        return self._tf.cast(h > 0, self._tf.float32) if name == "relu" else self._tf.ones_like(h)


def _undefended(body: Callable[[Any, Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda h, dh: body(h, dh, None)
