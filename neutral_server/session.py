"""One generation of one run at the neutral server: who takes part, which step is due, what was answered.

States as in kernel/run_state.py. Every frame is held to the announced pass: run, generation, purpose, epoch, step,
sender and shape. A training step goes: shares of all parties -> forward -> h_L to the label holder, with a defender h1
to all -> the label holder's gradient, shares of all defenders' gradients -> backward -> dL/dz1 to all. Where the plan cuts a
step into micro-batches each of them goes that way on its own, so that links and processes work at the same time, and the
update comes with the last. In a frozen pass StepDone goes to all instead of dL/dz1. Forward-only passes may have a few steps in flight.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kernel.batch_order import batch_sizes, micro_batches
from kernel.errors import StepError
from kernel.fixed_point import FixedPoint
from kernel.network import NetworkSpec
from kernel.randomness import StreamPosition
from kernel.ring import RingArray
from kernel.run_state import RunState, advance
from kernel.wire.codec import decode_ring, decode_tensor, encode_ring, encode_tensor
from kernel.wire.tensor_frame import TensorFrame
from neutral_server.announced_pass import PURPOSE_NAMES, AnnouncedPass, MicroBatch, ServerFrame
from neutral_server.defence import Defence
from neutral_server.gradient_shares import GradientShares
from neutral_server.live_session import LiveSession
from neutral_server.reconstruction import StepShares
from protos.v1 import common_pb2, split_training_pb2


class Stack(Protocol):
    """What a session needs of a hidden stack (hidden_stack.py, small_stack.py)."""

    def forward(self, words: RingArray, scale_bits: int, ring_bits: int, *, piece: int = 0) -> NDArray[np.float32]: ...
    def predict(self, words: RingArray, scale_bits: int, ring_bits: int) -> NDArray[np.float32]: ...
    def first_activation(self, *, piece: int = 0) -> NDArray[np.float32]: ...
    def backward(
        self,
        dh: NDArray[np.float32],
        *,
        piece: int = 0,
        last: bool = True,
        h1_gradient: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]: ...
    def warm_up(
        self, steps: Sequence[Sequence[int]], *, scale_bits: int, ring_bits: int, defended: bool = False
    ) -> None: ...
    def state(self) -> dict[str, NDArray[Any]]: ...
    def load(self, state: Mapping[str, NDArray[Any]]) -> None: ...


PartyFrame = TensorFrame[split_training_pb2.PartyFrame]


class StackSession(LiveSession[split_training_pb2.ServerFrame]):
    """A split network's session."""

    part = "stack"

    def __init__(
        self,
        *,
        name: str,
        run: str,
        generation: int,
        network: NetworkSpec,
        ring: FixedPoint,
        scale_bits: int,
        parties: Sequence[str],
        label_holder: str,
        stack: Stack,
        cut_dtype: str = "float32",
        micro_batches: int = 1,
        defence: Defence | None = None,
        gradient_shares: GradientShares | None = None,
    ) -> None:
        super().__init__(name=name, run=run, generation=generation, parties=parties)
        self._network, self._ring, self._scale_bits = network, ring, scale_bits
        self._label_holder, self._stack, self._cut_dtype = label_holder, stack, cut_dtype
        self._micro_batches, self._defence = micro_batches, defence
        self._gradient_shares = gradient_shares
        self._pass: AnnouncedPass | None = None

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        self._stack.load(state)

    def begin(self, batches: Sequence[int]) -> None:
        """Compile ahead for the batch sizes to come."""
        steps = [self._pieces(rows) for rows in sorted(set(batches))]
        self._stack.warm_up(
            steps,
            scale_bits=self._scale_bits,
            ring_bits=self._ring.ring_bits,
            defended=self._defence is not None,
        )
        self.state = advance(self.state, RunState.READY)

    def open_pass(
        self, epoch: int, purpose: common_pb2.Purpose, rows: int, batch_rows: int, *, frozen: bool = False
    ) -> None:
        """Announce the steps of an epoch; the one before must be complete. ``frozen``: dL/dz1 goes to nobody."""
        with self._lock:
            self._check_alive()
            if self._pass is not None and not self._pass.complete:
                raise StepError(f"step {self._pass.due} of {len(self._pass.sizes)} of the pass before is still due")
            if purpose not in PURPOSE_NAMES or rows < 1 or batch_rows < 1:
                raise StepError(
                    f"a pass of {rows} rows in batches of {batch_rows} with purpose {purpose} cannot be opened"
                )
            self.state = advance(self.state, RunState.TRAINING)
            training = purpose == common_pb2.PURPOSE_TRAIN
            sizes = batch_sizes(rows, batch_rows)
            pieces = [self._pieces(size) if training else [size] for size in sizes]
            self._pass = AnnouncedPass(epoch, purpose, pieces, frozen)
            self.phases.start()  # what passed since the pass before is nobody's

    def held_state(self) -> dict[str, NDArray[Any]]:
        with self._lock:
            self._check_alive()
            if self._pass is not None and not self._pass.complete:
                raise StepError(f"a barrier was asked for at step {self._pass.due} of {len(self._pass.sizes)}")
            return self._stack.state()

    def _joined(self, party: str, header: common_pb2.StepHeader) -> split_training_pb2.ServerFrame:
        seed = b"" if self._gradient_shares is None else self._gradient_shares.seed(party)
        return split_training_pb2.ServerFrame(header=header, joined=split_training_pb2.Joined(gradient_seed=seed))

    def _take(self, party: str, frame: PartyFrame) -> None:
        kind, current = frame.message.WhichOneof("kind"), self._pass
        if current is None:
            raise StepError(f"{party!r} sent a tensor before a pass was opened")
        current.check(party, frame.message.header)
        if kind == "share":
            self._take_share(current, party, frame)
        elif kind == "head_gradient":
            self._take_head_gradient(current, party, frame)
        elif kind == "defender_share":
            self._take_defender_share(current, party, frame)
        else:
            raise StepError(f"{party!r} sent {kind or 'an empty frame'} in the middle of a pass")

    def _waits(self) -> Iterable[tuple[Collection[str], Collection[str]]]:
        missing = set() if self._pass is None else self._pass.missing(self._label_holder)
        return [(set(self.parties) - missing, missing)]

    def _left_at(self) -> str:
        return f"step {self._pass.due if self._pass else 0}"

    def _pieces(self, rows: int) -> list[int]:
        return [piece.stop - piece.start for piece in micro_batches(rows, self._micro_batches)]

    def _take_share(self, current: AnnouncedPass, party: str, frame: PartyFrame) -> None:
        number, piece = frame.message.header.step, frame.message.header.micro_batch
        if number not in current.steps:
            current.steps[number] = [
                MicroBatch(rows, StepShares(self.parties), StepShares(self.parties if self._defence else ()))
                for rows in current.sizes[number]
            ]
        micro_batch = current.steps[number][piece]
        words = decode_ring(
            frame.message.share,
            frame.payload,
            ring_bits=self._ring.ring_bits,
            fractional_bits=self._ring.fractional_bits,
            shape=(micro_batch.rows, self._network.widths[0]),
            what=f"the share of {party!r} in step {number}",
        )
        if not micro_batch.shares.add(party, words):
            self._answer_again(micro_batch, party)
            return
        if current.training:
            if micro_batch.shares.complete:
                self._run_forward(current, number, piece)
            return
        while current.due in current.steps and current.steps[current.due][0].shares.complete:
            self._run_forward(current, current.due, 0)
            self._advance(current)

    def _run_forward(self, current: AnnouncedPass, number: int, piece: int) -> None:
        micro_batch = current.steps[number][piece]
        words = micro_batch.shares.reconstruct()
        self.phases.mark("check and add shares")
        if current.training:
            activation = self._stack.forward(words, self._scale_bits, self._ring.ring_bits, piece=piece)
        else:
            activation = self._stack.predict(words, self._scale_bits, self._ring.ring_bits)
        self.phases.mark("forward")
        header = self._header(current, number, piece)
        message, payload = encode_tensor(activation, dtype=self._cut_dtype)
        micro_batch.activation = TensorFrame(
            split_training_pb2.ServerFrame(header=header, cut_activation=message), payload
        )
        self._send(self._label_holder, micro_batch.activation)
        if current.training and self._defence is not None:
            message, payload = encode_tensor(self._stack.first_activation(piece=piece), dtype=self._cut_dtype)
            micro_batch.first_activation = TensorFrame(
                split_training_pb2.ServerFrame(header=header, first_activation=message), payload
            )
            for party in self.parties:
                self._send(party, micro_batch.first_activation)
        if not current.training:
            micro_batch.gradient = _step_done(header)
            for party in self.parties:
                if party != self._label_holder:
                    self._send(party, micro_batch.gradient)

    def _take_head_gradient(self, current: AnnouncedPass, party: str, frame: PartyFrame) -> None:
        number, piece = frame.message.header.step, frame.message.header.micro_batch
        pieces = current.steps.get(number, [])
        if party != self._label_holder:
            raise StepError(f"{party!r} sent a gradient of the label head; the label holder is {self._label_holder!r}")
        if not pieces or pieces[piece].activation is None or not current.training:
            raise StepError(f"{party!r} sent a gradient for step {number} before its activation was given")
        if any(before.head_gradient is None for before in pieces[:piece]):
            raise StepError(
                f"{party!r} sent the gradient of micro-batch {piece} of step {number} before the one ahead of it"
            )
        micro_batch = pieces[piece]
        dh = decode_tensor(
            frame.message.head_gradient,
            frame.payload,
            dtype=self._cut_dtype,
            shape=(micro_batch.rows, self._network.widths[-1]),
            what=f"the head gradient of {party!r} in step {number}",
        )
        if micro_batch.head_gradient is not None:
            if not np.array_equal(micro_batch.head_gradient, dh):
                raise StepError(
                    f"{party!r} repeated a step with other bytes; the run stops, resume from the last barrier"
                )
            self._answer_again(micro_batch, party)
            return
        micro_batch.head_gradient = dh
        self.phases.mark("check head gradient")
        self._run_backward(current, number)

    def _take_defender_share(self, current: AnnouncedPass, party: str, frame: PartyFrame) -> None:
        number, piece = frame.message.header.step, frame.message.header.micro_batch
        pieces = current.steps.get(number, [])
        if self._defence is None:
            raise StepError(f"{party!r} sent a defender's share in a run without a defender")
        if not pieces or pieces[piece].first_activation is None:
            raise StepError(f"{party!r} sent a defender's share for step {number} before its h1 was given")
        micro_batch, ring = pieces[piece], self._defence.ring
        words = decode_ring(
            frame.message.defender_share,
            frame.payload,
            ring_bits=ring.ring_bits,
            fractional_bits=ring.fractional_bits,
            shape=(micro_batch.rows, self._network.widths[0]),
            what=f"the defender's share of {party!r} in step {number}",
        )
        if not micro_batch.defender_shares.add(party, words):
            self._answer_again(micro_batch, party)
            return
        self.phases.mark("defender")
        self._run_backward(current, number)

    def _run_backward(self, current: AnnouncedPass, number: int) -> None:
        """Every piece of the step that has all it needs, in order."""
        for piece, micro_batch in enumerate(current.steps[number]):
            dh = micro_batch.head_gradient
            if dh is None or not micro_batch.defender_shares.complete:
                return
            if micro_batch.gradient is None:
                self._run_backward_of(current, number, piece, dh)

    def _run_backward_of(self, current: AnnouncedPass, number: int, piece: int, dh: NDArray[np.float32]) -> None:
        pieces = current.steps[number]
        micro_batch, last, pull = pieces[piece], piece == len(pieces) - 1, None
        if self._defence is not None:
            pull = self._defence.h1_gradient(micro_batch.defender_shares.reconstruct(), sum(current.sizes[number]))
            self.phases.mark("defender")
        gradient = self._stack.backward(dh, piece=piece, last=last, h1_gradient=pull)
        self.phases.mark("backward")
        header = self._header(current, number, piece)
        if current.frozen:
            micro_batch.gradient = _step_done(header)
        elif self._gradient_shares is not None:
            micro_batch.gradient = _step_done(header)
            micro_batch.first_gradient = self._share_gradient(self._gradient_shares, gradient, current, header)
        else:
            message, payload = encode_tensor(gradient, dtype=self._cut_dtype)
            micro_batch.gradient = TensorFrame(
                split_training_pb2.ServerFrame(header=header, cut_gradient=message), payload
            )
        for name in self.parties:
            self._send(name, micro_batch.end_for(first=name == self.parties[0]))
        if last:
            self._advance(current)

    def _advance(self, current: AnnouncedPass) -> None:
        current.end_step()
        if current.complete:
            self.state = advance(self.state, RunState.READY)

    def _answer_again(self, micro_batch: MicroBatch, party: str) -> None:
        if micro_batch.activation is not None and party == self._label_holder:
            self._send(party, micro_batch.activation)
        if micro_batch.first_activation is not None:
            self._send(party, micro_batch.first_activation)
        if micro_batch.gradient is not None and (party != self._label_holder or micro_batch.head_gradient is not None):
            self._send(party, micro_batch.end_for(first=party == self.parties[0]))

    def _share_gradient(
        self,
        shares: GradientShares,
        gradient: NDArray[np.float32],
        current: AnnouncedPass,
        header: common_pb2.StepHeader,
    ) -> ServerFrame:
        words = shares.share_of_first(gradient, StreamPosition(current.epoch, header.step, current.purpose))
        message, payload = encode_ring(words, shares.ring.fractional_bits)
        return TensorFrame(split_training_pb2.ServerFrame(header=header, gradient_share=message), payload)

    def _header(self, current: AnnouncedPass, number: int, piece: int) -> common_pb2.StepHeader:
        return common_pb2.StepHeader(
            run=self.run,
            generation=self.generation,
            epoch=current.epoch,
            step=number,
            micro_batch=piece,
            purpose=current.purpose,
            sender=self._name,
        )


def _step_done(header: common_pb2.StepHeader) -> ServerFrame:
    return TensorFrame(split_training_pb2.ServerFrame(header=header, step_done=split_training_pb2.StepDone()))
