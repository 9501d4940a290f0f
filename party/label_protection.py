"""Noise on dL/dh_L, added by the label holder before the gradient leaves: what the plan calls ``label_gradient``.

max_norm  each row's gradient g becomes g (1 + s n), n standard normal, s^2 = max|g|^2 / |g|^2 - 1: all rows have the same
          expected squared length (Li et al. 2022, arXiv 2102.08504, section 4.1). Hides the norm. The direction is only
          hidden where s is large: a row that is as long as the longest keeps its own.
marvell   noise of both classes by the convex programme of marvell.py, from the means and variances of the rows at hand
          (section 4.2). Binary labels only.

Both add noise inside the span of the rows at hand and nowhere else. A label head with one output, which is that of every
binary loss, makes gradients (p - y) w that all lie on one line. The paper's model is isotropic in the whole width: its
noise goes across that line in one class only, and whether a row is still parallel to others then is its label. Within
the span there is no across: what is sent of a row is one noisy number, times a direction that all rows share.

Both hide one reading. Noise is fresh in every step, so a reader who can follow a row over epochs averages it out.
The label head itself moves by the clean gradient, which stays with the labels.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.gaussian_noise import GaussianNoise
from kernel.protection import LabelGradient
from party.marvell import ClassNoise, optimal_noise

_ROUNDINGS = 16  # that an entry of a gradient may have gone through, generously

Protection = Callable[[NDArray[np.float32], NDArray[Any]], NDArray[np.float32]]
"""(dL/dh_L float32[rows, width], labels [rows]) -> what is sent, of the same shape and type."""


def label_protection(kind: LabelGradient, power: float, noise: GaussianNoise) -> Protection | None:
    """The plan's choice; None where gradients are sent as they are.

    Args:
      power: of Marvell: mean squared length of the noise over the squared distance of the class means.
      noise: the label holder's own.
    """
    if kind == "max_norm":
        return partial(max_norm, noise=noise)
    if kind == "marvell":
        return partial(marvell, power=power, noise=noise)
    return None


def max_norm(gradient: NDArray[np.float32], labels: NDArray[Any], *, noise: GaussianNoise) -> NDArray[np.float32]:
    """Rows along themselves; a row of zeros, which has no direction, gets one out of the span of the others.

    Labels are not looked at, and the longest row is that of the rows at hand: of a micro-batch where a plan cuts steps.

    Guarantees: the expected squared length of every row is that of the longest.
    """
    wide = gradient.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1)
    longest = float(norms.max(initial=0.0))
    if longest == 0.0:
        return gradient
    still = norms <= 1e-12 * longest
    factors = noise.draw((len(wide),))
    spread = np.sqrt(np.maximum((longest / np.where(still, longest, norms)) ** 2 - 1.0, 0.0))
    wide *= (1.0 + spread * factors)[:, None]
    if still.any():
        basis = _span(wide)
        directions = noise.draw((int(still.sum()), basis.shape[1])) @ basis.T
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        wide[still] = longest * factors[still, None] * directions
    return wide.astype(np.float32)


def marvell(
    gradient: NDArray[np.float32], labels: NDArray[Any], *, power: float, noise: GaussianNoise
) -> NDArray[np.float32]:
    """Noise per class; ``labels`` are 0 or 1, [rows] or [rows, 1].

    Where all rows are of one class, the other is imagined as its mirror image, as likely: nothing else is known of
    it, and rows sent clean would say that they are alike.

    Guarantees: what is sent of a row is a function of its noisy coordinates in the span of all rows: on one line, if the
    gradients lie on one. How these overlap is the optimum of marvell.py, with d the dimensions of the span; in more than
    one it takes the classes to be isotropic there.
    """
    positive = labels.reshape(len(gradient)) > 0.5
    basis = _span(gradient.astype(np.float64))
    wide = gradient @ basis  # coordinates: what rounding left outside the span is not sent either
    groups = [wide[~positive], wide[positive]]
    dimensions = wide.shape[1]
    if dimensions == 0:
        return gradient
    if all(len(group) for group in groups):
        means = [group.mean(axis=0) for group in groups]
        u, v = (_isotropic(group, mean) for group, mean in zip(groups, means, strict=True))
        share = len(groups[1]) / len(wide)
    else:
        mean = wide.mean(axis=0)
        means = [-mean, mean]
        u = v = _isotropic(wide, mean)
        share = 0.5
    apart = means[1] - means[0]
    squared = float(apart @ apart)
    if squared == 0.0:
        return gradient
    negative_noise, positive_noise = optimal_noise(squared, u, v, dimensions, share, power * squared)
    unit = apart / math.sqrt(squared)
    wide[~positive] += _sample(len(groups[0]), unit, negative_noise, noise)
    wide[positive] += _sample(len(groups[1]), unit, positive_noise, noise)
    return (wide @ basis.T).astype(np.float32)


def _span(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Orthonormal columns float64[width, dimensions] that span rows of float32 accuracy; no column where all are zero.

    Rounding every entry once moves no singular value by more than eps/2 sqrt(min(rows, width)) times the largest.
    """
    squares, vectors = np.linalg.eigh(rows.T @ rows)
    least = _ROUNDINGS * np.finfo(np.float32).eps * math.sqrt(min(rows.shape))
    kept: NDArray[np.float64] = vectors[:, (squares > squares[-1] * least**2) & (squares > 0)]
    return kept


def _isotropic(rows: NDArray[np.float64], mean: NDArray[np.float64]) -> float:
    """Variance of one direction, averaged over all."""
    return float(np.mean(np.square(rows - mean)))


def _sample(rows: int, unit: NDArray[np.float64], one: ClassNoise, noise: GaussianNoise) -> NDArray[np.float64]:
    """Normals float64[rows, len(unit)] with the variance ``along`` in the direction ``unit`` and ``across`` elsewhere."""
    lengths = noise.draw((rows, 1))
    if one.across == 0.0:
        return math.sqrt(one.along) * lengths * unit
    spread = math.sqrt(one.across) * noise.draw((rows, len(unit)))
    spread += (math.sqrt(one.along) * lengths - spread @ unit[:, None]) * unit
    return spread
