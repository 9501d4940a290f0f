"""How good synthetic rows are: a classifier learns from them and is scored on real held-out rows.

The classifier of Mukherjee et al. 2021 for images, as their notebook of downstream tasks has it (repository microsoft/privGAN,
MNIST_down.ipynb), which is the MNIST example of Keras: convolutions of 32 and 64 channels with 3x3 kernels and ReLU, maximum
over 2x2, dropout 0.25, 128 units with ReLU, dropout 0.5, softmax; Adadelta with rate 1, rho 0.95, epsilon 1e-6; pixels from -1
to 1; 25 epochs. Rows that are no image, or one with a side below eight, go through two layers of 128 units instead.

ReLU comes after the maximum here: they commute, and it has a quarter of the values to look at.

``small``, for images: convolutions of 16 and 32 channels with 5x5 kernels and stride 2 instead, and 64 units: a tenth of the time. From
3,000 of MNIST's own training digits both reach 0.969 in 25 epochs; in 8 epochs 0.959, the paper's 0.967.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import BadInputError, RowsError
from kernel.gan.spec import ClassifierName, ImageShape
from kernel.metrics.scores import Score, proportion
from party.defender import import_tensorflow

EPOCHS = 25
BATCH_ROWS = 128
LEAST_SIDE = 8

_LEAST_STEPS = 8
_SCORED_AT_ONCE = 1000
_ORDER, _WEIGHTS = 0x6A32, 0x6A33


def classifier_accuracy(
    rows: NDArray[np.float32],
    labels: NDArray[np.int64],
    held_out: NDArray[np.float32],
    held_out_labels: NDArray[np.int64],
    image: ImageShape | None,
    *,
    size: ClassifierName = "paper",
    epochs: int = EPOCHS,
    seed: int = 0,
    threads: int = 1,
) -> Score:
    """Share of held-out rows that are classified as what they are, with Wilson's 95 % interval; imports TensorFlow.

    Args:
      rows: float32[n, columns], from 0 to 1, to learn from.
      labels: int64[n], any integers.
      held_out: float32[m, columns]; held_out_labels: int64[m].
      image: shape of a row, where it is one.
      size: of the classifier.
      epochs: passes over the rows; batches of 128, or of an eighth of the rows where these are few.
      seed: of weights, order and dropout.
      threads: an operation may use, unless TensorFlow has computed before in this process; 0 for half the cores.

    Guarantees: with one thread, the same arguments give the same score on the same machine.

    Edge cases: a held-out row of a class that the classifier never saw counts as an error; with one class to learn, all rows are
    said to be of it.

    Raises:
      RowsError: nothing to learn from or to be scored on. BadInputError: shapes do not fit, or values are not finite.
    """
    _check(rows, labels, "to learn from", image)
    _check(held_out, held_out_labels, "held out", image)
    if rows.shape[1] != held_out.shape[1]:
        raise BadInputError(f"rows to learn from have {rows.shape[1]} columns and held-out rows {held_out.shape[1]}")
    import_tensorflow(threads)
    classes, places = np.unique(labels, return_inverse=True)
    classifier = _Classifier(rows.shape[1], len(classes), image, seed, size)
    generator = np.random.default_rng([_ORDER, seed])
    steps = -(-len(rows) // min(BATCH_ROWS, -(-len(rows) // _LEAST_STEPS)))
    for _ in range(epochs):
        for batch in np.array_split(generator.permutation(len(rows)), steps):
            classifier.step(rows[batch], places[batch])
    said = classes[classifier.predict(held_out)]
    return proportion(float(np.sum(said == held_out_labels)), len(held_out))


class _Classifier:
    """The net and its optimizer; a step and a prediction are one compiled call each."""

    def __init__(self, columns: int, classes: int, image: ImageShape | None, seed: int, size: ClassifierName) -> None:
        import keras
        import tensorflow as tf

        self._tf, self._net = tf, _net(keras, columns, classes, image, seed, size)
        self._optimizer = keras.optimizers.Adadelta(1.0, rho=0.95, epsilon=1e-6)
        self._optimizer.build(self._net.trainable_variables)
        values = tf.TensorSpec([None, columns], tf.float32)
        self._train = tf.function(self._learn, input_signature=[values, tf.TensorSpec([None], tf.int64)])
        self._say = tf.function(self._choose, input_signature=[values])

    def step(self, rows: NDArray[np.float32], places: NDArray[np.int64]) -> None:
        self._train(self._tf.constant(rows), self._tf.constant(places, self._tf.int64))

    def predict(self, rows: NDArray[np.float32]) -> NDArray[np.int64]:
        """Place of the class with the highest probability, int64[rows]."""
        parts = [rows[start : start + _SCORED_AT_ONCE] for start in range(0, len(rows), _SCORED_AT_ONCE)]
        return np.concatenate([self._say(self._tf.constant(part)).numpy() for part in parts])

    def _learn(self, rows: Any, places: Any) -> None:
        tf = self._tf
        with tf.GradientTape() as tape:
            logits = self._net(2 * rows - 1, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=places, logits=logits))
        weights = self._net.trainable_variables
        self._optimizer.apply(tape.gradient(loss, weights), weights)

    def _choose(self, rows: Any) -> Any:
        return self._tf.argmax(self._net(2 * rows - 1, training=False), axis=1)


def _net(keras: Any, columns: int, classes: int, image: ImageShape | None, seed: int, size: ClassifierName) -> Any:
    layers, generator = keras.layers, np.random.default_rng([_WEIGHTS, seed])

    def drawn() -> int:
        return int(generator.integers(1 << 31))

    def fresh() -> Any:
        return keras.initializers.GlorotUniform(drawn())

    if image is not None and min(image.height, image.width) < LEAST_SIDE:
        image = None
    if image is not None and size == "small":
        first = [
            layers.Reshape((image.height, image.width, 1)),
            layers.Conv2D(16, 5, strides=2, padding="same", activation="relu", kernel_initializer=fresh()),
            layers.Conv2D(32, 5, strides=2, padding="same", activation="relu", kernel_initializer=fresh()),
            layers.Dropout(0.25, seed=drawn()),
            layers.Flatten(),
        ]
    elif image is not None:
        first = [
            layers.Reshape((image.height, image.width, 1)),
            layers.Conv2D(32, 3, activation="relu", kernel_initializer=fresh()),
            layers.Conv2D(64, 3, kernel_initializer=fresh()),
            layers.MaxPooling2D(2),
            layers.ReLU(),
            layers.Dropout(0.25, seed=drawn()),
            layers.Flatten(),
        ]
    else:
        first = [
            layers.Dense(128, activation="relu", kernel_initializer=fresh()),
            layers.Dropout(0.25, seed=drawn()),
        ]
    last = [
        layers.Dense(64 if size == "small" else 128, activation="relu", kernel_initializer=fresh()),
        layers.Dropout(0.5, seed=drawn()),
        layers.Dense(classes, kernel_initializer=fresh()),
    ]
    return keras.Sequential([keras.Input((columns,), dtype="float32"), *first, *last])


def _check(rows: NDArray[Any], labels: NDArray[Any], which: str, image: ImageShape | None) -> None:
    if len(rows) == 0:
        raise RowsError(f"there are no rows {which}; the classifier needs some of each kind")
    if rows.ndim != 2 or labels.shape != (len(rows),):
        raise BadInputError(
            f"rows {which} have shape {rows.shape} and labels {labels.shape}; wanted [rows, columns], [rows]"
        )
    if not np.all(np.isfinite(rows)):
        raise BadInputError(
            f"rows {which} hold NaN or infinite values; if a generator made them, its training diverged"
        )
    if image is not None and image.height * image.width != rows.shape[1]:
        raise BadInputError(f"rows {which} have {rows.shape[1]} columns, no image of {image.height} x {image.width}")
