"""Weights that are shares at the parties, put together: what the plain network starts from.

Whoever holds every party's barrier can do this, and nobody else: a local run, whose owner owns all roles.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import BadInputError
from kernel.fixed_point import FixedPoint
from kernel.secret.spec import SecretSpec


def reconstruct_weights(
    shares: Sequence[Mapping[str, NDArray[Any]]], spec: SecretSpec
) -> dict[str, NDArray[np.float32]]:
    """The weights and biases on shares, decoded, in the order of the layers.

    Args:
      shares: of each party, as its barrier's part ``secret_stack`` has them: ``weights_l`` words [w_{l-1}, w_l] and
        ``bias_l`` words [1, w_l] with f fractional bits; further names are ignored.

    Returns:
      ``weights_1`` where the plan shares it, then ``bias_1``, ``weights_2`` … as `NetworkParts.secret` has them.

    Raises:
      BadInputError: a party's barrier lacks an array, or has another shape: it is of another plan.
    """
    point, found = FixedPoint(64, spec.fractional_bits), {}
    for number, (inputs, width) in enumerate(zip(spec.widths, spec.widths[1:], strict=False), 1):
        if spec.weights_shared(number):
            found[f"weights_{number}"] = _sum(shares, f"weights_{number}", (inputs, width))
        if spec.has_bias(number):
            found[f"bias_{number}"] = _sum(shares, f"bias_{number}", (1, width)).reshape(width)
    return {name: point.decode(words).astype(np.float32) for name, words in found.items()}


def _sum(shares: Sequence[Mapping[str, NDArray[Any]]], name: str, shape: tuple[int, int]) -> NDArray[np.uint64]:
    total = np.zeros(shape, np.uint64)
    for place, held in enumerate(shares, 1):
        if name not in held or held[name].shape != shape or held[name].dtype != np.uint64:
            raise BadInputError(
                f"the barrier of party {place} has no share {name} of shape {list(shape)}; it is of another plan, start the run anew"
            )
        total += held[name]
    return total
