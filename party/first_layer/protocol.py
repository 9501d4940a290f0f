"""What a first-layer protocol gives the training loop, and the block of weights every protocol trains."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kernel.batch_order import RowIndices
from kernel.errors import SettingsError, StepError
from kernel.network import OptimizerSpec
from kernel.optimizers import Optimizer
from kernel.randomness import StreamPosition
from kernel.ring import RingArray
from party.first_layer.norm_bounds import NormBounds
from party.rows.disk_rows import Rows
from protos.v1 import split_training_pb2


class FirstLayerBlock:
    """This party's rows X_i, float32[rows, columns] (an array, or on disk), and weights Theta_i, float32[columns, width], in the clear.

    Every party knows its own block in both protocols; the gradient is X_i^T (dL/dz1). With ``bounds`` the weights keep
    to them from the start and after each step; the rows do so already.
    """

    def __init__(
        self, rows: Rows, weights: NDArray[np.float32], optimizer: OptimizerSpec, bounds: NormBounds | None = None
    ) -> None:
        self.rows = rows
        self.weights = weights
        self._bounds = bounds
        self._project()
        self._optimizer = Optimizer(optimizer, [weights.shape])
        self._gathered: NDArray[np.float32] | None = None

    def rows_in_memory(self) -> NDArray[np.float32]:
        """All rows as one array, for a protocol that works on the whole.

        Raises:
          SettingsError: they are on disk.
        """
        if not isinstance(self.rows, np.ndarray):
            raise SettingsError('this protocol needs all rows in memory; set storage = "memory" at the table')
        return self.rows

    def gather(self, rows: NDArray[np.float32], gradient: NDArray[np.float32]) -> None:
        """Add up X_i^T (dL/dz1) of a piece of the batch; ``rows`` float32[piece, columns], ``gradient`` float32[piece, width]."""
        self.gather_product(rows.T @ gradient)

    def gather_product(self, product: NDArray[np.float32]) -> None:
        """The same where X_i^T (dL/dz1) itself is at hand, float32[columns, width]."""
        if self._gathered is None:
            self._gathered = product
        else:
            self._gathered += product

    def update(self) -> None:
        """One optimizer step by what was gathered.

        Raises:
          StepError: nothing was.
        """
        if self._gathered is None:
            raise StepError("the first layer has no gradient to apply; gather the step's pieces first")
        gathered, self._gathered = self._gathered, None
        self._optimizer.step([self.weights], [gathered])
        self._project()

    def _project(self) -> None:
        if self._bounds is not None:
            self._bounds.project(self.weights)

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


class OpenGradient:
    """What protocols share whose dL/dz1 comes in the clear, and whose weights are their party's own block."""

    end = "cut_gradient"

    def __init__(self, block: FirstLayerBlock) -> None:
        self._block = block

    def joined(self, joined: split_training_pb2.Joined) -> None:
        """Nothing that is said on joining matters here."""

    def gather(self, rows: NDArray[np.float32], gradient: NDArray[np.float32]) -> None:
        self._block.gather(rows, gradient)

    def gather_share(self, words: RingArray | None) -> None:
        """Raises StepError: the plan opens the gradient."""
        raise StepError("the gradient came as a share in a plan that opens it; run one version everywhere")

    def update(self) -> None:
        self._block.update()


class FirstLayer(Protocol):
    """A share of the linear output at the cut for a batch, ready for the neutral server, and what its gradient moves here."""

    @property
    def end(self) -> str:
        """What the server sends as the end of a training step in which weights move: ``cut_gradient``, ``gradient_share`` or ``step_done``."""

    def begin(self) -> None:
        """Whatever is opened once per run generation."""

    def open_pass(self, epoch: int, purpose: int, batches: Sequence[RowIndices]) -> None:
        """The rows of the steps to come, so that masks and triples can be made ahead."""

    def open_step(self, batch: NDArray[np.float32], position: StreamPosition) -> None:
        """Whatever is opened once per step; ``batch`` float32[batch, columns] are this party's rows of it."""

    def share(self, piece: slice) -> RingArray:
        """Masked share of some rows of the step that is open, [piece, width].

        The words are overwritten by the next step: send them first. Every row is asked for once.
        """

    def make_ahead(self) -> None:
        """Use a wait: prepare what the next step needs and does not depend on the weights."""

    def joined(self, joined: split_training_pb2.Joined) -> None:
        """What the neutral server said when this party joined."""

    def gather(self, rows: NDArray[np.float32], gradient: NDArray[np.float32]) -> None:
        """dL/dz of some rows of the step that is open, float32[piece, width]; ``rows`` are this party's own, float32[piece, columns]."""

    def gather_share(self, words: RingArray | None) -> None:
        """The same where the plan shares it: this party's share, None where that is a keystream."""

    def update(self) -> None:
        """Move this party's weights, or its shares of weights, once the whole gradient is here."""

    def close(self) -> None:
        """Let go of what is held open elsewhere."""
