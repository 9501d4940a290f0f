"""Views of a run without a neutral server: what peers revealed to each party, and nothing else but masked words.

1. where first-layer weights are a party's own, what it can solve for from their gradients (summed_gradient.py);
2. the outputs on the test rows, which go to the label holder alone: what whoever is given predictions has.
Of everything else a party receives only words that are uniform without the dealer's masks (tests/views/test_secret_view.py).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from kernel.batch_order import batch_sizes
from kernel.plan_message import share_ring
from kernel.ring import RingArray
from party.assessment.inventory import Inventory, take_inventory, whole_passes
from party.assessment.recorded_frames import REVEALED, SUMMED, Frame, training_frames
from party.assessment.run_files import PartyFiles, RunFiles
from party.assessment.run_views import RecordedViews, predictions_view
from party.assessment.summed_gradient import reveals_own_gradient, solved_epochs
from party.assessment.view import View
from protos.v1 import common_pb2


def read_serverless_views(files: RunFiles, transcripts: Path) -> RecordedViews:
    """The parties' views of a run whose transcripts are at hand.

    Raises:
      BadInputError: a party has no transcript, or no epoch is whole.
    """
    inventories = take_inventory(transcripts, [party.name for party in files.parties], files.run)
    trained, own = files.newest, reveals_own_gradient(files.plan)
    passes = whole_passes(_streams(files, inventories), files.run) if own else dict.fromkeys(range(1, trained + 1), 0)
    views = tuple(
        View(
            role="label-holder" if party.name == files.label_holder else "feature-holder",
            name=party.name,
            rows=files.split.train,
            solved_gradient=_solved(files, transcripts, party, passes) if own else None,
            own_rows=party.rows[files.split.train],
            layers_before=len(files.plan.secret_layers),
            shared_weights=party.weights is None,
        )
        for party in files.parties
    )
    return RecordedViews(
        views,
        _predictions(files, transcripts),
        files.split.train,
        tuple(passes),
        len(passes),
        {role: inventory.received for role, inventory in inventories.items()},
        trained,
    )


def _streams(files: RunFiles, inventories: Mapping[str, Inventory]) -> list[set[tuple[int, int]]]:
    steps = len(batch_sizes(len(files.split.train), files.plan.batch_rows))
    return [
        inventories[party.name].whole(SUMMED, sender.name, steps * party.rows.shape[1])
        for party in files.parties
        for sender in files.parties
    ]


def _solved(files: RunFiles, transcripts: Path, party: PartyFiles, passes: Mapping[int, int]) -> np.ndarray:
    """After every epoch, float32[epochs, training rows, width]."""

    def frames() -> Iterator[Frame]:
        for frame in training_frames(transcripts, party.name, files.run):
            header = frame.header
            if frame.kind == SUMMED and passes.get(header.epoch) == header.generation:
                yield frame

    return np.stack([known.astype(np.float32) for _, known in solved_epochs(files, party, frames())])


def _predictions(files: RunFiles, transcripts: Path) -> View | None:
    """From the last evaluation of the trained network; None where it was not recorded whole."""
    ring, sums = share_ring(files.plan), dict[tuple[int, int], RingArray]()
    for frame in training_frames(transcripts, files.label_holder, files.run):
        header = frame.header
        evaluated = header.purpose == common_pb2.PURPOSE_EVALUATE and header.epoch == files.newest
        if frame.kind == REVEALED and evaluated:
            key = (header.generation, header.step)
            sums[key] = sums[key] + frame.values() if key in sums else frame.values()
    if not sums:
        return None
    last = max(generation for generation, _ in sums)
    logits = np.concatenate([ring.decode(sums[key]).astype(np.float32) for key in sorted(sums) if key[0] == last])
    return predictions_view(files, logits) if len(logits) == len(files.split.test) else None
