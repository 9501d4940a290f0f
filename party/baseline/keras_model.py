"""The plain network in Keras: the same layers, Keras's own optimizers, a secret layer's polynomial as its activation.

TensorFlow is imported late: a party that only splits never needs it.
"""

import os
from collections.abc import Callable
from typing import Any

from kernel.network import NetworkSpec
from kernel.secret.polynomials import Coefficients, coefficients, cubic
from kernel.secret.spec import SecretSpec
from party.baseline.network_parts import NetworkParts, in_layer_order


def build_model(spec: NetworkSpec, secret: SecretSpec | None, parts: NetworkParts) -> Any:
    """A compiled model with these weights, whose optimizer has fresh slots.

    Without a neutral server its loss is reported as what it is, the logistic loss of every output, and moves weights by
    (p(y) - t) / batch with p the cubic in the place of the sigmoid, as `kernel.secret.step.SecretStep.head_gradient` does.
    """
    keras = import_keras()
    layers: list[tuple[int, Any]] = []
    if secret is not None:
        layers += [(layer.width, _polynomial(coefficients(layer))) for layer in secret.layers]
    named = ["linear" if name == "identity" else name for name in spec.activations]
    layers += [*zip(spec.widths, named, strict=True), (spec.outputs, "linear")]
    # Zeros: the weights come from ``parts``, and nothing may draw from a global generator.
    dense = [
        keras.layers.Dense(width, activation=activation, kernel_initializer="zeros", dtype="float32")
        for width, activation in layers
    ]
    model = keras.Sequential([keras.Input((len(parts.first_layer),), dtype="float32"), *dense])
    model.set_weights(in_layer_order(spec, parts))
    model.compile(optimizer=_optimizer(spec), loss=_loss(spec, secret))
    model.optimizer.build(model.trainable_variables)
    return model


def _polynomial(polynomial: Coefficients) -> Callable[[Any], Any]:
    c0, c1, c2, c3 = polynomial
    if polynomial == (0.0, 1.0, 0.0, 0.0):
        return lambda z: z
    if polynomial == (0.0, 0.0, 1.0, 0.0):
        return lambda z: z * z
    return lambda z: ((c3 * z + c2) * z + c1) * z + c0


def _optimizer(spec: NetworkSpec) -> Any:
    keras, numbers = import_keras(), spec.optimizer
    if numbers.name == "adam":
        return keras.optimizers.Adam(
            numbers.learning_rate, beta_1=numbers.beta_1, beta_2=numbers.beta_2, epsilon=numbers.epsilon
        )
    momentum = float(numbers.momentum) if numbers.name == "momentum" else 0.0
    return keras.optimizers.SGD(numbers.learning_rate, momentum=momentum)


def _loss(spec: NetworkSpec, secret: SecretSpec | None) -> Any:
    if secret is not None and secret.head:
        return _approximated_logistic(spec.outputs, cubic("sigmoid", secret.head_interval))
    losses = import_keras().losses
    if spec.loss == "binary":
        return losses.BinaryCrossentropy(from_logits=True)
    if spec.loss == "multiclass":
        return losses.SparseCategoricalCrossentropy(from_logits=True)
    return losses.MeanSquaredError()


def _approximated_logistic(outputs: int, polynomial: Coefficients) -> Callable[[Any, Any], Any]:
    import tensorflow as tf

    probability = _polynomial(polynomial)

    def loss(targets: Any, linear: Any) -> Any:
        t = tf.cast(targets, tf.float32)
        if outputs > 1:  # Keras hands class numbers on as reals
            t = tf.one_hot(tf.cast(tf.reshape(targets, [-1]), tf.int64), outputs)

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def mean_over_rows(y: Any) -> Any:
            rows = tf.cast(tf.shape(y)[0], tf.float32)
            value = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(t, y)) / rows
            return value, lambda upstream: upstream * (probability(y) - t) / rows

        return mean_over_rows(linear)

    return loss


def import_keras() -> Any:
    """Late, on TensorFlow, with its chatter turned down."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras

    return keras
