"""Structural similarity against a hand-worked window and its plain definition."""

import numpy as np
import pytest

from kernel.errors import BadInputError
from party.assessment.structural_similarity import structural_similarity


def test_one_window_by_hand():
    # 7 x 7 pixels: x has 24 ones and 25 zeros, y is constant 1/2. c = 0 and v_y = 0; m_x = 24/49,
    # v_x = 49/48 * (24/49)(25/49) = 24 * 25 / (48 * 49) = 600/2352.
    x = np.zeros((1, 49), np.float32)
    x[0, :24] = 1
    y = np.full((1, 49), 0.5, np.float32)
    c1, c2, mean = 1e-4, 9e-4, 24 / 49
    by_hand = (2 * mean * 0.5 + c1) / (mean**2 + 0.25 + c1) * c2 / (600 / 2352 + c2)
    assert structural_similarity(x, y, (7, 7), 1.0)[0] == pytest.approx(by_hand, rel=1e-6)


def test_all_windows_are_averaged_as_defined():
    generator = np.random.default_rng(1)
    x, y = generator.random((2, 3, 9 * 8)).astype(np.float32)
    found = structural_similarity(x, y, (9, 8), 2.0)
    for image, other, value in zip(
        x.reshape(3, 9, 8).astype(float), y.reshape(3, 9, 8).astype(float), found, strict=True
    ):
        windows = []
        for row in range(3):
            for column in range(2):
                a, b = (part[row : row + 7, column : column + 7].ravel() for part in (image, other))
                spread = np.cov(a, b)
                luminance = (2 * a.mean() * b.mean() + 4e-4) / (a.mean() ** 2 + b.mean() ** 2 + 4e-4)
                windows.append(luminance * (2 * spread[0, 1] + 36e-4) / (spread[0, 0] + spread[1, 1] + 36e-4))
        assert value == pytest.approx(np.mean(windows), rel=1e-9)


def test_an_image_is_like_itself():
    x = np.random.default_rng(2).random((2, 64)).astype(np.float32)
    np.testing.assert_allclose(structural_similarity(x, x, (8, 8), 1.0), 1)


@pytest.mark.parametrize(("shape", "value_range"), [((6, 8), 1.0), ((8, 6), 1.0), ((8, 8), 1.0), ((7, 7), 0.0)])
def test_images_that_are_too_small_or_do_not_fit_are_refused(shape, value_range):
    images = np.zeros((1, 48 if 6 in shape else 49), np.float32)
    with pytest.raises(BadInputError, match="images"):
        structural_similarity(images, images, shape, value_range)
