"""Structural similarity of images (Wang, Bovik, Sheikh & Simoncelli 2004), with the uniform 7 x 7 window of common libraries."""

import numpy as np
from numpy.typing import NDArray

from kernel.errors import BadInputError

WINDOW = 7

_K1, _K2 = 0.01, 0.03


def structural_similarity(
    images: NDArray[np.float32], recoveries: NDArray[np.float32], image_shape: tuple[int, int], value_range: float
) -> NDArray[np.float64]:
    """The mean SSIM of each image: 1 for an equal image, about 0 for one that has nothing to do with it.

    For windows x of the image and y of the recovery, with means m, sample variances v and covariance c,
    C1 = (0.01 range)^2 and C2 = (0.03 range)^2:

        SSIM = (2 m_x m_y + C1) (2 c + C2) / ((m_x^2 + m_y^2 + C1) (v_x + v_y + C2))

    averaged over all windows that lie inside the image.

    Args:
      images: float32[n, height * width], values from 0 up.
      recoveries: the same shape.
      image_shape: (height, width), at least 7 each.
      value_range: largest minus smallest possible value, above 0.

    Returns:
      float64[n].

    Raises:
      BadInputError: shapes do not fit, images are smaller than the window, or the range is not positive.
    """
    height, width = image_shape
    if images.shape != recoveries.shape or images.ndim != 2 or images.shape[1] != height * width:
        raise BadInputError(
            f"images have shape {images.shape} and recoveries {recoveries.shape}, wanted [n, {height * width}] for "
            f"images of {height} x {width}."
        )
    if min(image_shape) < WINDOW or value_range <= 0:
        raise BadInputError(
            f"images of {height} x {width} with range {value_range:g}; structural similarity needs {WINDOW} x {WINDOW} "
            "pixels or more and a range above 0."
        )
    x, y = (np.asarray(array, np.float64).reshape(-1, height, width) for array in (images, recoveries))
    mean_x, mean_y = _window_means(x), _window_means(y)
    sample = WINDOW**2 / (WINDOW**2 - 1)
    variance_x = sample * (_window_means(x * x) - mean_x**2)
    variance_y = sample * (_window_means(y * y) - mean_y**2)
    covariance = sample * (_window_means(x * y) - mean_x * mean_y)
    c1, c2 = (_K1 * value_range) ** 2, (_K2 * value_range) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    similarity: NDArray[np.float64] = (luminance * structure).mean(axis=(1, 2))
    return similarity


def _window_means(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of all windows inside each image, from sums over corners."""
    sums = np.zeros((len(images), images.shape[1] + 1, images.shape[2] + 1))
    np.cumsum(np.cumsum(images, axis=1), axis=2, out=sums[:, 1:, 1:])
    w = WINDOW
    windows: NDArray[np.float64] = sums[:, w:, w:] - sums[:, :-w, w:] - sums[:, w:, :-w] + sums[:, :-w, :-w]
    return windows / w**2
