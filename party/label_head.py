"""The label head: the one layer above the hidden stack, at the party that holds the labels.

1. y = h W + b                                       linear outputs
2. loss, and delta = dL/dy                           by the plan's loss, below
3. dL/dh = delta W^T goes to the neutral server at once
4. dL/dW = h^T delta, dL/db = sum of delta: kept, and applied by ``apply`` while the server computes

binary      mean of max(y, 0) - y*t + log(1 + exp(-|y|)),  delta = (sigmoid(y) - t) / batch
multiclass  mean of log(sum exp(y)) - y[t],                delta = (softmax(y) - onehot(t)) / batch
regression  mean of (y - t)^2 over rows and outputs,       delta = 2 (y - t) / (batch * outputs)
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import BadInputError, RowsError, StepError, WireError
from kernel.initialisation import initial_head
from kernel.network import LossName, NetworkSpec
from kernel.optimizers import Optimizer, check_state


class LabelHead:
    """W float32[widths[-1], outputs], b float32[outputs], their optimizer, and a gradient not yet applied."""

    def __init__(
        self, spec: NetworkSpec, weights: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    ) -> None:
        """Starts from ``kernel.initialisation.initial_head``, or from copies of the given (W, b).

        Raises:
          SettingsError: the network or its optimizer cannot be built.
          BadInputError: the given weights have other shapes.
        """
        self.spec = spec
        kernel, bias = initial_head(spec)
        if weights is not None:
            found = {"kernel": weights[0], "bias": weights[1]}
            check_state(found, {"kernel": kernel.shape, "bias": bias.shape}, "label head")
            kernel, bias = (np.array(value, np.float32, order="C") for value in weights)
        self.kernel = kernel
        self.bias = bias
        self._optimizer = Optimizer(spec.optimizer, [kernel.shape, bias.shape])
        self._gradient: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    def forward(self, h: NDArray[np.float32]) -> NDArray[np.float32]:
        """Linear outputs (logits or values) float32[batch, outputs] of h float32[batch, widths[-1]].

        Raises:
          WireError: h has another dtype or shape.
        """
        if h.dtype != np.float32 or h.ndim != 2 or h.shape[1] != len(self.kernel) or len(h) == 0:
            raise WireError(
                f"h_L came as {h.dtype}{list(h.shape)}, wanted float32[batch, {len(self.kernel)}] with at "
                "least one row; check that label holder and server run the same plan."
            )
        outputs: NDArray[np.float32] = h @ self.kernel
        outputs += self.bias
        return outputs

    def loss(self, h: NDArray[np.float32], labels: NDArray[Any]) -> float:
        """The mean loss alone, for rows that are not trained on; arguments and errors as below."""
        return _loss_and_delta(self.spec.loss, self.forward(h), labels)[0]

    def loss_and_gradient(
        self, h: NDArray[np.float32], labels: NDArray[Any], batch_rows: int | None = None
    ) -> tuple[float, NDArray[np.float32]]:
        """The mean loss and what the server needs; adds the head's own gradient to what is kept for ``apply``.

        Called once for each piece of a batch.

        Args:
          h: h_L, float32[batch, widths[-1]].
          labels: [batch] or [batch, outputs]: 0 or 1 (binary), [batch] integers 0 ... outputs - 1
            (multiclass), real numbers (regression).
          batch_rows: rows of the whole batch, whose mean loss the gradient is of; None where ``h`` is all of it.

        Returns:
          the mean loss over the rows of ``h``, and float32[rows of h, widths[-1]] of the gradient of the batch's mean.

        Raises:
          WireError: h has another dtype or shape.
          RowsError: the labels have another shape or range.
          BadInputError: the loss is not finite; nothing is kept.
        """
        loss, delta = _loss_and_delta(self.spec.loss, self.forward(h), labels)
        if not np.isfinite(loss):
            self._gradient = None
            raise BadInputError(
                "the loss is no longer finite: training has diverged; lower the learning rate or scale the columns."
            )
        if batch_rows is not None and len(h) != batch_rows:
            delta *= np.float32(len(h) / batch_rows)
        kernel, bias = h.T @ delta, delta.sum(axis=0)
        if self._gradient is not None:
            kernel += self._gradient[0]
            bias += self._gradient[1]
        self._gradient = (kernel, bias)
        return loss, delta @ self.kernel.T

    def apply(self) -> None:
        """Moves W and b by the kept gradient, once.

        Raises:
          StepError: no gradient is kept.
        """
        if self._gradient is None:
            raise StepError("the label head has no gradient to apply; call loss_and_gradient for the step first.")
        gradient, self._gradient = self._gradient, None
        self._optimizer.step([self.kernel, self.bias], gradient)

    def state(self) -> dict[str, NDArray[Any]]:
        """Copies of ``kernel``, ``bias`` and ``optimizer.*``; without a gradient not yet applied."""
        slots = {f"optimizer.{name}": value for name, value in self._optimizer.state().items()}
        return {"kernel": self.kernel.copy(), "bias": self.bias.copy()} | slots

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Takes over what ``state`` returned; drops a gradient not yet applied.

        Raises:
          BadInputError: the state belongs to another network or optimizer; nothing has changed.
        """
        wanted = {name: value.shape for name, value in self.state().items()}
        check_state(state, wanted, "label head")
        slots = {name: state[f"optimizer.{name}"] for name in self._optimizer.state()}
        self._optimizer.load(slots)
        np.copyto(self.kernel, state["kernel"], casting="same_kind")
        np.copyto(self.bias, state["bias"], casting="same_kind")
        self._gradient = None


def _loss_and_delta(
    loss: LossName, outputs: NDArray[np.float32], labels: NDArray[Any]
) -> tuple[float, NDArray[np.float32]]:
    if loss == "multiclass":
        return _softmax_cross_entropy(outputs, labels)
    if labels.shape == outputs.shape[:1] and outputs.shape[1] == 1:
        labels = labels[:, None]
    if labels.shape != outputs.shape:
        raise RowsError(
            f"labels of shape {labels.shape} for outputs of shape {outputs.shape}; one label a row and "
            "output is needed: check the label column and the plan's outputs."
        )
    targets = labels.astype(np.float32)
    return _sigmoid_cross_entropy(outputs, targets) if loss == "binary" else _squared_error(outputs, targets)


def _sigmoid_cross_entropy(y: NDArray[np.float32], t: NDArray[np.float32]) -> tuple[float, NDArray[np.float32]]:
    if not np.logical_or(t == 0, t == 1).all():
        raise RowsError("the labels of a binary loss must be 0 or 1; check the label column or the plan's loss.")
    tail = np.exp(-np.abs(y))
    loss = float(np.mean(np.maximum(y, 0) - y * t + np.log1p(tail), dtype=np.float64))
    delta = np.where(y >= 0, np.float32(1), tail) / (1 + tail)
    delta -= t
    delta /= np.float32(len(y))
    return loss, delta


def _softmax_cross_entropy(y: NDArray[np.float32], t: NDArray[Any]) -> tuple[float, NDArray[np.float32]]:
    batch, classes = y.shape
    if t.shape != (batch,):
        raise RowsError(f"labels of shape {t.shape} for {batch} rows; a multiclass loss takes one class number a row.")
    index = t.astype(np.intp)
    if not (index == t).all() or index.min() < 0 or index.max() >= classes:
        raise RowsError(
            f"the labels of a multiclass loss must be integers 0 to {classes - 1}; check the plan's outputs."
        )
    rows = np.arange(batch)
    y = y - y.max(axis=1, keepdims=True)
    delta = np.exp(y)
    total = delta.sum(axis=1, keepdims=True)
    loss = float(np.mean(np.log(total[:, 0]) - y[rows, index], dtype=np.float64))
    delta /= total
    delta[rows, index] -= 1
    delta /= np.float32(batch)
    return loss, delta


def _squared_error(y: NDArray[np.float32], t: NDArray[np.float32]) -> tuple[float, NDArray[np.float32]]:
    delta = y - t
    loss = float(np.mean(np.square(delta, dtype=np.float64)))
    delta *= np.float32(2.0 / delta.size)
    return loss, delta
