"""Views from a recording: what each role of a finished local run received, by row.

1. inventory: which epochs are whole at every role, counting the last generation that trained them;
2. z_1 = the sum of all parties' shares, decoded in the run's ring, as the neutral server decodes it;
3. h_1 as the parties were sent it where the plan reveals it, else act(z_1 + b) with the bias moved as the server moved it;
4. with a defender, the sum of all parties' gradients at h_1, decoded as the neutral server decodes it;
5. h_L, dL/dh_L and dL/dz_1 as they arrived.
Rows stand in the order of their numbers: the batch order is an experiment seed, which an evaluator knows. The neutral
server does not; that its view is aligned all the same is an assumption in the attacker's favour.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.defender_plan import defender_ring, defender_spec
from kernel.errors import BadInputError
from kernel.plan_message import protection_spec, share_ring
from kernel.ring import ring_dtype
from party.assessment.first_bias import Step, activated, replayed_bias
from party.assessment.inventory import Inventory, Received, RowPlaces, take_inventory, whole_passes
from party.assessment.recorded_frames import SERVER, Frame, training_frames
from party.assessment.run_files import RunFiles
from party.assessment.view import View
from protos.v1 import common_pb2

MOST_ROWS = 100_000
"""Training rows a view keeps: a seeded draw of more of them changes no interval that matters."""
MOST_BYTES = 1 << 30
"""What all views of a run may hold in memory; above it, epochs in the middle are left out."""

_KEPT_DRAW = 0x0B5E
Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class RecordedViews:
    """The views of one run.

    Attributes:
      views: the neutral server's and every party's, of training rows.
      predictions: the trained network's outputs on the test rows; None where no evaluation was recorded.
      rows: int64[n], the training rows of the views; epochs: the epochs they keep; recorded_epochs: those at hand.
      received: by role and kind of message.
    """

    views: tuple[View, ...]
    predictions: View | None
    rows: NDArray[np.int64]
    epochs: tuple[int, ...]
    recorded_epochs: int
    received: dict[str, dict[str, Received]]


def read_views(files: RunFiles, transcripts: Path, *, most_epochs: int | None = None) -> RecordedViews:
    """The views of a run whose transcripts are at hand.

    Args:
      most_epochs: keep the first epoch and the last ones, so many in all; None keeps what fits ``MOST_BYTES``.

    Raises:
      BadInputError: a role has no transcript, or no epoch is whole.
    """
    names = [party.name for party in files.parties]
    inventories = take_inventory(transcripts, (SERVER, *names), files.run)
    passes = whole_passes(_streams(files, inventories), files.run)
    rows = _kept_rows(files)
    epochs = kept_epochs(list(passes), _epoch_bytes(files, len(rows)), most_epochs)
    reading = _Reading(files, transcripts, inventories, passes, rows, epochs)
    views = reading.views()
    received = {role: inventories[role].received for role in inventories}
    return RecordedViews(
        views, _predictions(files, transcripts, inventories), rows, tuple(epochs), len(passes), received
    )


def kept_epochs(epochs: Sequence[int], epoch_bytes: int, most_epochs: int | None) -> list[int]:
    """The first epoch and the last ones, all of them where they fit.

    Raises:
      BadInputError: ``most_epochs`` is below 1.
    """
    if most_epochs is not None and most_epochs < 1:
        raise BadInputError(f"--epochs is {most_epochs}; a view keeps one epoch or more")
    most = most_epochs or max(2, MOST_BYTES // max(epoch_bytes, 1))
    if len(epochs) <= most:
        return list(epochs)
    return [epochs[-1]] if most == 1 else [epochs[0], *epochs[-(most - 1) :]]


class _Reading:
    """Fills the arrays of all views, one transcript after the other."""

    def __init__(
        self,
        files: RunFiles,
        transcripts: Path,
        inventories: Mapping[str, Inventory],
        passes: Mapping[int, int],
        rows: NDArray[np.int64],
        epochs: Sequence[int],
    ) -> None:
        self._files, self._transcripts, self._inventories = files, transcripts, inventories
        self._passes, self._rows = passes, rows
        self._slot = {epoch: index for index, epoch in enumerate(epochs)}
        plan = files.plan
        self._places = RowPlaces(files.split.train, rows, plan.network.seed, plan.batch_rows)
        self._widths = files.spec.widths
        self._trains = protection_spec(plan).trains_first_layer
        self._gradients: dict[Step, Array] = {}  # dL/dz_1 summed over a step, of every recorded step

    def views(self) -> tuple[View, ...]:
        z1, defender, head = self._server_arrays()
        received: dict[str, dict[str, Array]] = {}
        for party in self._files.parties:
            received[party.name] = self._party_arrays(party.name, received.values())
        holder = received[self._files.label_holder]
        server = View(
            role="neutral-server",
            name=SERVER,
            rows=self._rows,
            z1=z1,
            h1=holder["first_activation"] if "first_activation" in holder else self._replayed_h1(z1),
            h_last=holder["cut_activation"],
            head_gradient=head,
            cut_gradient=holder.get("cut_gradient"),
            defender_gradient=defender,
        )
        parties = [
            View(
                role="label-holder" if party.name == self._files.label_holder else "feature-holder",
                name=party.name,
                rows=self._rows,
                h1=received[party.name].get("first_activation"),
                h_last=received[party.name].get("cut_activation"),
                cut_gradient=received[party.name].get("cut_gradient"),
                own_rows=party.rows[self._rows],
                own_weights=party.weights,
                own_part=None if party.bounded is None else party.bounded[self._rows] @ party.weights,
            )
            for party in self._files.parties
        ]
        return (server, *parties)

    def _server_arrays(self) -> tuple[Array, Array | None, Array]:
        """z_1, the defenders' summed gradient (None without a defender) and dL/dh_L, float32[epochs, n, width]."""
        plan = self._files.plan
        rings = {"share": share_ring(plan)}
        if (defender := defender_spec(plan)) is not None:
            rings["defender_share"] = defender_ring(defender.objective, len(self._files.parties))
        shape = (len(self._slot), len(self._rows), self._widths[0])
        words = {kind: np.zeros(shape, ring_dtype(ring.ring_bits)) for kind, ring in rings.items()}
        head = self._empty(self._widths[-1])
        taken: set[tuple[str, str, int, int, int]] = set()
        for frame in self._frames(SERVER, (*rings, "head_gradient")):
            header = frame.header
            if header.epoch not in self._slot:
                continue
            if frame.kind == "head_gradient":
                self._place(head, SERVER, frame)
                continue
            piece = (frame.kind, header.sender, header.epoch, header.step, frame.piece)
            if piece not in taken:  # a repeat has the same bytes, or the run had failed
                taken.add(piece)
                self._place(words[frame.kind], SERVER, frame, add=True)
        sums = {
            kind: np.stack([rings[kind].decode(epoch).astype(np.float32) for epoch in words.pop(kind)])
            for kind in rings
        }
        return sums["share"], sums.get("defender_share"), head

    def _party_arrays(self, name: str, others: Iterable[Mapping[str, Array]]) -> dict[str, Array]:
        """What a party received, float32[epochs, n, width] by kind; an array that another party received too is held once."""
        found: dict[str, Array] = {}
        for frame in self._frames(name, ("cut_gradient", "cut_activation", "first_activation")):
            if frame.kind == "cut_gradient" and name == self._files.label_holder:
                step = (frame.header.epoch, frame.header.step)
                self._gradients[step] = self._gradients.get(step, np.float32(0)) + frame.values().sum(axis=0)
            if frame.header.epoch in self._slot:
                if frame.kind not in found:
                    found[frame.kind] = self._empty(int(frame.tensor.shape[1]))
                self._place(found[frame.kind], name, frame)
        if "cut_gradient" in found:
            found["cut_gradient"] = found["cut_gradient"][: sum(map(self._trains, self._slot))]
        for kind, array in found.items():
            same = (other[kind] for other in others if kind in other and np.array_equal(other[kind], array))
            found[kind] = next(same, array)
        return found

    def _replayed_h1(self, z1: Array) -> Array:
        spec, stack, before = self._files.spec, self._files.stack, min(self._passes) - 1
        held = stack.held()
        newest = activated(spec.activations[0], z1 + stack.load(held[-1])["stack"]["bias_0"])
        if before not in held:  # what a resumed run started from is gone: the newest bias stands for all
            return newest
        biases = replayed_bias(spec, stack.load(before)["stack"], self._gradients)
        h1 = newest  # and for epochs with a frozen first layer, whose gradients nobody was sent
        for epoch, slot in self._slot.items():
            if not self._trains(epoch):
                break
            pieces = self._pieces(self._files.label_holder, "cut_gradient", SERVER, epoch)
            for step, piece in pieces:
                places = self._places.of(epoch, pieces, step, piece)
                places = places[places >= 0]
                h1[slot, places] = activated(spec.activations[0], z1[slot, places] + biases[epoch, step])
        return h1

    def _frames(self, role: str, kinds: Sequence[str]) -> Iterator[Frame]:
        """Training frames of the passes that count."""
        for frame in training_frames(self._transcripts, role, self._files.run):
            header = frame.header
            counts = header.purpose == common_pb2.PURPOSE_TRAIN and self._passes.get(header.epoch) == header.generation
            if counts and frame.kind in kinds:
                yield frame

    def _pieces(self, role: str, kind: str, sender: str, epoch: int) -> dict[tuple[int, int], int]:
        return self._inventories[role].rows[kind, sender][epoch, self._passes[epoch]]

    def _place(self, array: NDArray[Any], role: str, frame: Frame, *, add: bool = False) -> None:
        """Into the rows of the frame's epoch that the view keeps."""
        header = frame.header
        pieces = self._pieces(role, frame.kind, header.sender, header.epoch)
        places = self._places.of(header.epoch, pieces, header.step, frame.piece)
        values, kept = frame.values(), places >= 0
        target = array[self._slot[header.epoch]]
        target[places[kept]] = target[places[kept]] + values[kept] if add else values[kept]

    def _empty(self, width: int) -> Array:
        return np.zeros((len(self._slot), len(self._rows), width), np.float32)


def _streams(files: RunFiles, inventories: Mapping[str, Inventory]) -> list[set[tuple[int, int]]]:
    """Whole passes of every stream a training step needs."""
    rows, holder = len(files.split.train), files.label_holder
    streams = [inventories[SERVER].whole("share", party.name, rows) for party in files.parties]
    streams.append(inventories[SERVER].whole("head_gradient", holder, rows))
    if defender_spec(files.plan) is not None:
        streams += [inventories[SERVER].whole("defender_share", party.name, rows) for party in files.parties]
    streams.append(inventories[holder].whole("cut_activation", SERVER, rows))
    trains = protection_spec(files.plan).trains_first_layer
    frozen = {one for one in streams[0] if not trains(one[0])}
    return streams + [inventories[party.name].whole("cut_gradient", SERVER, rows) | frozen for party in files.parties]


def _kept_rows(files: RunFiles) -> NDArray[np.int64]:
    train = files.split.train
    if len(train) <= MOST_ROWS:
        return train
    drawn = np.random.default_rng([_KEPT_DRAW, files.plan.network.seed]).choice(len(train), MOST_ROWS, replace=False)
    return train[np.sort(drawn)]


def _epoch_bytes(files: RunFiles, rows: int) -> int:
    """Of z_1 (as words, too), h_1, dL/dz_1 at the width of the first layer, and twice that of the last; with a defender
    its gradient (as words, too)."""
    widths = files.spec.widths
    first = 5 if defender_spec(files.plan) is None else 8
    return 4 * rows * (first * widths[0] + 2 * widths[-1])


def _predictions(files: RunFiles, transcripts: Path, inventories: Mapping[str, Inventory]) -> View | None:
    """The label head's outputs on the test rows, from the last evaluation: what whoever is given predictions has."""
    holder = files.label_holder
    if not (seen := inventories[holder].evaluated):
        return None
    epoch, generation = max(seen, key=lambda one: (one[1], one[0]))
    pieces: dict[tuple[int, int], Array] = {}
    for frame in training_frames(transcripts, holder, files.run):
        header = frame.header
        if (frame.kind, header.purpose, header.epoch, header.generation) == (
            "cut_activation", common_pb2.PURPOSE_EVALUATE, epoch, generation,
        ):  # fmt: skip
            pieces[header.step, frame.piece] = frame.values()
    if sum(map(len, pieces.values())) != len(files.split.test):
        return None
    kernel, bias = files.head
    logits = np.concatenate([pieces[key] for key in sorted(pieces)]) @ kernel + bias
    return View(role="predictions", name="predictions", rows=files.split.test, outputs=_LINKS[files.spec.loss](logits))


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


_LINKS: Mapping[str, Callable[[Array], Array]] = {
    "binary": lambda logits: activated("sigmoid", logits),
    "multiclass": _softmax,
    "regression": lambda logits: np.asarray(logits, np.float32),
}
