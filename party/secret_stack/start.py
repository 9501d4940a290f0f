"""Where training starts on shares: nobody knows weights that are shared, not even at step 0.

Of a layer whose weights are shared every party draws Glorot-uniform weights of its own key, over sqrt(n): their sum has the variance of one draw
(Glorot & Bengio 2010), and each party's draw is its share. First-layer weights that are a party's own start as its block, whose other
rows are its share of nothing. Biases start at zero.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from kernel.errors import BadInputError
from kernel.fixed_point import FixedPoint
from kernel.initialisation import glorot_secret_layer
from kernel.ring import RingArray, ring_dtype
from kernel.secret.spec import SecretSpec
from kernel.secret.step import SecretWeights


def check_batches(sizes: Iterable[int], encoded_columns: Sequence[int]) -> None:
    """First-layer weights of a party's own: X_j^T (dL/dz_1) is revealed to it, and solved for dL/dz_1 where X_j has no more rows than columns.

    Args:
      sizes: rows of the training batches; encoded_columns: per party.

    Raises:
      BadInputError: some party could solve it in some batch.
    """
    smallest, widest = min(sizes), max(encoded_columns)
    if smallest <= widest:
        raise BadInputError(
            f"a batch of {smallest} rows at a party of {widest} encoded columns: from the gradient of its own weights that party could "
            'solve for every row\'s gradient, and read labels off it; say weights = "shared", or a batch_rows that leaves no batch so small'
        )


def initial_shares(
    spec: SecretSpec,
    ring: FixedPoint,
    block: NDArray[np.float32],
    first_column: int,
    *,
    secret: bytes,
    me: str,
    seed: int,
    parties: int,
) -> SecretWeights:
    """This party's shares at step 0.

    Args:
      block: its first-layer weights, float32[own columns, w_1]; first_column: where they stand among all parties' columns.
      secret: this party's initialisation key; me: its name; parties: n.
    """
    first: RingArray = np.zeros((spec.columns, spec.widths[1]), ring_dtype(64))
    if not spec.weights_shared(1):
        own = slice(first_column, first_column + len(block))
        first[own] = ring.encode(block.astype(np.float64), "first-layer weight of this party")
    weights = []
    for number in range(1, spec.depth + 1):
        if not spec.weights_shared(number):
            weights.append(first)
            continue
        drawn = glorot_secret_layer(secret, me, seed, number, spec.widths[number - 1], spec.widths[number])
        weights.append(ring.encode(drawn.astype(np.float64) / np.sqrt(parties), f"initial weight of layer {number}"))
    biases = {
        number: np.zeros((1, spec.widths[number]), ring_dtype(64))
        for number in range(1, spec.depth + 1)
        if spec.has_bias(number)
    }
    return SecretWeights(weights, biases)
