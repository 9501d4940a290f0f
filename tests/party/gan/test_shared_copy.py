"""party.gan.shared_copy: losses and gradients against a Keras model with the weights that came from the server."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kernel.errors import SettingsError
from kernel.gan.nets import discriminator_shapes, flatten
from party.gan.shared_copy import SharedCopy

COLUMNS, MODELS, PARTIES, ROWS = 16, 2, 3, 8


def weights_of(spec, image, seed=0):
    rng = np.random.default_rng(seed)
    shapes = discriminator_shapes(spec.shared.net, COLUMNS, image, PARTIES)
    return {name: rng.normal(0, 0.4, (MODELS, *shape)).astype(np.float32) for name, shape in shapes.items()}


def keras_model(spec, weights, model):
    layers = keras.layers
    if spec.shared.net.kind == "dense":
        hidden = [one for width in spec.shared.net.widths for one in (layers.Dense(width), layers.LeakyReLU(0.2))]
    else:
        maps = [(layers.Conv2D(c, 5, strides=2, padding="same"), layers.LeakyReLU(0.2)) for c in spec.shared.net.widths]
        hidden = [layers.Reshape((4, 4, 1)), *(one for pair in maps for one in pair), layers.Flatten()]
    net = keras.Sequential([keras.Input((COLUMNS,)), *hidden, layers.Dense(PARTIES, activation="softmax")])
    net.set_weights([value[model] for value in weights.values()])
    return net


def test_losses_and_gradients_are_kerass(spec, image):
    weights, rng = weights_of(spec, image), np.random.default_rng(1)
    fakes = rng.uniform(-1, 1, (MODELS, ROWS, COLUMNS)).astype(np.float32)
    wrong = rng.integers(0, 2, (MODELS, ROWS)).astype(np.int32)
    copy = SharedCopy(spec, COLUMNS, image, MODELS, PARTIES)
    copy.load(flatten(weights))
    losses, update = copy.update(fakes, 2)
    origin, gradient = copy.origin_gradient(fakes, wrong)
    assert update.shape == (MODELS, copy.parameters)
    assert gradient.shape == fakes.shape
    for model in range(MODELS):
        net = keras_model(spec, weights, model)
        rows = tf.constant(fakes[model])
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(rows)
            outputs = net(rows)
            own = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(np.full(ROWS, 2), outputs))
            other = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(wrong[model], outputs))
        by_weights = np.concatenate([one.numpy().ravel() for one in tape.gradient(own, net.trainable_variables)])
        assert losses[model] == pytest.approx(float(own), rel=1e-5)
        assert origin[model] == pytest.approx(float(other), rel=1e-5)
        np.testing.assert_allclose(update[model], by_weights, atol=2e-5 * np.abs(by_weights).max())
        by_rows = tape.gradient(other, rows).numpy()
        np.testing.assert_allclose(gradient[model], by_rows, atol=2e-5 * np.abs(by_rows).max())


def test_weights_of_another_plan_are_refused(spec, image):
    copy = SharedCopy(spec, COLUMNS, image, MODELS, PARTIES)
    flat = flatten(weights_of(spec, image))
    for other in (flat[:1], flat[:, 1:]):
        with pytest.raises(SettingsError, match="wanted"):
            copy.load(other)
