"""kernel.gan.nets: shapes, where nets start, and what they compute against the same layers in Keras."""

from types import SimpleNamespace

import numpy as np
import pytest

from kernel.errors import SettingsError
from kernel.gan import nets
from kernel.gan.nets import (
    LEAKY_SLOPE,
    discriminate,
    discriminator_shapes,
    flatten,
    generate,
    generator_shapes,
    initial_weights,
    parameters,
    unflatten,
)
from kernel.gan.spec import ImageShape, NetSpec

PAPER_GENERATOR, PAPER_DISCRIMINATOR = NetSpec("dense", (512, 512, 1024)), NetSpec("dense", (2048, 512, 256))
IMAGE = ImageShape(8, 12)
MODELS, ROWS = 3, 5


def stacked(shapes, seed=0):
    """Weights of three models that are not near zero: every layer must show in the output."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.3, (MODELS, *shape)).astype(np.float32) for name, shape in shapes.items()}


def test_the_papers_nets_have_the_papers_parameters():
    """Worked by hand: 100-512-512-1024-784 and 784-2048-512-256-1, kernels and biases."""
    assert parameters(generator_shapes(PAPER_GENERATOR, 100, 784, None)) == 51712 + 262656 + 525312 + 803600
    assert parameters(discriminator_shapes(PAPER_DISCRIMINATOR, 784, None, 1)) == 1607680 + 1049088 + 131328 + 257
    assert discriminator_shapes(PAPER_DISCRIMINATOR, 784, None, 5)["kernel_3"] == (256, 5)


def test_where_nets_start():
    """First kernel N(0, 0.02), other kernels uniform within Glorot's limit, biases zero.

    Each mean and mean square of n independent draws lies within five of its standard deviations: the probability that one
    of the eight does not is below 5e-6 (and the seed is fixed).
    """
    shapes = generator_shapes(PAPER_GENERATOR, 100, 784, None)
    weights = initial_weights(shapes, np.random.default_rng(3))
    assert list(weights) == list(shapes)
    assert all(not value.any() for name, value in weights.items() if name.startswith("bias"))
    for layer in range(4):
        kernel = weights[f"kernel_{layer}"].astype(np.float64)
        assert weights[f"kernel_{layer}"].dtype == np.float32
        assert kernel.shape == shapes[f"kernel_{layer}"]
        limit = np.sqrt(6 / sum(kernel.shape))
        variance, fourth = (0.02**2, 3 * 0.02**4) if layer == 0 else (limit**2 / 3, limit**4 / 5)
        assert abs(kernel.mean()) < 5 * np.sqrt(variance / kernel.size)
        assert abs(np.square(kernel).mean() - variance) < 5 * np.sqrt((fourth - variance**2) / kernel.size)
        if layer:
            assert np.abs(kernel).max() <= np.float32(limit)
        else:
            assert np.abs(kernel).max() > 3 * 0.02


def test_glorot_of_a_convolution_counts_its_window():
    shapes = discriminator_shapes(NetSpec("convolutional", (16, 32)), 96, IMAGE, 1)
    kernel = initial_weights(shapes, np.random.default_rng(0))["kernel_1"]
    limit = np.sqrt(6 / (25 * (16 + 32)))
    assert 0.99 * limit < np.abs(kernel).max() <= np.float32(limit)


@pytest.mark.parametrize("image", [None, ImageShape(6, 16), ImageShape(8, 8)], ids=["none", "6 x 16", "64 pixels"])
def test_rows_that_are_no_fitting_image_are_refused(image):
    net = NetSpec("convolutional", (4, 2))
    for make in (lambda: generator_shapes(net, 7, 96, image), lambda: discriminator_shapes(net, 96, image, 1)):
        with pytest.raises(SettingsError, match=r'nets\.kind = "dense"'):
            make()


def test_flat_weights_and_back():
    shapes = discriminator_shapes(NetSpec("dense", (4, 3)), 6, None, 2)
    weights = stacked(shapes)
    flat = flatten(weights)
    assert flat.shape == (MODELS, parameters(shapes))
    assert flat.dtype == np.float32
    np.testing.assert_array_equal(flat[:, :24], weights["kernel_0"].reshape(MODELS, 24))
    np.testing.assert_array_equal(flat[:, 24:28], weights["bias_0"])
    back = unflatten(flat, shapes)
    assert list(back) == list(shapes)
    for name, value in weights.items():
        np.testing.assert_array_equal(back[name], value)
    with pytest.raises(SettingsError, match="wanted"):
        unflatten(flat[:, 1:], shapes)


def keras_dense(widths, inputs, last):
    import keras

    layers = [
        layer for width in widths[:-1] for layer in (keras.layers.Dense(width), keras.layers.LeakyReLU(LEAKY_SLOPE))
    ]
    return keras.Sequential([keras.Input((inputs,)), *layers, keras.layers.Dense(widths[-1], activation=last)])


def keras_convolutional_generator(latent):
    import keras

    def leaky():
        return keras.layers.LeakyReLU(LEAKY_SLOPE)

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((latent,)),
            layers.Dense(2 * 3 * 4),
            leaky(),
            layers.Reshape((2, 3, 4)),
            layers.Conv2DTranspose(3, 5, strides=2, padding="same"),
            leaky(),
            layers.Conv2DTranspose(1, 5, strides=2, padding="same", activation="tanh"),
            layers.Flatten(),
        ]
    )


def keras_convolutional_discriminator(outputs):
    import keras

    def leaky():
        return keras.layers.LeakyReLU(LEAKY_SLOPE)

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((96,)),
            layers.Reshape((8, 12, 1)),
            layers.Conv2D(3, 5, strides=2, padding="same"),
            leaky(),
            layers.Conv2D(4, 5, strides=2, padding="same"),
            leaky(),
            layers.Flatten(),
            layers.Dense(outputs),
        ]
    )


@pytest.mark.parametrize("models", [1, MODELS])
@pytest.mark.parametrize("kind", ["dense", "convolutional"])
def test_nets_compute_what_kerass_layers_do(kind, models):
    import tensorflow as tf

    latent, columns, outputs = 7, 96, 2
    generator = NetSpec(kind, (10, 6) if kind == "dense" else (4, 3))
    discriminator = NetSpec(kind, (9, 5) if kind == "dense" else (3, 4))
    g = {name: value[:models] for name, value in stacked(generator_shapes(generator, latent, columns, IMAGE)).items()}
    d = stacked(discriminator_shapes(discriminator, columns, IMAGE, outputs), 1)
    d = {name: value[:models] for name, value in d.items()}
    noise = np.random.default_rng(2).normal(size=(models, ROWS, latent)).astype(np.float32)
    fakes = generate(tf, generator, g, tf.constant(noise), IMAGE)
    logits = discriminate(tf, discriminator, d, fakes, IMAGE)
    assert fakes.shape == (models, ROWS, columns)
    assert logits.shape == (models, ROWS, outputs)
    if kind == "dense":
        plain_g = keras_dense([*generator.widths, columns], latent, "tanh")
        plain_d = keras_dense([*discriminator.widths, outputs], columns, "linear")
    else:
        plain_g, plain_d = keras_convolutional_generator(latent), keras_convolutional_discriminator(outputs)
    for model in range(models):
        plain_g.set_weights([value[model] for value in g.values()])
        plain_d.set_weights([value[model] for value in d.values()])
        wanted = plain_g(noise[model])
        np.testing.assert_allclose(fakes[model], wanted, atol=2e-6)
        np.testing.assert_allclose(logits[model], plain_d(wanted), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(
    ("net", "vnni", "by_xla"),
    [
        (NetSpec("dense", (2048, 512, 256)), False, True),
        (NetSpec("dense", (2048, 512, 256)), True, False),
        (NetSpec("dense", (256, 64)), False, False),
        (NetSpec("convolutional", (512, 1024)), False, False),
    ],
)
def test_xla_compiles_wide_dense_nets_where_tensorflow_has_no_onednn(net, vnni, by_xla, monkeypatch):
    monkeypatch.setattr(nets, "has", lambda feature: feature == "avx512vnni" and vnni)
    asked = SimpleNamespace(function=lambda body, *, autograph, jit_compile: jit_compile)
    assert nets.compiled(asked, net, None) is by_xla
