"""Bounds that noise on z1 needs: without them training would scale the rows' image up until the noise drowns.

A row x has |x| <= R and Theta a spectral norm of at most S, so that a row's contribution to z1 has |x Theta| <= R S, and
replacing the row moves it by at most 2 R S (kernel/gaussian_accounting.py). Both bounds hold for the numbers that are
computed with, not only on paper: what float32 or the ring's factors round is taken off R and S beforehand.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernel.errors import BadInputError, SettingsError
from kernel.fixed_point import FixedPoint

_UNIT = 2.0**-24
"""Half a unit in the last place of float32: a rounded number is off by at most this share of itself."""
_ROWS_AT_ONCE = 4096  # bounds the float64 copies
_NEAR = 16.0
"""Up to this many times the bound the smaller Gram matrix is exact enough; it squares the ratio of singular values."""


@dataclass(frozen=True)
class NormBounds:
    """R and S of one party's rows and weights, with rounding taken off.

    Attributes:
      rows: L2 bound of an encoded row; weights: bound of Theta's spectral norm.
    """

    rows: float
    weights: float

    @classmethod
    def of(
        cls, row_norm: float, weight_norm: float, columns: int, width: int, factors: FixedPoint | None
    ) -> "NormBounds":
        """Bounds for a block of ``columns`` by ``width``.

        Args:
          row_norm, weight_norm: R and S of the plan.
          factors: the ring in which rows and weights are encoded before they are multiplied (beaver); None where the
            product is computed in float32 (masked_sum).

        Guarantees: a row within ``rows`` times weights within ``weights``, as computed, is at most R S long.

        Raises:
          SettingsError: rounding leaves nothing of R or S.
        """
        if factors is None:
            # a dot product of n terms is off by at most g |x| |theta_j|, g = n u / (1 - n u) (Higham 2002, section 3.1);
            # over all columns of Theta by g |x| |Theta|_F <= g |x| sqrt(rank) S
            loss = columns * _UNIT / max(1e-9, 1.0 - columns * _UNIT) * math.sqrt(min(columns, width))
            return cls(row_norm / (1.0 + loss), weight_norm)
        step = 2.0 ** -(factors.fractional_bits + 1)
        rows, weights = row_norm - math.sqrt(columns) * step, weight_norm - math.sqrt(columns * width) * step
        if rows <= 0 or weights <= 0:
            raise SettingsError(
                f"row_norm = {row_norm:g} and weight_norm = {weight_norm:g} are below what {columns} columns and a width of {width} "
                f"can round with f={factors.fractional_bits}; raise them or fractional_bits"
            )
        return cls(rows, weights)

    def clip(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """``rows`` float32[n, columns], in place: those longer than the bound are scaled down to it."""
        target = self.rows * (1.0 - 8.0 * _UNIT)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            block = rows[start : start + _ROWS_AT_ONCE]
            norms = np.sqrt(np.einsum("ij,ij->i", block, block, dtype=np.float64))
            long = norms > target
            if long.any():
                block[long] *= (target / norms[long]).astype(np.float32)[:, None]
        return rows

    def project(self, weights: NDArray[np.float32]) -> None:
        """Move ``weights`` float32[columns, width], in place, to the nearest matrix within the bound (Frobenius norm).

        Singular values above the bound become the bound, the others stay.

        Guarantees: the spectral norm of the result is at most the bound; weights within it by a cheap test or by their
        singular values are left alone to the bit.

        Raises:
          BadInputError: a weight is not finite.
        """
        rank = min(weights.shape)
        target = self.weights * (1.0 - 2.0 * _UNIT * math.sqrt(rank) - 1e-10)
        wide = weights.astype(np.float64)
        frobenius = float(np.linalg.norm(wide))
        if not math.isfinite(frobenius):
            raise BadInputError(
                "the first layer's weights are no longer finite: training has diverged; lower the learning rate"
            )
        if frobenius <= target:  # it is an upper bound, and costs one pass
            return
        tall = weights.shape[0] >= weights.shape[1]
        squares, vectors = np.linalg.eigh(wide.T @ wide if tall else wide @ wide.T)
        singular = np.sqrt(np.maximum(squares, 0.0))
        if singular[-1] <= target:
            return
        if singular[-1] > _NEAR * target:
            left, singular, right = np.linalg.svd(wide, full_matrices=False)
            weights[...] = (left * np.minimum(singular, target)) @ right
            return
        shrunk = np.minimum(1.0, target / np.maximum(singular, 0.5 * target))
        factor = (vectors * shrunk) @ vectors.T
        weights[...] = wide @ factor if tall else factor @ wide
