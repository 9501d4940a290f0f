"""The decoder's gradients against differences, and what its fit guarantees."""

import numpy as np
import pytest

from party.assessment.decoder import Decoder, DecoderRecipe, fit_decoder


def test_gradients_are_those_of_the_mean_squared_error():
    generator = np.random.default_rng(1)
    shapes = [(4, 6), (6,), (6, 5), (5,), (5, 3), (3,)]
    decoder = Decoder([generator.normal(size=shape) for shape in shapes])  # float64, for the differences
    x, y = generator.normal(size=(7, 4)), generator.normal(size=(7, 3))
    step = 1e-6
    for layer, gradient in zip(decoder.layers, decoder.gradients(x, y), strict=True):
        place = tuple(generator.integers(0, size) for size in layer.shape)
        losses = []
        for move in (step, -2 * step):
            layer[place] += move
            losses.append(np.mean((decoder(x) - y) ** 2))
        layer[place] += step
        assert gradient[place] == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-5, abs=1e-9)


def test_it_learns_what_no_linear_map_can():
    generator = np.random.default_rng(2)
    x = generator.normal(size=(1200, 2)).astype(np.float32)
    y = np.abs(x)
    decoder = fit_decoder(x[:1000], y[:1000], DecoderRecipe(widths=(32,), epochs=40), seed=0)
    assert np.mean((decoder(x[1000:]) - y[1000:]) ** 2) < 0.05 * np.var(y[1000:])


def test_on_noise_the_held_out_rows_keep_it_near_zero():
    generator = np.random.default_rng(3)
    x, y = (generator.normal(size=(400, width)).astype(np.float32) for width in (5, 3))
    decoder = fit_decoder(x, y, DecoderRecipe(widths=(32,), epochs=10), seed=0)
    fresh = generator.normal(size=(1000, 5)).astype(np.float32)
    assert np.mean(decoder(fresh) ** 2) < 0.05


def test_the_same_seed_gives_the_same_decoder():
    x = np.random.default_rng(4).normal(size=(64, 3)).astype(np.float32)
    first, second = (fit_decoder(x, x, DecoderRecipe(widths=(8,), epochs=2), seed=5)(x) for _ in range(2))
    np.testing.assert_array_equal(first, second)
