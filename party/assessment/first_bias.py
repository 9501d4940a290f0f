"""The first layer's bias at every step of a recorded run: the neutral server's own, so that h_1 follows from z_1.

Its gradient is the sum of the step's rows of dL/dz_1, which the recording has, and every optimizer moves each weight by
itself: from a barrier the server held, the bias can be moved again as the server moved it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import WireError
from kernel.network import ActivationName, NetworkSpec
from kernel.optimizers import SLOTS, Optimizer

Step = tuple[int, int]
"""(epoch, step)"""


def replayed_bias(
    spec: NetworkSpec, barrier: Mapping[str, NDArray[Any]], gradients: Mapping[Step, NDArray[np.float32]]
) -> dict[Step, NDArray[np.float32]]:
    """The bias float32[widths[0]] with which each step's h_1 was computed.

    Args:
      spec: the run's network.
      barrier: the neutral server's ``stack`` part of the barrier before the first of these steps.
      gradients: dL/dz_1 summed over a step's rows, float32[widths[0]]; every step since, in any order.
    """
    bias = np.array(barrier["bias_0"], np.float32)
    optimizer = Optimizer(spec.optimizer, [bias.shape])
    slots = {f"{slot}.0": barrier[f"{slot}.bias_0"] for slot in SLOTS[spec.optimizer.name]}
    optimizer.load({"step": barrier["step"], **slots})
    found = {}
    for step in sorted(gradients):
        found[step] = bias.copy()
        optimizer.step([bias], [gradients[step]])
    return found


def activated(name: ActivationName, z: NDArray[np.float32]) -> NDArray[np.float32]:
    """act(z), float32 in z's shape."""
    functions: dict[ActivationName, Callable[[NDArray[np.float32]], NDArray[Any]]] = {
        "identity": lambda x: x,
        "sigmoid": lambda x: 0.5 * (np.tanh(0.5 * x) + 1),  # does not overflow
        "tanh": np.tanh,
        "relu": lambda x: np.maximum(x, 0),
    }
    if name not in functions:
        raise WireError(f"unknown activation {name!r}; known: {', '.join(functions)}")
    return np.asarray(functions[name](z), np.float32)
