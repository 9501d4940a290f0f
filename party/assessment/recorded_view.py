"""Views from a recording: what each role of a finished local run received, by row.

1. inventory: which epochs are whole at every role, counting the last generation that trained them;
2. z_1 = the sum of all parties' shares, decoded in the run's ring, as the neutral server decodes it;
3. h_1 as the parties were sent it where the plan reveals it, else act(z_1 + b) with the bias moved as the server moved it;
4. with a defender, the sum of all parties' gradients at h_1, decoded as the neutral server decodes it;
5. h_L, dL/dh_L and dL/dz_1 as they arrived; where dL/dz_1 is shared, each party's share of it, and the sum of all as what the
   neutral server computed;
6. where layers are on shares and first-layer weights a party's own, what it can solve for from their gradients.
With layers on shares before the cut, z_1 is the output of the first layer that the neutral server sees.
Rows stand in the order of their numbers: the batch order is an experiment seed, which an evaluator knows. The neutral
server does not; that its view is aligned all the same is an assumption in the attacker's favour.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.defender_plan import defender_ring, defender_spec
from kernel.errors import BadInputError
from kernel.plan_message import protection_spec, share_ring
from kernel.ring import ring_dtype
from kernel.secret.plan import first_width, without_server
from party.assessment.first_bias import Step, activated, replayed_bias
from party.assessment.inventory import Inventory, RowPlaces, take_inventory, whole_passes
from party.assessment.recorded_frames import SERVER, SUMMED, Frame, training_frames
from party.assessment.recorded_streams import gradient_stream, streams
from party.assessment.run_files import PartyFiles, RunFiles
from party.assessment.run_views import RecordedViews, predictions_view
from party.assessment.serverless_views import read_serverless_views
from party.assessment.shared_gradients import TOTAL, SharedGradients
from party.assessment.summed_gradient import reveals_own_gradient, solved_epochs
from party.assessment.view import View
from protos.v1 import common_pb2

MOST_ROWS = 100_000
"""Training rows a view keeps: a seeded draw of more of them changes no interval that matters."""
MOST_BYTES = 1 << 30
"""What all views of a run may hold in memory; above it, epochs in the middle are left out."""

_KEPT_DRAW = 0x0B5E
Array = NDArray[np.float32]


def read_views(files: RunFiles, transcripts: Path, *, most_epochs: int | None = None) -> RecordedViews:
    """The views of a run whose transcripts are at hand.

    Args:
      most_epochs: keep the first epoch and the last ones, so many in all; None keeps what fits ``MOST_BYTES``.

    Raises:
      BadInputError: a role has no transcript, or no epoch is whole.
    """
    if without_server(files.plan):
        return read_serverless_views(files, transcripts)
    names = [party.name for party in files.parties]
    inventories = take_inventory(transcripts, (SERVER, *names), files.run)
    passes = whole_passes(streams(files, inventories), files.run)
    rows = _kept_rows(files)
    epochs = kept_epochs(list(passes), _epoch_bytes(files, len(rows)), most_epochs)
    reading = _Reading(files, transcripts, inventories, passes, rows, epochs)
    views = reading.views()
    received = {role: inventories[role].received for role in inventories}
    return RecordedViews(
        views,
        _predictions(files, transcripts, inventories),
        rows,
        tuple(epochs),
        len(passes),
        received,
        _trained(files),
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
        self._shared = SharedGradients(files, transcripts) if plan.gradient else None
        self._gradient_stream = gradient_stream(files)

    def views(self) -> tuple[View, ...]:
        z1, defender, head = self._server_arrays()
        shares = {} if self._shared is None else self._gradient_shares(self._shared)
        received: dict[str, dict[str, Array]] = {}
        for party in self._files.parties:
            received[party.name] = self._party_arrays(party.name, received.values())
        holder, before = received[self._files.label_holder], len(self._files.plan.secret_layers)
        server = View(
            role="neutral-server",
            name=SERVER,
            rows=self._rows,
            z1=z1,
            h1=holder["first_activation"] if "first_activation" in holder else self._replayed_h1(z1),
            h_last=holder["cut_activation"],
            head_gradient=head,
            cut_gradient=holder.get("cut_gradient") if self._shared is None else shares[TOTAL],
            defender_gradient=defender,
            layers_before=before,
        )
        parties = [
            View(
                role="label-holder" if party.name == self._files.label_holder else "feature-holder",
                name=party.name,
                rows=self._rows,
                h1=received[party.name].get("first_activation"),
                h_last=received[party.name].get("cut_activation"),
                cut_gradient=received[party.name].get("cut_gradient"),
                gradient_share=shares.get(party.name),
                solved_gradient=self._solved(party) if reveals_own_gradient(self._files.plan) else None,
                own_rows=party.rows[self._rows],
                own_weights=None if before else party.weights,
                own_part=None if before else _bounded_part(party, self._rows),
                layers_before=before,
                shared_weights=party.weights is None,
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

    def _gradient_shares(self, shared: SharedGradients) -> dict[str, Array]:
        """float32[epochs, n, widths[0]] by party, and the sum of all."""
        found = {name: self._empty(self._widths[0]) for name in (*(one.name for one in self._files.parties), TOTAL)}
        for frame in self._frames(shared.first, ("gradient_share",)):
            header, of = frame.header, shared.of(frame)
            self._gradients[header.epoch, header.step] = of[TOTAL].sum(axis=0)
            if header.epoch in self._slot:
                for name, values in of.items():
                    self._place_values(found[name], shared.first, frame, values)
        return found

    def _solved(self, party: PartyFiles) -> Array:
        """What a party can solve for, float32[epochs, n, width of the first layer]."""
        train = self._files.split.train
        found, kept = self._empty(first_width(self._files.plan)), np.searchsorted(train, self._rows)
        for epoch, known in solved_epochs(self._files, party, self._frames(party.name, (SUMMED,))):
            if epoch in self._slot:
                found[self._slot[epoch]] = known[kept]
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
            receiver, kind = self._gradient_stream
            pieces = self._pieces(receiver, kind, SERVER, epoch)
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
        self._place_values(array, role, frame, frame.values(), add=add)

    def _place_values(
        self, array: NDArray[Any], role: str, frame: Frame, values: NDArray[Any], *, add: bool = False
    ) -> None:
        header = frame.header
        pieces = self._pieces(role, frame.kind, header.sender, header.epoch)
        places = self._places.of(header.epoch, pieces, header.step, frame.piece)
        kept = places >= 0
        target = array[self._slot[header.epoch]]
        target[places[kept]] = target[places[kept]] + values[kept] if add else values[kept]

    def _empty(self, width: int) -> Array:
        return np.zeros((len(self._slot), len(self._rows), width), np.float32)


def _bounded_part(party: PartyFiles, rows: NDArray[np.int64]) -> Array | None:
    return None if party.bounded is None or party.weights is None else party.bounded[rows] @ party.weights


def _kept_rows(files: RunFiles) -> NDArray[np.int64]:
    train = files.split.train
    if len(train) <= MOST_ROWS:
        return train
    drawn = np.random.default_rng([_KEPT_DRAW, files.plan.network.seed]).choice(len(train), MOST_ROWS, replace=False)
    return train[np.sort(drawn)]


def _epoch_bytes(files: RunFiles, rows: int) -> int:
    """Of z_1 (as words, too), h_1, dL/dz_1 at the width of the first layer, and twice that of the last; with a defender
    its gradient (as words, too); of every party its share of dL/dz_1, and what it solves for."""
    widths, parties = files.spec.widths, len(files.parties)
    first = 5 if defender_spec(files.plan) is None else 8
    first += parties if files.plan.gradient else 0
    solved = parties * first_width(files.plan) if reveals_own_gradient(files.plan) else 0
    return 4 * rows * (first * widths[0] + 2 * widths[-1] + solved)


def _trained(files: RunFiles) -> int:
    return files.stack.held()[-1]  # a barrier has the number of the epoch that it was held after


def _predictions(files: RunFiles, transcripts: Path, inventories: Mapping[str, Inventory]) -> View | None:
    """The label head's outputs on the test rows, from the last evaluation: what whoever is given predictions has."""
    holder = files.label_holder
    if not (seen := inventories[holder].evaluated):
        return None
    epoch, generation = max(seen, key=lambda one: (one[1], one[0]))
    if epoch != _trained(files):  # the head is of another epoch than what was recorded
        return None
    pieces: dict[tuple[int, int], Array] = {}
    for frame in training_frames(transcripts, holder, files.run):
        header = frame.header
        if (frame.kind, header.purpose, header.epoch, header.generation) == (
            "cut_activation", common_pb2.PURPOSE_EVALUATE, epoch, generation,
        ):  # fmt: skip
            pieces[header.step, frame.piece] = frame.values()
    if sum(map(len, pieces.values())) != len(files.split.test):
        return None
    if files.head is None:
        return None
    kernel, bias = files.head
    logits = np.concatenate([pieces[key] for key in sorted(pieces)]) @ kernel + bias
    return predictions_view(files, logits)
