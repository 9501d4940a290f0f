"""A party's defender: a net that learns to recover the party's own rows from h1, as an attacker at the server would.

Eq. 3-5 and Algorithm 2 of the P2N2 paper (Zheng et al. 2020), with the objective its prose describes ("adversarial"), or
Eq. 3-4 to the letter ("literal").

1. X^ = f(h1): hidden layers of any widths and activations, then a linear layer as wide as the party's encoded rows
2. a row's distance is the mean over its columns of (X^ - X)^2 (mse) or |X^ - X| (mae); D is its mean over a batch's rows
3. the gradient of each row's own distance at that row of h1 goes out, masked (defender_share.py); it is not divided by
   the batch's rows, so the pieces of a batch sent in several need not know its size; the neutral server divides
4. ``apply``: once a batch, the net's weights move by Adam to lower D (adversarial), or to raise it (literal)

The gradient of 3 is taken at the weights *before* the move of 4: network and defender move at the same time, from the
same point. So it can be sent before the party computes the move, and a batch in pieces gives the gradient of a whole one.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.defender_plan import DefenderSpec
from kernel.errors import SettingsError, StepError, WireError
from kernel.initialisation import glorot_rows
from kernel.network import ActivationName, OptimizerSpec
from kernel.optimizers import check_state
from kernel.processor import cores


def check_tensorflow(me: str, what: str, extra: str) -> None:
    """Whether ``what`` (of the plan) can be trained here; imports nothing. ``extra`` is tertium's that brings it.

    Raises:
      SettingsError: TensorFlow is not installed.
    """
    if find_spec("tensorflow") is None:
        raise SettingsError(
            f"the plan has {what}, which needs TensorFlow at every party; at {me!r} it is not installed: "
            f'pip install "tertium[{extra}]"'
        )


def import_tensorflow(threads: int) -> None:
    """Import it (seconds, the first time), with so many threads an operation; where it has computed already, nothing changes."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    with suppress(RuntimeError):  # its threads are those of the process, and are started once
        # as at the neutral server: gRPC needs a core to itself
        tf.config.threading.set_intra_op_parallelism_threads(threads or max(1, cores() // 2))
        tf.config.threading.set_inter_op_parallelism_threads(1)


def initial_defender(
    spec: DefenderSpec, secret: bytes, seed: int, me: str, width: int, columns: int
) -> dict[str, NDArray[np.float32]]:
    """Where a party's net starts: Glorot-uniform ``kernel_k``, zero ``bias_k``, in the order of the layers.

    Args:
      secret: the party's initialisation key; me: its name, which enters as well: nets of two parties differ even where
        their keys are the same (local runs).
      width: of h1; columns: of the party's encoded rows.
    """
    sizes = [width, *spec.widths, columns]
    weights: dict[str, NDArray[np.float32]] = {}
    for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
        names = [f"{me}/{layer}/{row}" for row in range(inputs)]
        # a longer secret is another one: no column's row of the first layer can be one of these
        weights[f"kernel_{layer}"] = glorot_rows(secret + b" defender", seed, names, inputs, outputs)
        weights[f"bias_{layer}"] = np.zeros(outputs, np.float32)
    return weights


class Defender:
    """The net, its Adam (formulas of Keras 3, as kernel.optimizers) and the gradients of a batch not yet applied.

    Not safe for use from several threads at once.

    Guarantees: the same calls on the same machine give the same bits.
    """

    def __init__(self, spec: DefenderSpec, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Starts from ``weights`` (see ``initial_defender``); imports TensorFlow."""
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import tensorflow as tf

        self.spec, self._tf = spec, tf
        self.width, self.columns = len(weights["kernel_0"]), weights[f"kernel_{len(spec.widths)}"].shape[1]
        self._weights = {name: tf.Variable(value, name=name) for name, value in weights.items()}
        self._slots = {
            slot: {name: tf.Variable(tf.zeros_like(weight)) for name, weight in self._weights.items()}
            for slot in ("momentum", "velocity")
        }
        self._gradients = {name: tf.Variable(tf.zeros_like(weight)) for name, weight in self._weights.items()}
        self._step = tf.Variable(0, dtype=tf.int64)
        self._rows = 0
        self._compiled = self._function(
            self._distance_and_gradient,
            [tf.TensorSpec([None, self.width], tf.float32), tf.TensorSpec([None, self.columns], tf.float32)],
        )
        self._move = self._function(self._adam, [tf.TensorSpec([], tf.float32)])

    def warm_up(self, batches: Sequence[int]) -> None:
        """Compiles for every number of rows a step will bring; nothing else changes."""
        saved = self.state()
        for rows in sorted(set(batches)):
            self.distance_and_gradient(np.zeros((rows, self.width), "f4"), np.zeros((rows, self.columns), "f4"))
            self.apply()
        self.load(saved)

    def distance_and_gradient(
        self, h1: NDArray[np.float32], rows: NDArray[np.float32]
    ) -> tuple[float, NDArray[np.float32]]:
        """Steps 1 to 3 for a batch, or for a piece of one; adds up the net's own gradients for ``apply``.

        Args:
          h1: float32[rows, width]; rows: the party's encoded rows, float32[rows, columns].

        Returns:
          the mean distance over these rows, and for each row the gradient of its own distance, float32[rows, width].

        Raises:
          WireError: h1 has another dtype or shape.
        """
        if h1.dtype != np.float32 or h1.shape != (len(rows), self.width):
            raise WireError(
                f"h1 came as {h1.dtype}{list(h1.shape)}, wanted float32[{len(rows)}, {self.width}]; check that all "
                "roles run the same plan"
            )
        total, gradient = self._compiled(self._tf.constant(h1), self._tf.constant(rows, self._tf.float32))
        self._rows += len(rows)
        return float(total) / len(rows), np.asarray(gradient.numpy(), np.float32)

    def apply(self) -> None:
        """Step 4: one move of the weights by the mean gradient over all rows since the last.

        Raises:
          StepError: there were none.
        """
        if not self._rows:
            raise StepError("the defender has no gradient to apply; h1 of the step comes first")
        sign = -1.0 if self.spec.objective == "literal" else 1.0
        self._move(self._tf.constant(sign / self._rows, self._tf.float32))
        self._rows = 0

    def state(self) -> dict[str, NDArray[Any]]:
        """Copies of all that ``load`` needs, between two batches."""
        return {name: np.array(variable.numpy()) for name, variable in self._variables().items()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Takes over what ``state`` returned; drops gradients not yet applied.

        Raises:
          BadInputError: the state belongs to another net; nothing has changed.
        """
        variables = self._variables()
        check_state(state, {name: tuple(one.shape) for name, one in variables.items()}, "defender")
        for name, variable in variables.items():
            variable.assign(np.asarray(state[name], variable.dtype.as_numpy_dtype))
        for gradient in self._gradients.values():
            gradient.assign(self._tf.zeros_like(gradient))
        self._rows = 0

    def _variables(self) -> dict[str, Any]:
        variables = dict(self._weights)
        for slot, values in self._slots.items():
            variables |= {f"{slot}.{name}": value for name, value in values.items()}
        return variables | {"step": self._step}

    def _function(self, body: Any, signature: list[Any]) -> Any:
        return self._tf.function(
            body, input_signature=signature, jit_compile=True, autograph=False
        ).get_concrete_function()

    def _distance_and_gradient(self, h1: Any, rows: Any) -> tuple[Any, Any]:
        tf = self._tf
        with tf.GradientTape() as tape:
            tape.watch(h1)
            difference = self._recover(h1) - rows
            one = tf.square(difference) if self.spec.distance == "mse" else tf.abs(difference)
            total = tf.reduce_sum(one) / self.columns
        gradient, *own = tape.gradient(total, [h1, *self._weights.values()])
        for held, found in zip(self._gradients.values(), own, strict=True):
            held.assign_add(found)
        return total, gradient

    def _recover(self, h1: Any) -> Any:
        names: list[ActivationName] = [*self.spec.activations, "identity"]
        functions = {"sigmoid": self._tf.sigmoid, "relu": self._tf.nn.relu, "tanh": self._tf.tanh}
        a = h1
        for layer, name in enumerate(names):
            a = self._tf.matmul(a, self._weights[f"kernel_{layer}"]) + self._weights[f"bias_{layer}"]
            a = a if name == "identity" else functions[name](a)
        return a

    def _adam(self, scale: Any) -> None:
        tf, spec = self._tf, OptimizerSpec("adam", self.spec.learning_rate)
        self._step.assign_add(1)
        time = tf.cast(self._step, tf.float32)
        alpha = spec.learning_rate * tf.sqrt(1 - tf.pow(spec.beta_2, time)) / (1 - tf.pow(spec.beta_1, time))
        for name, weight in self._weights.items():
            gradient = self._gradients[name] * scale
            moment, velocity = self._slots["momentum"][name], self._slots["velocity"][name]
            moment.assign_add((gradient - moment) * (1 - spec.beta_1))
            velocity.assign_add((tf.square(gradient) - velocity) * (1 - spec.beta_2))
            weight.assign_sub(moment * alpha / (tf.sqrt(velocity) + spec.epsilon))
            self._gradients[name].assign(tf.zeros_like(weight))
