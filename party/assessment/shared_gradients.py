"""A recorded run's shares of dL/dz at the cut: one party's as it has it, and the sum of all, which no party has.

As in neutral_server/gradient_shares.py: the first party of the plan was sent words, every other a seed, whose keystream is its share.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernel.errors import BadInputError
from kernel.plan_message import ring_of
from kernel.randomness import Keystream, SecretKey, StreamPosition
from kernel.ring import RingArray
from kernel.secret.plan import gradient_shift
from party.assessment.recorded_frames import Frame, gradient_seeds
from party.assessment.run_files import RunFiles

TOTAL = ""
"""The place of the sum among the parties' names."""


class SharedGradients:
    """Of a run with a shared gradient whose transcripts are at hand."""

    def __init__(self, files: RunFiles, transcripts: Path) -> None:
        first, *others = (party.name for party in files.parties)
        self.first = first
        self._run = files.run
        self._scale = 2.0 ** -gradient_shift(files.plan.batch_rows)
        self._ring = ring_of(files.plan.ring)
        self._seeds: Mapping[str, Mapping[int, SecretKey]] = {
            name: gradient_seeds(transcripts, name, files.run) for name in others
        }

    def of(self, frame: Frame) -> dict[str, NDArray[np.float32]]:
        """A step's shares by party, float32[batch, width], and their sum as ``TOTAL``, from the first party's frame.

        Raises:
          BadInputError: a party's transcript has no seed of this generation.
        """
        header, words = frame.header, frame.values()
        position = StreamPosition(header.epoch, header.step, header.purpose)
        total, found = words.copy(), {self.first: self._decoded(words)}
        for name, seeds in self._seeds.items():
            if header.generation not in seeds:
                raise BadInputError(
                    f"the transcript of {name!r} has no seed of generation {header.generation} of run {self._run!r}; "
                    "record a run from its start: `tertium run PLAN --local --attacks quick`"
                )
            share = Keystream(seeds[header.generation]).words(words.shape, 64, position)
            total += share
            found[name] = self._decoded(share)
        return found | {TOTAL: self._decoded(total)}

    def _decoded(self, words: RingArray) -> NDArray[np.float32]:
        return (self._ring.decode(words) * self._scale).astype(np.float32)
