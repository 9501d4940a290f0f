"""The plain network on pooled rows: what the split network is measured against.

The same layers, the same start, the same batches in the same order and Keras's own optimizers, with nothing
split and nothing hidden. It is trained twice from the same start and timed in two ways:

* ``keras_fit``: ``model.fit`` an epoch, which is what people run;
* ``tf_function``: a loop of one compiled step a batch over tensors in memory, which is the strong baseline.

Tracing and compilation happen in an untimed warm-up that leaves weights and optimizer as they were, and
putting the rows into the epoch's order is not timed either: both times are the least the plain network can
have, and a ratio to them never flatters the split one. TensorFlow is imported late: a party that only splits
never needs it.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import RowsError, SettingsError
from kernel.initialisation import check_network, initial_stack
from kernel.network import NetworkSpec
from kernel.optimizers import check_optimizer, check_state


@dataclass(frozen=True, eq=False)
class NetworkParts:
    """All weights of a network, by who holds them when it is split.

    ``stack`` has the neutral server's names (``kernel.initialisation.initial_stack``): ``bias_0``
    float32[widths[0]], then ``kernel_k`` float32[widths[k-1], widths[k]] and ``bias_k`` float32[widths[k]]
    for k = 1 ... len(widths) - 1. Further names in it (a ``HiddenStack`` state's ``step`` and slots) are
    ignored: training starts with fresh slots.
    """

    first_layer: NDArray[np.float32]
    """Theta, [columns, widths[0]]: the rows of all parties in the order of the pooled columns."""
    stack: Mapping[str, NDArray[Any]]
    head_weights: NDArray[np.float32]
    """[widths[-1], outputs]"""
    head_bias: NDArray[np.float32]
    """[outputs]"""


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
      xla: whether the strong loop's step is compiled by XLA (fraud shape: 30 ms an epoch with, 48 without).

    Raises:
      SettingsError: the network, its optimizer, the batch or the number of epochs cannot be used.
      BadInputError: ``parts`` do not fit the network.
      RowsError: labels do not fit the rows, or there is nothing to train on.
    """
    _check(spec, parts, rows, labels, batch_rows, epochs)
    orders = [np.asarray(train_order(epoch)) for epoch in range(epochs)]
    if any(len(order) == 0 or len(order) != len(orders[0]) for order in orders):
        counts = sorted({len(order) for order in orders})
        raise RowsError(f"epochs have {counts} training rows; every epoch needs the same number, 1 or more.")
    targets = labels.astype(np.int64 if spec.loss == "multiclass" else np.float32).reshape(len(rows), -1)

    model = _build_model(spec, parts)
    losses, fit_seconds = _train_with_fit(model, rows, targets, orders, batch_rows)
    strong = _build_model(spec, parts)
    function_seconds = _train_with_function(strong, rows, targets, orders, batch_rows, xla)
    outputs = [np.empty((0, spec.outputs), np.float32)]
    for start in range(0, len(test_rows), batch_rows):
        outputs.append(model(rows[test_rows[start : start + batch_rows]], training=False).numpy())
    return PlainResult(
        epoch_losses=losses,
        test_outputs=np.concatenate(outputs),
        keras_fit_seconds=fit_seconds,
        tf_function_seconds=function_seconds,
        weights=_parts_of(spec, model),
        tf_function_weights=_parts_of(spec, strong),
    )


def _check(
    spec: NetworkSpec,
    parts: NetworkParts,
    rows: NDArray[Any],
    labels: NDArray[Any],
    batch_rows: int,
    epochs: int,
) -> None:
    check_network(spec)
    check_optimizer(spec.optimizer)
    if batch_rows < 1 or epochs < 1:
        raise SettingsError(f"batch_rows is {batch_rows} and epochs {epochs}; both must be 1 or more.")
    if rows.dtype != np.float32 or rows.ndim != 2:
        raise RowsError(f"rows are {rows.dtype}{list(rows.shape)}; wanted float32[rows, columns].")
    shapes = [(len(rows),), (len(rows), spec.outputs if spec.loss == "regression" else 1)]
    if labels.shape not in (shapes if shapes[1][1] == 1 else shapes[1:]):
        raise RowsError(f"labels have shape {labels.shape}; wanted {shapes[1]}, one label a row and output.")
    wanted = {name: value.shape for name, value in initial_stack(spec).items()}
    check_state({name: parts.stack[name] for name in wanted if name in parts.stack}, wanted, "hidden stack")
    check_state(
        {"first layer": parts.first_layer, "head": parts.head_weights, "head bias": parts.head_bias},
        {
            "first layer": (rows.shape[1], spec.widths[0]),
            "head": (spec.widths[-1], spec.outputs),
            "head bias": (spec.outputs,),
        },
        "plain network",
    )


def _build_model(spec: NetworkSpec, parts: NetworkParts) -> Any:
    keras = import_keras()
    # Zeros: the weights come from ``parts``, and nothing may draw from a global generator.
    names = ["linear" if name == "identity" else name for name in spec.activations]
    layers = [
        keras.layers.Dense(width, activation=name, kernel_initializer="zeros", dtype="float32")
        for width, name in zip((*spec.widths, spec.outputs), (*names, "linear"), strict=True)
    ]
    model = keras.Sequential([keras.Input((len(parts.first_layer),), dtype="float32"), *layers])
    stack = [parts.stack[name] for name in initial_stack(spec)]
    model.set_weights([parts.first_layer, *stack, parts.head_weights, parts.head_bias])
    losses = {
        "binary": lambda: keras.losses.BinaryCrossentropy(from_logits=True),
        "multiclass": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "regression": keras.losses.MeanSquaredError,
    }
    model.compile(optimizer=_build_optimizer(spec), loss=losses[spec.loss]())
    model.optimizer.build(model.trainable_variables)
    return model


def _build_optimizer(spec: NetworkSpec) -> Any:
    keras, numbers = import_keras(), spec.optimizer
    if numbers.name == "adam":
        return keras.optimizers.Adam(
            numbers.learning_rate, beta_1=numbers.beta_1, beta_2=numbers.beta_2, epsilon=numbers.epsilon
        )
    momentum = float(numbers.momentum) if numbers.name == "momentum" else 0.0
    return keras.optimizers.SGD(numbers.learning_rate, momentum=momentum)


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


def _parts_of(spec: NetworkSpec, model: Any) -> NetworkParts:
    first_layer, *stack, kernel, bias = [np.array(value, np.float32) for value in model.get_weights()]
    names = list(initial_stack(spec))
    return NetworkParts(first_layer, dict(zip(names, stack, strict=True)), kernel, bias)


def import_keras() -> Any:
    """Late, on TensorFlow, with its chatter turned down."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras

    return keras
