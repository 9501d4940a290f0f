"""The hot path at a party: mini-batches through the first layer, the neutral server, and back.

One training step, numbered as in DESIGN.md ("A mini-batch"):
 [1] masked share of z1 to the neutral server; while it waits, the party makes the next masks;
 [2] label holder only: h_L comes, loss and dL/dh_L go;
 [3] dL/dz1 comes, X_i^T (dL/dz1) is added up; in an epoch in which the first layer stays only word that the step is done; where
     the plan shares the gradient, to the first party its share, to the others that word;
 [4] with all of them here Theta_i moves; the label head has, as soon as its last gradient was sent.
With a defender, h1 comes after [1], and a masked share of its gradient goes (defender_share.py) before [3] can come; the
defender moves as soon as its last share was sent.
[1] to [3] are done for each of the micro-batches the plan cuts a step into: while one is with the server the next is on
the wire.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.batch_order import RowIndices, batches, micro_batches
from kernel.errors import StepError
from kernel.phases import PhaseClock
from kernel.plan_message import cut_dtype, ring_of, share_ring
from kernel.randomness import StreamPosition
from kernel.wire.codec import decode_ring, decode_tensor, encode_ring, encode_tensor
from kernel.wire.stream import DuplexStream
from kernel.wire.tensor_frame import TensorFrame, pack_frame, require_bare
from party.defender_share import DefenderShares
from party.first_layer.ahead import Ahead
from party.first_layer.protocol import FirstLayer, FirstLayerBlock
from party.label_head import LabelHead
from party.label_protection import Protection
from party.membership import Membership
from protos.v1 import common_pb2, split_training_pb2

IN_FLIGHT = 4
"""Forward-only steps a feature holder keeps unanswered."""

_PROGRESS_SECONDS = 0.5

ServerFrame = TensorFrame[split_training_pb2.ServerFrame]
TrainStream = DuplexStream[TensorFrame[split_training_pb2.PartyFrame] | bytes, ServerFrame]
OnProgress = Callable[[int, int, float, int], None]
"""(steps done, steps, mean loss so far, rows done)"""


def join_training(
    stub: Any, membership: Membership, wait_seconds: float
) -> tuple[TrainStream, split_training_pb2.Joined]:
    """Open the stream to the neutral server for this generation, and what it said to that.

    Raises:
      StepError: it does not confirm; PeerError: it is not there.
    """
    stream: TrainStream = DuplexStream(stub.Train, "the neutral server")
    join = split_training_pb2.PartyFrame(header=membership.header(), join=split_training_pb2.JoinTraining())
    stream.send(TensorFrame(join))
    answer = stream.receive(wait_seconds).message
    if answer.WhichOneof("kind") != "joined":
        raise StepError("the neutral server did not confirm the stream; run one version everywhere")
    return stream, answer.joined


@dataclass(frozen=True)
class LabelSide:
    """What only the label holder has: the head, and labels in the aligned order of rows."""

    head: LabelHead
    labels: NDArray[Any]
    protect: Protection | None = None
    """What is done to dL/dh_L before it is sent; the head itself moves by the gradient as it is."""


class Trainer:
    """One party's loop over the steps of a pass."""

    def __init__(
        self,
        membership: Membership,
        *,
        block: FirstLayerBlock,
        first_layer: FirstLayer,
        label_side: LabelSide | None,
        stream: TrainStream,
        wait_seconds: float,
        defender: DefenderShares | None = None,
    ) -> None:
        self._membership, self._network = membership, membership.network
        self._block, self._first_layer = block, first_layer
        self._scale_bits, self._label_side = share_ring(membership.plan).fractional_bits, label_side
        self._cut_dtype = cut_dtype(membership.plan.cut_dtype)
        self._stream, self._wait, self._defender = stream, wait_seconds, defender
        self.phases = PhaseClock()
        self._batches = Ahead(lambda _, rows: block.rows[rows])

    def train(self, order: RowIndices, batch_rows: int, epoch: int, progress: OnProgress) -> float:
        """One epoch in ``order``; returns the mean loss over rows (0 at feature holders)."""
        self.phases.start()
        frozen = not self._membership.protection.trains_first_layer(epoch)
        passed = self._open_pass(epoch, common_pb2.PURPOSE_TRAIN, order, batch_rows)
        loss_sum, rows_done, last_report = 0.0, 0, time.monotonic()
        for step, rows in enumerate(passed):
            header = self._membership.header(epoch, step, common_pb2.PURPOSE_TRAIN)
            pieces = micro_batches(len(rows), self._membership.plan.micro_batches)
            batch = self._send_shares(pieces, header)  # [1]
            self.phases.mark("share")
            self._make_ahead()
            self.phases.mark("make ahead")
            loss_sum += self._take_answers(
                rows, pieces, batch, header, "step_done" if frozen else self._first_layer.end
            )  # [2] [3]
            if not frozen:
                if self._first_layer.end == "step_done":
                    self._first_layer.gather_share(None)
                self._first_layer.update()  # [4]
            self.phases.mark("update")
            rows_done += len(rows)
            if time.monotonic() - last_report >= _PROGRESS_SECONDS:
                last_report = time.monotonic()
                progress(step + 1, len(passed), loss_sum / rows_done, rows_done)
        return loss_sum / rows_done

    def forward(
        self, order: RowIndices, batch_rows: int, epoch: int, purpose: common_pb2.Purpose
    ) -> NDArray[np.float32] | None:
        """A pass without updates; the label holder gets the head's outputs, float32[rows, outputs]."""
        passed = self._open_pass(epoch, purpose, order, batch_rows)
        outputs = []
        for step, rows in enumerate(passed):
            header = self._membership.header(epoch, step, purpose)
            self._send_shares([slice(0, len(rows))], header)
            self._make_ahead()
            if self._label_side is not None:
                frame = self._frame(header, {"cut_activation": 0})
                outputs.append(self._label_side.head.forward(self._activation(frame, len(rows))))
            elif step >= IN_FLIGHT:
                self._frame(self._membership.header(epoch, step - IN_FLIGHT, purpose), {"step_done": 0})
        if self._label_side is not None:
            return np.concatenate(outputs)
        for step in range(max(0, len(passed) - IN_FLIGHT), len(passed)):
            self._frame(self._membership.header(epoch, step, purpose), {"step_done": 0})
        return None

    def _open_pass(
        self, epoch: int, purpose: common_pb2.Purpose, order: RowIndices, batch_rows: int
    ) -> list[RowIndices]:
        passed = list(batches(order, batch_rows))
        self._batches.open_pass(epoch, purpose, passed)
        self._first_layer.open_pass(epoch, purpose, passed)
        if self._defender is not None and purpose == common_pb2.PURPOSE_TRAIN:
            self._defender.open_pass(epoch, purpose, passed)
        return passed

    def _make_ahead(self) -> None:
        """Use a wait: the next step's rows, masks and triples do not depend on this one."""
        self._first_layer.make_ahead()
        self._batches.make_ahead()
        if self._defender is not None:
            self._defender.make_ahead()

    def _send_shares(self, pieces: list[slice], header: common_pb2.StepHeader) -> NDArray[np.float32]:
        position = StreamPosition(header.epoch, header.step, header.purpose)
        batch = self._batches.take(position)
        self._first_layer.open_step(batch, position)
        for number, piece in enumerate(pieces):
            share, payload = encode_ring(self._first_layer.share(piece), self._scale_bits)
            frame = split_training_pb2.PartyFrame(header=_of_piece(header, number), share=share)
            # packed here: the words are overwritten by the next step
            self._stream.send(pack_frame(TensorFrame(frame, payload)))
        return batch

    def _take_answers(
        self,
        rows: RowIndices,
        pieces: list[slice],
        batch: NDArray[np.float32],
        header: common_pb2.StepHeader,
        end: str,
    ) -> float:
        """What the server sends about a step, as it comes: h_L of each piece to the label holder, ``end`` of each to all: dL/dz1,
        or that it is done.

        Returns:
          the loss summed over rows; 0 at feature holders.
        """
        loss_sum, side, defender = 0.0, self._label_side, self._defender
        due = {end: 0}
        if side is not None:
            due["cut_activation"] = 0
        if defender is not None:
            due["first_activation"] = 0
            defender.open_step(StreamPosition(header.epoch, header.step, header.purpose))
        while due:
            frame = self._frame(header, due)
            kind, piece = frame.message.WhichOneof("kind"), pieces[frame.message.header.micro_batch]
            last = _last_of_kind(due, str(kind), len(pieces))
            if side is not None and kind == "cut_activation":
                loss_sum += self._answer_activation(side, frame, rows[piece], len(rows), header)
                if last:
                    side.head.apply()
                    self.phases.mark("label head update")
            elif defender is not None and kind == "first_activation":
                self._answer_first_activation(defender, frame, piece, batch[piece], header)
                if last:
                    defender.close_step()
                    self.phases.mark("defender update")
            elif kind == "cut_gradient":
                self._gather_gradient(frame, batch[piece])
            elif kind == "gradient_share":
                self._gather_gradient_share(frame, len(rows))
            else:
                self.phases.mark("wait for the step's end")
        return loss_sum

    def _answer_activation(
        self, side: LabelSide, frame: ServerFrame, rows: RowIndices, batch_rows: int, header: common_pb2.StepHeader
    ) -> float:
        """Sends dL/dh_L of a piece; returns its loss summed over its rows."""
        self.phases.mark("wait for h_L")
        labels = side.labels[rows]
        loss, gradient = side.head.loss_and_gradient(self._activation(frame, len(rows)), labels, batch_rows)
        if side.protect is not None:
            gradient = side.protect(gradient, labels)
        message, payload = encode_tensor(gradient, dtype=self._cut_dtype)
        piece_header = _of_piece(header, frame.message.header.micro_batch)
        answer = split_training_pb2.PartyFrame(header=piece_header, head_gradient=message)
        self._stream.send(TensorFrame(answer, payload))
        self.phases.mark("label head")
        return loss * len(rows)

    def _answer_first_activation(
        self,
        defender: DefenderShares,
        frame: ServerFrame,
        piece: slice,
        rows: NDArray[np.float32],
        header: common_pb2.StepHeader,
    ) -> None:
        """Sends this party's share of the defenders' gradient at h1."""
        self.phases.mark("wait for h1")
        h1 = self._tensor(frame, len(rows), self._network.widths[0], "h1")
        words, payload = encode_ring(defender.share(piece, h1, rows), defender.ring.fractional_bits)
        piece_header = _of_piece(header, frame.message.header.micro_batch)
        self._stream.send(
            TensorFrame(split_training_pb2.PartyFrame(header=piece_header, defender_share=words), payload)
        )
        self.phases.mark("defender")

    def _gather_gradient(self, frame: ServerFrame, rows: NDArray[np.float32]) -> None:
        self.phases.mark("wait for dL/dz1")
        self._first_layer.gather(rows, self._tensor(frame, len(rows), self._network.widths[0], "dL/dz1"))
        self.phases.mark("gradient")

    def _gather_gradient_share(self, frame: ServerFrame, rows: int) -> None:
        self.phases.mark("wait for dL/dz1")
        ring = ring_of(self._membership.plan.ring)
        words = decode_ring(
            frame.message.gradient_share,
            frame.payload,
            ring_bits=ring.ring_bits,
            fractional_bits=ring.fractional_bits,
            shape=(rows, self._network.widths[0]),
            what="the gradient's share of the neutral server",
        )
        self._first_layer.gather_share(words)
        self.phases.mark("gradient")

    def _activation(self, frame: ServerFrame, rows: int) -> NDArray[np.float32]:
        return self._tensor(frame, rows, self._network.widths[-1], "h_L")

    def _tensor(self, frame: ServerFrame, rows: int, width: int, name: str) -> NDArray[np.float32]:
        """The numbers of a frame of a kind that was due, held to their shape."""
        kind = str(frame.message.WhichOneof("kind"))
        tensor: NDArray[np.float32] = decode_tensor(
            getattr(frame.message, kind),
            frame.payload,
            dtype=self._cut_dtype,
            shape=(rows, width),
            what=f"{name} of the neutral server",
        )
        return tensor

    def _frame(self, header: common_pb2.StepHeader, due: Mapping[str, int]) -> ServerFrame:
        """The server's next frame, held to the step that is due and, for each kind that may come, to the piece."""
        received = self._stream.receive(self._wait)
        frame, found = received.message, received.message.header
        kind = frame.WhichOneof("kind") or ""
        if (found.run, found.generation, found.epoch, found.step, found.purpose) != (
            header.run, header.generation, header.epoch, header.step, header.purpose,
        ) or found.micro_batch != due.get(kind):  # fmt: skip
            wanted = " or ".join(f"{name} {number}" for name, number in due.items())
            raise StepError(
                f"the neutral server sent {kind} {found.micro_batch} of run {found.run!r} generation {found.generation} epoch {found.epoch} "
                f"step {found.step}; due is {wanted} of generation {header.generation} epoch {header.epoch} step {header.step}"
            )
        if kind == "step_done":
            require_bare(received, f"the end of step {header.step}")
        return received


def _of_piece(header: common_pb2.StepHeader, number: int) -> common_pb2.StepHeader:
    copied = common_pb2.StepHeader()
    copied.CopyFrom(header)
    copied.micro_batch = number
    return copied


def _last_of_kind(due: dict[str, int], kind: str, pieces: int) -> bool:
    """Count a piece of ``kind`` that came: the next one is due, or, after the last, none any more."""
    due[kind] += 1
    last = due[kind] == pieces
    if last:
        del due[kind]
    return last
