"""What a recording holds: which frames each role received, which epochs are whole, and where a piece's rows stand.

A run that was resumed trained some epochs twice, in two generations: the last one that is whole counts.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from kernel.batch_order import RowIndices, batch_seed, epoch_order
from kernel.errors import BadInputError
from party.assessment.recorded_frames import Frame, training_frames
from protos.v1 import common_pb2

Pass = tuple[int, int]
"""(epoch, generation)"""


class Received(TypedDict):
    """Messages of one kind that one role received."""

    messages: int
    numbers: int
    bytes: int


@dataclass
class Inventory:
    """Counts over one role's frames.

    Attributes:
      role: whose.
      received: by kind, over training and evaluation.
      rows: rows of every training piece by (kind, sender), pass, step and piece.
      evaluated: passes of evaluation that were seen.
    """

    role: str = ""
    received: dict[str, Received] = field(default_factory=dict)
    rows: dict[tuple[str, str], dict[Pass, dict[tuple[int, int], int]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(dict))
    )
    evaluated: set[Pass] = field(default_factory=set)

    def take(self, frame: Frame) -> None:
        """Count one; predictions are another run's matter."""
        header = frame.header
        if header.purpose not in (common_pb2.PURPOSE_TRAIN, common_pb2.PURPOSE_EVALUATE):
            return
        if header.sender != self.role:  # its own share of what was revealed to it
            counted = self.received.setdefault(frame.kind, Received(messages=0, numbers=0, bytes=0))
            counted["messages"] += 1
            counted["numbers"] += math.prod(frame.tensor.shape)
            counted["bytes"] += len(frame.payload)
        if header.purpose == common_pb2.PURPOSE_TRAIN:
            passed = self.rows[frame.kind, header.sender][header.epoch, header.generation]
            passed[header.step, frame.piece] = frame.rows
        else:
            self.evaluated.add((header.epoch, header.generation))

    def whole(self, kind: str, sender: str, rows: int) -> set[Pass]:
        """Passes of which all ``rows`` came."""
        found = self.rows.get((kind, sender), {})
        return {passed for passed, pieces in found.items() if sum(pieces.values()) == rows}


def take_inventory(directory: Path, roles: Iterable[str], run: str) -> dict[str, Inventory]:
    """One inventory for each role.

    Raises:
      BadInputError: a role has no transcript.
    """
    found = {}
    for role in roles:
        found[role] = Inventory(role)
        for frame in training_frames(directory, role, run):
            found[role].take(frame)
    return found


def whole_passes(streams: Sequence[set[Pass]], run: str) -> dict[int, int]:
    """Epochs that are whole in every stream, in order, and the last generation in which each is.

    Raises:
      BadInputError: there is none.
    """
    passes = set.intersection(*streams)
    if not passes:
        counts = Counter(len({epoch for epoch, _ in stream}) for stream in streams)
        raise BadInputError(
            f"the transcripts hold no epoch of run {run!r} whole at every role (whole epochs of a stream: "
            f"{min(counts)} to {max(counts)}); record a run from its start: `tertium run PLAN --local --attacks quick`"
        )
    return {epoch: max(g for e, g in passes if e == epoch) for epoch in sorted({epoch for epoch, _ in passes})}


class RowPlaces:
    """Where a piece's rows stand among the rows a view keeps. Row numbers as in the aligned tables."""

    def __init__(self, training_rows: RowIndices, kept: RowIndices, seed: int, batch_rows: int) -> None:
        self._training, self._seed, self._batch = training_rows, seed, batch_rows
        self._place: NDArray[np.int64] = np.full(int(training_rows.max()) + 1, -1, np.int64)
        self._place[kept] = np.arange(len(kept))
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def of(self, epoch: int, pieces: Mapping[tuple[int, int], int], step: int, piece: int) -> NDArray[np.int64]:
        """int64[rows of the piece]: the position on the view's row axis, -1 for a row it does not keep.

        Args:
          pieces: rows of every (step, piece) of this pass.
        """
        if self._order[0] != epoch:
            order = epoch_order(self._training, batch_seed(self._seed, epoch))
            self._order = (epoch, self._place[order])
        start = step * self._batch + sum(pieces[step, before] for before in range(piece))
        return self._order[1][start : start + pieces[step, piece]]
