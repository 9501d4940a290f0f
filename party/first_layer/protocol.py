"""What a first-layer protocol gives the training loop, and the block of weights every protocol trains."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kernel.batch_order import RowIndices
from kernel.network import OptimizerSpec
from kernel.optimizers import Optimizer
from kernel.randomness import StreamPosition
from kernel.ring import RingArray


class FirstLayerBlock:
    """This party's rows X_i, float32[rows, columns], and weights Theta_i, float32[columns, width], in the clear.

    Every party knows its own block in both protocols; the gradient is X_i^T (dL/dz1).
    """

    def __init__(self, rows: NDArray[np.float32], weights: NDArray[np.float32], optimizer: OptimizerSpec) -> None:
        self.rows = rows
        self.weights = weights
        self._optimizer = Optimizer(optimizer, [weights.shape])

    def update(self, batch: NDArray[np.float32], gradient: NDArray[np.float32]) -> None:
        """One optimizer step; ``batch`` float32[batch, columns], ``gradient`` dL/dz1 float32[batch, width]."""
        self._optimizer.step([self.weights], [batch.T @ gradient])

    def state(self) -> dict[str, NDArray[Any]]:
        """Weights and optimizer slots, for a barrier."""
        return {
            "weights": self.weights,
            **{f"optimizer.{key}": value for key, value in self._optimizer.state().items()},
        }

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.weights[...] = state["weights"]
        self._optimizer.load(
            {key.removeprefix("optimizer."): value for key, value in state.items() if key.startswith("optimizer.")}
        )


class FirstLayer(Protocol):
    """A share of z1 = sum of X_i Theta_i for a batch, ready for the neutral server."""

    def begin(self) -> None:
        """Whatever is opened once per run generation."""

    def open_pass(self, epoch: int, purpose: int, batches: Sequence[RowIndices]) -> None:
        """The rows of the steps to come, so that masks and triples can be made ahead."""

    def share(self, rows: RowIndices, batch: NDArray[np.float32], position: StreamPosition) -> RingArray:
        """Masked share of the batch, [batch, width]; ``batch`` are this party's rows at ``rows``.

        The words are overwritten by the next share: send them first.
        """

    def make_ahead(self) -> None:
        """Use a wait: prepare what the next step needs and does not depend on the weights."""

    def close(self) -> None:
        """Let go of what is held open elsewhere."""
