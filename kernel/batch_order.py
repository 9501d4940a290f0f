"""Which rows are trained on, which are held out, and in what order: functions of agreed seeds.

These are experiment seeds: they decide no mask and no noise. Row numbers refer to the aligned order of the table.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernel.errors import BadInputError

RowIndices = NDArray[np.int64]

_SPLIT = 0x5B17
_ORDER = 0x0D37


@dataclass(frozen=True)
class Split:
    """Disjoint, together all rows, each sorted."""

    train: RowIndices
    test: RowIndices


def split_rows(rows: int, test_fraction: float, seed: int) -> Split:
    """Draw ``round(rows * test_fraction)`` test rows without replacement; the same at every party.

    Raises:
      BadInputError: a side would be empty.
    """
    held_out = round(rows * test_fraction)
    if rows - held_out < 1 or held_out < 1:
        raise BadInputError(
            f"{rows} rows with test_fraction={test_fraction} leave {rows - held_out} to train and {held_out} to test; "
            "each side needs at least one row"
        )
    shuffled = np.random.default_rng([_SPLIT, seed]).permutation(rows).astype(np.int64, copy=False)
    return Split(np.sort(shuffled[held_out:]), np.sort(shuffled[:held_out]))


def batch_seed(seed: int, epoch: int) -> int:
    """Seed of one epoch's order, below 2^63."""
    return int(np.random.default_rng([_ORDER, seed, epoch]).integers(0, 1 << 63))


def epoch_order(training_rows: RowIndices, seed_of_epoch: int) -> RowIndices:
    """The training rows in this epoch's order."""
    return np.random.default_rng([_ORDER, seed_of_epoch]).permutation(training_rows)


def batches(order: RowIndices, batch_rows: int) -> Iterator[RowIndices]:
    """Consecutive batches; the last may be shorter."""
    for start in range(0, len(order), batch_rows):
        yield order[start : start + batch_rows]


def micro_batches(rows: int, pieces: int) -> list[slice]:
    """The pieces a batch of ``rows`` rows travels in: consecutive, equal but for the last, ``pieces`` of them or fewer.

    While one piece is with the neutral server the next is on the wire (micro-batches as in GPipe, Huang et al. 2019,
    section 2.2: gradients of the pieces add up, weights move once a batch).
    """
    size = -(-rows // pieces)
    return [slice(start, min(rows, start + size)) for start in range(0, rows, size)]


def batch_sizes(rows: int, batch_rows: int) -> list[int]:
    """Rows of each batch of a pass over ``rows``."""
    return [min(batch_rows, rows - start) for start in range(0, rows, batch_rows)]
