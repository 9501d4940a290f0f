"""What a party exchanges with the neutral server in a step of privGAN: fakes, or masked updates of a shared copy.

An exchanged step is `send`, then whatever the party does meanwhile, then `origin_gradient` where its generators pay.
Mode fakes: the step's fakes go, d origin loss/d fakes comes, at the shared discriminator as it is after it learnt from them.
Mode updates:
 [1] the gradient of the copy's weights on the party's own fakes and origin is added up over the steps of a round;
 [2] in the round's last step its mean goes as words of the plan's ring + zero-mask among the round's participants;
 [3] the server sends the moved weights to every party, and from the next use on they are the copy's;
 [4] the origin gradient is the copy's own, at wrong origins drawn here.
What comes is awaited as late as it can be: an answer nobody needs yet never holds a step up.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kernel.errors import StepError
from kernel.gan.schedule import Group, Round, rounds, wrong_origins
from kernel.gan.spec import SharedSpec
from kernel.masks import ZeroMask
from kernel.phases import PhaseClock
from kernel.randomness import Keystream, SecretKey, StreamPosition, derive_key
from kernel.wire.codec import decode_tensor, encode_ring, encode_tensor
from kernel.wire.stream import DuplexStream
from kernel.wire.tensor_frame import TensorFrame, require_bare
from party.gan.shared_copy import SharedCopy
from party.membership import Membership
from protos.v1 import common_pb2, gan_training_pb2

ServerFrame = TensorFrame[gan_training_pb2.GanServerFrame]
GanStream = DuplexStream[TensorFrame[gan_training_pb2.GanPartyFrame], ServerFrame]
Rows = NDArray[np.float32]
Losses = NDArray[np.float64]
OnOriginLoss = Callable[[int, int, Losses], None]
"""(group, step, each model's origin loss)"""


def join_gan(stub: Any, membership: Membership, wait_seconds: float) -> GanStream:
    """Open the stream to the neutral server for this generation.

    Raises:
      StepError: it does not confirm; PeerError: it is not there.
    """
    stream: GanStream = DuplexStream(stub.Share, "the neutral server")
    stream.send(
        TensorFrame(gan_training_pb2.GanPartyFrame(header=membership.header(), join=gan_training_pb2.JoinGan()))
    )
    if stream.receive(wait_seconds).message.WhichOneof("kind") != "joined":
        raise StepError("the neutral server did not confirm the stream; run one version everywhere")
    return stream


class Exchange(Protocol):
    """One party's side of the exchanged steps of a run, in the order of the schedule."""

    def open_epoch(self, epoch: int, seed: int) -> None:
        """Of an epoch in which the shared discriminator learns."""

    def send(self, group: int, step: int, fakes: Rows) -> None:
        """The step's fakes, float32[models, batch, columns], or what follows from them."""

    def origin_gradient(self, fakes: Rows) -> Rows:
        """d(mean over the batch of the origin loss)/d fakes of the step sent last, float32 like them."""

    def close_epoch(self) -> None:
        """Take what the server still sends of the epoch."""


class SharedStream:
    """The stream of one generation, each frame of it held to what is due."""

    def __init__(self, stream: GanStream, membership: Membership, wait_seconds: float, phases: PhaseClock) -> None:
        self._stream, self._membership, self._wait = stream, membership, wait_seconds
        self.phases = phases

    def send(self, position: tuple[int, int, int], payload: Any, **kind: Any) -> None:
        """``position``: epoch, group, step."""
        epoch, group, step = position
        header = self._membership.header(epoch, step, common_pb2.PURPOSE_TRAIN)
        self._stream.send(TensorFrame(gan_training_pb2.GanPartyFrame(header=header, group=group, **kind), payload))

    def receive(self, kind: str, due: Sequence[tuple[int, int, int]]) -> tuple[tuple[int, int, int], ServerFrame]:
        """The server's next frame, which must be ``kind`` of one of the positions that are due (epoch, group, step).

        Raises:
          StepError: it is something else.
        """
        received = self._stream.receive(self._wait)
        frame, found = received.message, received.message.header
        position = (found.epoch, frame.group, found.step)
        of_run = (found.run, found.generation) == (self._membership.run, self._membership.generation)
        if not of_run or frame.WhichOneof("kind") != kind or position not in due:
            raise StepError(
                f"the neutral server sent {frame.WhichOneof('kind')} of run {found.run!r} generation {found.generation}, (epoch, group, "
                f"step) {position}; due is {kind} of generation {self._membership.generation}, one of {list(due)[:3]}"
            )
        return position, received


class FakesExchange:
    """Mode fakes; one step is under way at a time."""

    def __init__(self, stream: SharedStream) -> None:
        self._stream = stream
        self._epoch = 0
        self._due: tuple[int, int, int] | None = None

    def open_epoch(self, epoch: int, seed: int) -> None:
        self._epoch = epoch

    def send(self, group: int, step: int, fakes: Rows) -> None:
        self.close_epoch()  # of the step before: it was waited for, or nothing in it was needed
        message, payload = encode_tensor(fakes)
        self._due = (self._epoch, group, step)
        self._stream.send(self._due, payload, fakes=message)
        self._stream.phases.mark("send fakes")

    def origin_gradient(self, fakes: Rows) -> Rows:
        due, self._due = self._due, None
        if due is None:
            raise StepError("no step is under way whose fakes the neutral server has; send them first")
        _, received = self._stream.receive("origin_gradient", [due])
        gradient: Rows = decode_tensor(
            received.message.origin_gradient,
            received.payload,
            dtype="float32",
            shape=fakes.shape,
            what="the origin gradient of the neutral server",
        )
        self._stream.phases.mark("wait for origin gradient")
        return gradient

    def close_epoch(self) -> None:
        due, self._due = self._due, None
        if due is not None:
            _, received = self._stream.receive("step_done", [due])
            require_bare(received, f"the end of step {due[2]}")
            self._stream.phases.mark("wait for the step's end")


class UpdatesExchange:
    """Mode updates. A party gets the weights of the groups it takes steps in, also after rounds it takes no part in.

    Args:
      keys: per peer the key both have for this generation and nobody else.
      copies: per group of this party one copy; parameters: of one model of the shared discriminator.
      on_origin_loss: told each paying step's loss.
    """

    def __init__(
        self,
        membership: Membership,
        shared: SharedSpec,
        groups: Sequence[Group],
        copies: Mapping[int, SharedCopy],
        parameters: int,
        stream: SharedStream,
        keys: Mapping[str, SecretKey],
        on_origin_loss: OnOriginLoss,
    ) -> None:
        self._membership, self._shared, self._stream = membership, shared, stream
        self._own, self._names = membership.place, membership.names
        self._groups, self._copies, self._parameters = groups, copies, parameters
        self._rounds = [rounds(group, shared.steps_per_round) for group in groups]
        self._keystreams = [
            {
                peer: Keystream(derive_key(key, membership.run, membership.generation, "shared-update-mask", number))
                for peer, key in keys.items()
            }
            for number in range(len(groups))
        ]
        self._on_origin_loss = on_origin_loss
        self._due: list[tuple[int, int, int]] = []
        self._sent: tuple[int, int, int] | None = None
        self._gradients: NDArray[np.float32] | None = None
        self._epoch, self._seed, self._group, self._step = 0, 0, 0, 0

    def begin(self) -> None:
        """The weights that training starts from, once after joining."""
        self._due = [(0, number, 0) for number in self._copies]
        self._take_weights(lambda: bool(self._due))

    def open_epoch(self, epoch: int, seed: int) -> None:
        self._epoch, self._seed = epoch, seed
        self._due = [(epoch, number, one.stop - 1) for number in self._copies for one in self._rounds[number]]

    def send(self, group: int, step: int, fakes: Rows) -> None:
        self._group, self._step = group, step
        # the server takes a party's next round when its last one, of whatever group, is answered
        self._take_weights(
            lambda: self._sent in self._due or any(number == group and last < step for _, number, last in self._due)
        )
        this = self._round(group, step)
        _, gradient = self._copies[group].update(fakes, self._own)  # [1]
        self._gradients = gradient if self._gradients is None else self._gradients + gradient
        self._stream.phases.mark("shared gradient")
        if step == this.stop - 1:
            self._send_update(self._gradients / np.float32(this.stop - this.start), this)  # [2]
            self._gradients = None
            self._stream.phases.mark("send update")

    def origin_gradient(self, fakes: Rows) -> Rows:
        group, step = self._group, self._step
        self._take_weights(lambda: any(number == group and last <= step for _, number, last in self._due))  # [3]
        participants = self._groups[group].participants(step)
        wrong = [
            wrong_origins(self._seed, self._epoch, group, model, step, self._own, participants, fakes.shape[1])
            for model in range(len(fakes))
        ]
        losses, gradient = self._copies[group].origin_gradient(fakes, np.stack(wrong))  # [4]
        self._on_origin_loss(group, step, losses)
        self._stream.phases.mark("origin gradient")
        return gradient

    def close_epoch(self) -> None:
        self._take_weights(lambda: bool(self._due))

    def _round(self, group: int, step: int) -> Round:
        return next(one for one in self._rounds[group] if one.start <= step < one.stop)

    def _send_update(self, gradient: NDArray[np.float32], this: Round) -> None:
        words = self._shared.ring.encode(gradient, "the gradient of the shared discriminator")
        streams = self._keystreams[self._group]
        peers = [self._names[place] for place in this.participants if place != self._own]
        mask = ZeroMask(self._membership.me, {peer: streams[peer] for peer in peers})
        mask.apply(words, StreamPosition(self._epoch, self._step, common_pb2.PURPOSE_TRAIN))
        message, payload = encode_ring(words, self._shared.ring.fractional_bits)
        self._sent = (self._epoch, self._group, self._step)
        self._stream.send(self._sent, payload, update=message)

    def _take_weights(self, wanted: Callable[[], bool]) -> None:
        """Frames that are due, while some that are ``wanted`` are among them; groups may come in any order, rounds of one may not."""
        waited = False
        while wanted():
            first: dict[int, tuple[int, int, int]] = {}
            for position in self._due:
                first.setdefault(position[1], position)
            position, received = self._stream.receive("shared_weights", list(first.values()))
            number = position[1]
            weights = decode_tensor(
                received.message.shared_weights,
                received.payload,
                dtype="float32",
                shape=(len(self._groups[number].classes), self._parameters),
                what="the shared weights of the neutral server",
            )
            self._copies[number].load(weights)
            self._due.remove(position)
            waited = True
        if waited:
            self._stream.phases.mark("wait for shared weights")
