"""The plain network on pooled rows: what the split network is measured against.

The same layers, the same start, the same batches in the same order and Keras's own optimizers, with nothing
split and nothing hidden. It is trained twice from the same start and timed in two ways:

* ``keras_fit``: ``model.fit`` an epoch, which is what people run;
* ``tf_function``: a loop of one compiled step a batch over tensors in memory, which is the strong baseline.

Tracing and compilation happen in an untimed warm-up that leaves weights and optimizer as they were, and
putting the rows into the epoch's order is not timed either: both times are the least the plain network can
have, and a ratio to them never flatters the split one. TensorFlow is imported late.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import RowsError, SettingsError
from kernel.network import NetworkSpec
from kernel.optimizers import check_optimizer
from kernel.secret.spec import SecretSpec
from party.baseline.keras_model import build_model
from party.baseline.network_parts import NetworkParts, check_parts, from_layer_order


@dataclass(frozen=True, eq=False)
class PlainResult:
    """What the plain network learned, and how long an epoch took in the two loops."""

    epoch_losses: list[float]
    """Mean training loss of each epoch, over its rows, as ``fit`` reports it (a batch before its step)."""
    test_outputs: NDArray[np.float32]
    """Linear outputs of the trained network for the test rows, [n_test, outputs]."""
    keras_fit_seconds: list[float]
    tf_function_seconds: list[float]
    weights: NetworkParts
    """After ``fit``."""
    tf_function_weights: NetworkParts
    """After the strong loop: the same training, so equal to ``weights`` up to float32 rounding."""


def train_plain(
    spec: NetworkSpec,
    parts: NetworkParts,
    rows: NDArray[np.float32],
    labels: NDArray[Any],
    train_order: Callable[[int], NDArray[np.integer[Any]]],
    batch_rows: int,
    epochs: int,
    test_rows: NDArray[np.integer[Any]],
    *,
    secret: SecretSpec | None = None,
    xla: bool = False,
) -> PlainResult:
    """Trains the plain network in both loops from the same start.

    Args:
      spec: the network; regression is the mean squared error, binary the sigmoid cross-entropy and multiclass
        the
        softmax cross-entropy of the linear outputs.
      parts: the weights at step 0; left alone.
      rows: all pooled rows, float32[N, columns].
      labels: [N] (or [N, outputs] for a regression with several): 0 or 1, class numbers, or real numbers.
      train_order: epoch (0, 1, ...) -> indices into ``rows`` in batch order; the same number of them every
        epoch.
      batch_rows: rows a batch; the last batch of an epoch is what remains.
      epochs: passes over the training rows.
      test_rows: indices into ``rows`` to give outputs for; may be empty.
      secret: layers that the split network computes on shares, before the cut, and without a neutral server (no
        ``widths``) the gradient of its head; here they are layers like any other.
      xla: whether the strong loop's step is compiled by XLA (fraud shape: 30 ms an epoch with, 48 without).

    Raises:
      SettingsError: the network, its optimizer, the batch or the number of epochs cannot be used.
      BadInputError: ``parts`` do not fit the network.
      RowsError: labels do not fit the rows, or there is nothing to train on.
    """
    check_optimizer(spec.optimizer)
    _check_rows(spec, rows, labels, batch_rows, epochs)
    check_parts(spec, secret, parts, rows.shape[1])
    orders = [np.asarray(train_order(epoch)) for epoch in range(epochs)]
    if any(len(order) == 0 or len(order) != len(orders[0]) for order in orders):
        counts = sorted({len(order) for order in orders})
        raise RowsError(f"epochs have {counts} training rows; every epoch needs the same number, 1 or more.")
    targets = labels.astype(np.int64 if spec.loss == "multiclass" else np.float32).reshape(len(rows), -1)

    model = build_model(spec, secret, parts)
    losses, fit_seconds = _train_with_fit(model, rows, targets, orders, batch_rows)
    strong = build_model(spec, secret, parts)
    function_seconds = _train_with_function(strong, rows, targets, orders, batch_rows, xla)
    outputs = [np.empty((0, spec.outputs), np.float32)]
    for start in range(0, len(test_rows), batch_rows):
        outputs.append(model(rows[test_rows[start : start + batch_rows]], training=False).numpy())
    return PlainResult(
        epoch_losses=losses,
        test_outputs=np.concatenate(outputs),
        keras_fit_seconds=fit_seconds,
        tf_function_seconds=function_seconds,
        weights=_parts_of(spec, secret, model),
        tf_function_weights=_parts_of(spec, secret, strong),
    )


def _check_rows(spec: NetworkSpec, rows: NDArray[Any], labels: NDArray[Any], batch_rows: int, epochs: int) -> None:
    if batch_rows < 1 or epochs < 1:
        raise SettingsError(f"batch_rows is {batch_rows} and epochs {epochs}; both must be 1 or more.")
    if rows.dtype != np.float32 or rows.ndim != 2:
        raise RowsError(f"rows are {rows.dtype}{list(rows.shape)}; wanted float32[rows, columns].")
    shapes = [(len(rows),), (len(rows), spec.outputs if spec.loss == "regression" else 1)]
    if labels.shape not in (shapes if shapes[1][1] == 1 else shapes[1:]):
        raise RowsError(f"labels have shape {labels.shape}; wanted {shapes[1]}, one label a row and output.")


def _train_with_fit(
    model: Any,
    rows: NDArray[np.float32],
    targets: NDArray[Any],
    orders: list[NDArray[np.integer[Any]]],
    batch_rows: int,
) -> tuple[list[float], list[float]]:
    # One full batch and the partial one, in one fit: the shapes, and so the functions, of a real epoch.
    full, partial = divmod(len(orders[0]), batch_rows)
    first = orders[0][: min(full, 1) * batch_rows + partial]
    with Restored(model):
        model.fit(rows[first], targets[first], epochs=1, shuffle=False, batch_size=batch_rows, verbose=0)
    losses, seconds = [], []
    for order in orders:
        x, y = rows[order], targets[order]
        start = time.perf_counter()
        history = model.fit(x, y, epochs=1, shuffle=False, batch_size=batch_rows, verbose=0)
        seconds.append(time.perf_counter() - start)
        losses.append(float(history.history["loss"][0]))
    return losses, seconds


def _train_with_function(
    model: Any,
    rows: NDArray[np.float32],
    targets: NDArray[Any],
    orders: list[NDArray[np.integer[Any]]],
    batch_rows: int,
    xla: bool,
) -> list[float]:
    import tensorflow as tf

    x_spec = tf.TensorSpec([None, rows.shape[1]], tf.float32)
    y_spec = tf.TensorSpec([None, targets.shape[1]], tf.as_dtype(targets.dtype))

    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = model.loss(y, model(x, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply(gradients, model.trainable_variables)
        return loss

    compiled = tf.function(
        step, input_signature=[x_spec, y_spec], jit_compile=True if xla else None, autograph=False
    ).get_concrete_function()

    def batches(order: NDArray[np.integer[Any]]) -> list[tuple[Any, Any]]:
        cuts = [order[start : start + batch_rows] for start in range(0, len(order), batch_rows)]
        return [(tf.constant(rows[cut]), tf.constant(targets[cut])) for cut in cuts]

    with Restored(model):
        ends = batches(orders[0])
        for x, y in (ends[0], ends[-1]):
            compiled(x, y)
    seconds = []
    for order in orders:
        epoch = batches(order)
        start = time.perf_counter()
        for x, y in epoch:
            compiled(x, y)
        seconds.append(time.perf_counter() - start)
    return seconds


class Restored:
    """Puts a model's weights and its optimizer's variables back when the block ends."""

    def __init__(self, model: Any) -> None:
        self._variables = [*model.variables, *model.optimizer.variables]

    def __enter__(self) -> None:
        self._saved = [np.array(variable.numpy()) for variable in self._variables]

    def __exit__(self, *_: object) -> None:
        for variable, value in zip(self._variables, self._saved, strict=True):
            variable.assign(value)


def _parts_of(spec: NetworkSpec, secret: SecretSpec | None, model: Any) -> NetworkParts:
    return from_layer_order(spec, secret, [np.array(value, np.float32) for value in model.get_weights()])
