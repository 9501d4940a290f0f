"""What the gradient of a party's own first-layer weights tells of single rows: S = X^T G, with X the party's own columns of a step's rows.

Every step is a set of linear equations in that step's rows of G = dL/dz_1. Where a step has no more rows than X has independent
columns, they have one solution: the rows of G, and so the labels. Where it has more, what a step tells is G in the directions that
X spans; but the rows come again in other steps, in other company. So what is known of each row is kept and corrected, as little
as the newest step's equations ask for (block Kaczmarz; Elfving 1980), as if a row's gradient stayed alike over epochs.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from kernel.batch_order import batch_seed, batches, epoch_order
from kernel.plan_message import share_ring
from kernel.ring import RingArray
from kernel.secret.plan import first_width, gradient_shift
from party.assessment.first_bias import Step
from party.assessment.recorded_frames import Frame
from party.assessment.run_files import PartyFiles, RunFiles
from protos.v1 import plan_pb2

Floats = NDArray[np.float64]

_LEAST_SINGULAR = 1e-3
"""Of the largest: directions of X below it are left out, where fixed point and what changed since would be magnified."""


def corrected(known: Floats, rows: NDArray[np.float32], summed: Floats) -> Floats:
    """The nearest to ``known`` that fulfils rows^T G = summed, float64[batch, width].

    Args:
      known: what is known of the step's rows of G, float64[batch, width]; zeros at first.
      rows: float32[batch, columns]; summed: S, float64[columns, width].
    """
    transposed = rows.T.astype(np.float64)
    step, *_ = np.linalg.lstsq(transposed, summed - transposed @ known, rcond=_LEAST_SINGULAR)
    moved: Floats = known + step
    return moved


def reveals_own_gradient(plan: plan_pb2.RunPlan) -> bool:
    """Whether peers reveal the gradient of a party's own first-layer weights to it."""
    return not plan.weights and bool(plan.secret_layers or plan.gradient)


def solved_epochs(files: RunFiles, party: PartyFiles, frames: Iterable[Frame]) -> Iterator[tuple[int, Floats]]:
    """After every epoch of the frames, what the party can solve for: float64[training rows, width], in the order of their numbers.

    Args:
      frames: of kind `SUMMED` at the party, every share of whole passes, one pass an epoch.
    """
    train, plan = files.split.train, files.plan
    rows = party.rows if party.bounded is None else party.bounded
    known: Floats = np.zeros((len(train), first_width(plan)))
    epoch, order = 0, list[NDArray[np.int64]]()
    for (number, step), summed in _sums(frames, len(files.parties), plan):
        if number != epoch:
            if epoch:
                yield epoch, known
            epoch, order = (
                number,
                list(batches(epoch_order(train, batch_seed(plan.network.seed, number)), plan.batch_rows)),
            )
        at = np.searchsorted(train, order[step])
        known[at] = corrected(known[at], rows[order[step]], summed)
    if epoch:
        yield epoch, known


def _sums(frames: Iterable[Frame], parties: int, plan: plan_pb2.RunPlan) -> Iterator[tuple[Step, Floats]]:
    """X^T G of every step, float64[columns, width], as its last share comes."""
    ring, scale = share_ring(plan), 2.0 ** -gradient_shift(plan.batch_rows)
    sums, came = dict[Step, RingArray](), Counter[Step]()
    for frame in frames:
        step = (frame.header.epoch, frame.header.step)
        words = frame.values()
        sums[step] = sums[step] + words if step in sums else words
        came[step] += 1
        if came[step] == parties:
            yield step, ring.decode(sums.pop(step)) * scale
