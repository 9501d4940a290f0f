"""What a hidden stack takes from outside, checked before any weight moves; the same for every implementation."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import SettingsError, WireError


def check_words(words: NDArray[Any], scale_bits: int, ring_bits: int, width: int) -> None:
    """Ring words of z1, uint32 or uint64 (by ``ring_bits``) [batch, width], with ``scale_bits`` fractional bits.

    Raises:
      SettingsError: ``ring_bits`` or ``scale_bits`` is not one the ring has.
      WireError: the words have another dtype or shape.
    """
    if ring_bits not in (32, 64) or not 0 <= scale_bits < ring_bits:
        raise SettingsError(
            f"words of {ring_bits} bits with {scale_bits} fractional; use 32 or 64, and 0 or more but fewer fractional bits."
        )
    dtype = np.dtype(f"u{ring_bits // 8}")
    if words.dtype != dtype or words.ndim != 2 or words.shape[1] != width or len(words) == 0:
        raise WireError(
            f"z1 came as {words.dtype}{list(words.shape)}, wanted {dtype}[batch, {width}] with at "
            "least one row; check that parties and server run the same plan."
        )


def check_head_gradient(dh: NDArray[Any], wanted: tuple[int, ...]) -> None:
    """dL/dh_L, float32 of the shape of h_L.

    Raises:
      WireError: another dtype or shape, or values that are not finite.
    """
    if dh.dtype != np.float32 or dh.shape != wanted:
        raise WireError(
            f"the gradient of h_L is {dh.dtype}{list(dh.shape)}, wanted float32{list(wanted)} like h_L "
            "itself; check that label holder and server run the same plan and step."
        )
    if not np.isfinite(dh).all():
        raise WireError(
            "the gradient of h_L holds values that are not finite: training has diverged at the label "
            "holder; lower the learning rate or scale the columns."
        )
