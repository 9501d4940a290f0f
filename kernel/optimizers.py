"""Optimizers of the weights that live in numpy: the first layer at a party and the label head.

The formulas are those of Keras 3 (``keras.optimizers.SGD`` with and without momentum, ``Adam``), in float32
and in the same order, so that a split network moves as the plain one does. With g the gradient and t = 1, 2,
... the step:

    sgd       w <- w - lr*g
    momentum  m <- mu*m - lr*g;  w <- w + m                                         (nesterov=False)
    adam      m <- m + (1 - b1)*(g - m);  v <- v + (1 - b2)*(g*g - v)
              w <- w - alpha*m / (sqrt(v) + epsilon),  alpha = lr*sqrt(1 - b2^t) / (1 - b1^t)
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kernel.errors import BadInputError, SettingsError, TertiumError
from kernel.network import OPTIMIZERS, OptimizerName, OptimizerSpec

SLOTS: Final[Mapping[OptimizerName, tuple[str, ...]]] = {
    "sgd": (),
    "momentum": ("momentum",),
    "adam": ("momentum", "velocity"),
}
"""What each optimizer remembers of every weight array, beside the step count."""


def check_optimizer(spec: OptimizerSpec) -> None:
    """Refuses numbers with which no training makes sense.

    Raises:
      SettingsError: an unknown name, or a number outside its range.
    """
    if spec.name not in OPTIMIZERS:
        raise SettingsError(f"optimizer {spec.name!r} is unknown; use one of {', '.join(OPTIMIZERS)}.")
    if not (math.isfinite(spec.learning_rate) and spec.learning_rate > 0):
        raise SettingsError(f"learning_rate is {spec.learning_rate}; it must be a finite number above 0.")
    for name in ("momentum", "beta_1", "beta_2"):
        if not 0 <= getattr(spec, name) < 1:
            raise SettingsError(f"{name} is {getattr(spec, name)}; it must be at least 0 and below 1.")
    if not (math.isfinite(spec.epsilon) and spec.epsilon > 0):
        raise SettingsError(f"epsilon is {spec.epsilon}; it must be a finite number above 0 (Keras: 1e-7).")


def check_state(state: Mapping[str, NDArray[Any]], wanted: Mapping[str, tuple[int, ...]], owner: str) -> None:
    """Holds a saved state against the arrays its owner has, before any of them is overwritten.

    Args:
      state: the saved arrays by name.
      wanted: the shape of every array the owner holds, by name.
      owner: how the message calls the owner, such as "label head".

    Raises:
      BadInputError: an array is missing, unknown, or of another shape.
    """
    missing, unknown = sorted(set(wanted) - set(state)), sorted(set(state) - set(wanted))
    if missing or unknown:
        raise BadInputError(
            f"the saved state of the {owner} lacks {missing} and has unknown {unknown}; "
            "load a state saved under the same plan (widths, loss and optimizer)."
        )
    for name, shape in wanted.items():
        found = np.shape(state[name])
        if found != tuple(shape):
            raise BadInputError(
                f"the saved state of the {owner} has {name} of shape {found}, wanted {tuple(shape)}; "
                "load a state saved under the same plan (widths, loss and optimizer)."
            )


class Optimizer:
    """Moves a fixed list of float32 arrays in place; slots and scratch are allocated once."""

    def __init__(self, spec: OptimizerSpec, shapes: Sequence[tuple[int, ...]]) -> None:
        """Starts at step 0 with all slots zero.

        Args:
          spec: name and numbers of the optimizer.
          shapes: the shapes of the arrays that every ``step`` will bring, in that order.

        Raises:
          SettingsError: see ``check_optimizer``.
        """
        check_optimizer(spec)
        self.spec = spec
        self.shapes = [tuple(shape) for shape in shapes]
        self.steps = 0
        self._slots = {slot: [np.zeros(shape, np.float32) for shape in self.shapes] for slot in SLOTS[spec.name]}
        self._scratch = [np.empty(shape, np.float32) for shape in self.shapes]

    def step(self, weights: Sequence[NDArray[np.float32]], gradients: Sequence[NDArray[Any]]) -> None:
        """Moves ``weights`` in place by one step.

        Args:
          weights: float32 arrays of the shapes given at construction; overwritten.
          gradients: floating arrays of the same shapes; left alone.

        Raises:
          TertiumError: counts, shapes or the dtype of the weights are other than agreed; nothing has moved.
        """
        self._check(weights, gradients)
        self.steps += 1
        if self.spec.name == "sgd":
            self._step_sgd(weights, gradients)
        elif self.spec.name == "momentum":
            self._step_momentum(weights, gradients)
        else:
            self._step_adam(weights, gradients)

    def state(self) -> dict[str, NDArray[Any]]:
        """Copies of what ``load`` needs: ``step`` (int64, shape ()) and ``<slot>.<index>`` (float32)."""
        arrays: dict[str, NDArray[Any]] = {"step": np.array(self.steps, np.int64)}
        for slot, values in self._slots.items():
            arrays |= {f"{slot}.{index}": value.copy() for index, value in enumerate(values)}
        return arrays

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Takes over what ``state`` returned.

        Raises:
          BadInputError: the state belongs to another optimizer or other shapes; nothing has changed.
        """
        check_state(state, self._state_shapes(), f"{self.spec.name} optimizer")
        self.steps = int(state["step"])
        for slot, values in self._slots.items():
            for index, value in enumerate(values):
                np.copyto(value, state[f"{slot}.{index}"], casting="same_kind")

    def _state_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"step": ()}
        for slot in self._slots:
            shapes |= {f"{slot}.{index}": shape for index, shape in enumerate(self.shapes)}
        return shapes

    def _check(self, weights: Sequence[NDArray[Any]], gradients: Sequence[NDArray[Any]]) -> None:
        for name, arrays in (("weights", weights), ("gradients", gradients)):
            found = [array.shape for array in arrays]
            if found != self.shapes:
                raise TertiumError(f"{name} have shapes {found}; this optimizer was made for {self.shapes}.")
        if any(weight.dtype != np.float32 for weight in weights):
            raise TertiumError("weights must be float32 arrays: another dtype would leave Keras's arithmetic.")

    def _step_sgd(self, weights: Sequence[NDArray[np.float32]], gradients: Sequence[NDArray[Any]]) -> None:
        rate = np.float32(self.spec.learning_rate)
        for weight, gradient, scratch in zip(weights, gradients, self._scratch, strict=True):
            np.multiply(gradient, rate, out=scratch)
            weight -= scratch

    def _step_momentum(self, weights: Sequence[NDArray[np.float32]], gradients: Sequence[NDArray[Any]]) -> None:
        rate, decay = np.float32(self.spec.learning_rate), np.float32(self.spec.momentum)
        moments = self._slots["momentum"]
        for weight, gradient, moment, scratch in zip(weights, gradients, moments, self._scratch, strict=True):
            np.multiply(gradient, rate, out=scratch)
            moment *= decay
            moment -= scratch
            weight += moment

    def _step_adam(self, weights: Sequence[NDArray[np.float32]], gradients: Sequence[NDArray[Any]]) -> None:
        spec, one = self.spec, np.float32(1)
        time = np.float32(self.steps)
        power_1, power_2 = np.float32(spec.beta_1) ** time, np.float32(spec.beta_2) ** time
        alpha = np.float32(spec.learning_rate) * np.sqrt(one - power_2) / (one - power_1)
        rest_1, rest_2 = np.float32(1 - spec.beta_1), np.float32(1 - spec.beta_2)
        epsilon = np.float32(spec.epsilon)
        slots = zip(self._slots["momentum"], self._slots["velocity"], self._scratch, strict=True)
        for weight, gradient, (moment, velocity, scratch) in zip(weights, gradients, slots, strict=True):
            np.subtract(gradient, moment, out=scratch)
            scratch *= rest_1
            moment += scratch
            np.multiply(gradient, gradient, out=scratch)
            scratch -= velocity
            scratch *= rest_2
            velocity += scratch
            np.sqrt(velocity, out=scratch)
            scratch += epsilon
            np.divide(moment, scratch, out=scratch)
            scratch *= alpha
            weight -= scratch
