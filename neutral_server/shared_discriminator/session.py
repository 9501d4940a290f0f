"""One generation of a privGAN run at the neutral server: fakes, or masked updates, of all who take a step, and the answers.

Every frame is held to run, generation, sender, epoch, group, step and shape (open_epoch.py). A step in mode

    fakes    waits for the fakes of all who take it; the shared discriminator learns from them; each party is sent the gradient
             of the origin loss at its own fakes and at nobody else's, or before generators pay that its fakes came
    updates  waits for the masked shares of all; only their complete sum is decoded, and its mean moves the weights, which
             then go to every party that takes steps in the group, and to nobody else
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import StepError, TertiumError, WireError
from kernel.gan.schedule import Group, wrong_origins
from kernel.gan.spec import AdamSpec, ImageShape, SharedSpec
from kernel.run_state import RunState, advance
from kernel.wire.codec import decode_ring, decode_tensor, encode_tensor
from kernel.wire.stream import Outbox
from kernel.wire.tensor_frame import TensorFrame
from neutral_server.live_session import LiveSession
from neutral_server.reconstruction import Contributions, StepShares
from neutral_server.shared_discriminator.mean_losses import MeanLosses
from neutral_server.shared_discriminator.net import Learned, SharedDiscriminator
from neutral_server.shared_discriminator.open_epoch import Exchange, Exchanges, OpenEpoch, OpenRound, ServerFrame
from protos.v1 import common_pb2, gan_training_pb2

PartyFrame = TensorFrame[gan_training_pb2.GanPartyFrame]

_KINDS = {"fakes": "fakes", "updates": "update"}
_NET = "shared_discriminator"


class SharedSession(LiveSession[gan_training_pb2.GanServerFrame]):
    """A shared discriminator's session."""

    part = "shared_discriminator"

    def __init__(
        self,
        *,
        name: str,
        run: str,
        generation: int,
        parties: Sequence[str],
        shared: SharedSpec,
        adam: AdamSpec,
        batch_rows: int,
        seed: int,
    ) -> None:
        super().__init__(name=name, run=run, generation=generation, parties=parties)
        self._shared, self._adam, self._batch_rows, self._seed = shared, adam, batch_rows, seed
        self._places = {party: place for place, party in enumerate(self.parties)}
        self._groups: tuple[Group, ...] = ()
        self._columns = 0
        self._exchanges = Exchanges((), (), 1)
        self._net: SharedDiscriminator | None = None
        self._epoch: OpenEpoch | None = None
        self._losses = MeanLosses()

    def lay_out(self, columns: int, image: ImageShape | None, groups: Sequence[Group]) -> None:
        """Make the nets, once the parties' rows are known.

        Raises:
          SettingsError: rows the nets cannot take.
        """
        self._groups, self._columns = tuple(groups), columns
        self._exchanges = Exchanges(self.parties, groups, self._shared.steps_per_round)
        models = [len(group.classes) for group in groups]
        self._net = SharedDiscriminator(
            self._shared.net, self._adam, columns, image, models, len(self.parties), self._seed
        )

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        self._nets().load(state)

    def begin(self) -> None:
        """Compile ahead all that a step will need."""
        sizes = {(len(self._groups[one.group].classes), len(one.round.participants)) for one in self._exchanges.all}
        if self._shared.mode == "fakes":
            self._nets().warm_up(sizes, self._batch_rows, pull_only=self._shared.warm_up_epochs == 0)
        else:
            self._nets().warm_up_moves(models for models, _ in sizes)
        self.state = advance(self.state, RunState.READY)

    def join(self, party: str) -> Outbox[ServerFrame]:
        """As every session; in mode updates the weights of every group in which the party takes steps follow, in order."""
        with self._lock:
            outbox = super().join(party)
            if self._shared.mode == "updates":
                for group in self._own_groups(party):
                    outbox.put(_weights_frame(self._set_up_header(), group, self._nets().weights(group)))
            return outbox

    def open_epoch(self, epoch: int) -> None:
        """Announce the steps of an epoch; the one before must be complete."""
        with self._lock:
            self._check_alive()
            before = self._epoch
            if before is not None and not before.complete:
                raise StepError(f"epoch {epoch} was opened while still in {before.waiting()}")
            if not self._shared.learns(epoch) or (before is not None and epoch <= before.epoch):
                raise StepError(f"epoch {epoch} cannot be opened: it is over, or the shared discriminator rests in it")
            self.state = advance(self.state, RunState.TRAINING)
            collect = Contributions if self._shared.mode == "fakes" else StepShares
            self._epoch = OpenEpoch(epoch, self.parties, self._exchanges, collect)
            self.phases.start()  # what passed since the epoch before is nobody's
            self._rest_if_complete(self._epoch)

    def held_state(self) -> dict[str, NDArray[Any]]:
        with self._lock:
            self._check_alive()
            if self._epoch is not None and not self._epoch.complete:
                raise StepError(f"a barrier was asked for in {self._epoch.waiting()}")
            return self._nets().state()

    def describe_losses(self) -> list[common_pb2.NetLoss]:
        with self._lock:
            return self._losses.take()

    def _joined(self, party: str, header: common_pb2.StepHeader) -> gan_training_pb2.GanServerFrame:
        self._nets()
        return gan_training_pb2.GanServerFrame(header=header, joined=gan_training_pb2.GanJoined())

    def _take(self, party: str, frame: PartyFrame) -> None:
        message, current = frame.message, self._epoch
        if current is None:
            raise StepError(f"{party!r} sent a tensor before an epoch was opened")
        kind, mode = message.WhichOneof("kind"), self._shared.mode
        if kind != _KINDS[mode]:
            raise StepError(f"{party!r} sent {kind or 'an empty frame'} in the middle of an epoch of mode {mode}")
        taken = current.take(party, message.header, message.group)
        if mode == "fakes":
            self._take_fakes(current, taken, party, frame)
        else:
            self._take_update(current, taken, party, frame)

    def _waits(self) -> Iterable[tuple[Collection[str], Collection[str]]]:
        return () if self._epoch is None else self._epoch.waits()

    def _left_at(self) -> str:
        return "no epoch" if self._epoch is None else self._epoch.waiting()

    def _own_groups(self, party: str) -> list[int]:
        """Those in which the party takes steps: the weights of others tell of rows it has no part in."""
        place = self._places[party]
        return [number for number, group in enumerate(self._groups) if group.steps[place] > 0]

    def _nets(self) -> SharedDiscriminator:
        if self._net is None:
            raise StepError(f"generation {self.generation} of run {self.run} has not begun at the neutral server")
        return self._net

    def _take_fakes(self, epoch: OpenEpoch, taken: OpenRound, party: str, frame: PartyFrame) -> None:
        exchange = taken.exchange
        what = f"fakes of {party!r} in {exchange.place}"
        shape = (len(self._groups[exchange.group].classes), self._batch_rows, self._columns)
        fakes = decode_tensor(frame.message.fakes, frame.payload, dtype="float32", shape=shape, what=f"the {what}")
        if fakes.min() < -1 or fakes.max() > 1:
            raise WireError(f"{what} leave [-1, 1]; a generator ends in tanh: run one version everywhere")
        if self._taken_again(taken, party, fakes):
            return
        self.phases.mark("check fakes")
        if not taken.contributions.complete:
            return
        learned = self._learn(epoch.epoch, taken)
        self.phases.mark("shared discriminator")
        header = self._header(epoch.epoch, exchange)
        for number, place in enumerate(exchange.round.participants):
            answer = gan_training_pb2.GanServerFrame(header=header, group=exchange.group)
            payload = memoryview(b"")
            if learned.gradients:
                message, payload = encode_tensor(learned.gradients[number])
                answer.origin_gradient.CopyFrom(message)
            else:
                answer.step_done.SetInParent()
            self._answer(taken, self.parties[place], TensorFrame(answer, payload))
        self._losses.add(_NET, exchange.group, learned.loss)
        if learned.origin_loss is not None:
            self._losses.add("origin", exchange.group, learned.origin_loss)
        self._end(epoch, taken)

    def _learn(self, epoch: int, taken: OpenRound) -> Learned:
        exchange = taken.exchange
        places, models = exchange.round.participants, len(self._groups[exchange.group].classes)
        wrong = None
        if self._shared.pays(epoch):
            wrong = np.stack(
                [
                    [
                        wrong_origins(
                            self._seed, epoch, exchange.group, model, exchange.step, own, places, self._batch_rows
                        )
                        for own in places
                    ]
                    for model in range(models)
                ]
            )
        fakes = [taken.contributions.received[self.parties[place]] for place in places]
        learned = self._nets().learn(exchange.group, fakes, places, wrong)
        for losses in (learned.loss, learned.origin_loss):
            if losses is not None:
                self._check_finite(losses, "loss", epoch, exchange)
        return learned

    def _take_update(self, epoch: OpenEpoch, taken: OpenRound, party: str, frame: PartyFrame) -> None:
        exchange, ring, net = taken.exchange, self._shared.ring, self._nets()
        words = decode_ring(
            frame.message.update,
            frame.payload,
            ring_bits=ring.ring_bits,
            fractional_bits=ring.fractional_bits,
            shape=(len(self._groups[exchange.group].classes), net.parameters),
            what=f"the update of {party!r} in {exchange.place}",
        )
        if self._taken_again(taken, party, words):
            return
        shares = taken.contributions
        self.phases.mark("check and add shares")
        if not isinstance(shares, StepShares) or not shares.complete:
            return
        mean = ring.decode(shares.reconstruct()) / len(exchange.round.participants)
        net.apply(exchange.group, mean.astype(np.float32))
        weights = net.weights(exchange.group)
        self._check_finite(weights, "weights", epoch.epoch, exchange)
        answer = _weights_frame(self._header(epoch.epoch, exchange), exchange.group, weights)
        self.phases.mark("shared discriminator")
        for name in self.parties:
            if exchange.group in self._own_groups(name):
                self._answer(taken, name, answer)
        self._end(epoch, taken)

    def _taken_again(self, taken: OpenRound, party: str, array: NDArray[Any]) -> bool:
        """Whether this very array came before; then its answer goes out again, if there is one yet."""
        if taken.contributions.add(party, array):
            return False
        if party in taken.answers:
            self._send(party, taken.answers[party])
        return True

    def _answer(self, taken: OpenRound, party: str, answer: ServerFrame) -> None:
        taken.answers[party] = answer
        self._send(party, answer)

    def _end(self, epoch: OpenEpoch, taken: OpenRound) -> None:
        epoch.end(taken)
        self._rest_if_complete(epoch)

    def _rest_if_complete(self, epoch: OpenEpoch) -> None:
        if epoch.complete:
            self.state = advance(self.state, RunState.READY)

    def _check_finite(self, values: NDArray[Any], what: str, epoch: int, exchange: Exchange) -> None:
        finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
        if not finite.all():
            raise TertiumError(
                f"the {what} of the shared discriminator of group {exchange.group}, model {np.argmin(finite)}, diverged (NaN or "
                f"infinity) at epoch {epoch}, step {exchange.step}; lower nets.learning_rate; resume starts from the last barrier"
            )

    def _header(self, epoch: int, exchange: Exchange) -> common_pb2.StepHeader:
        return common_pb2.StepHeader(
            run=self.run,
            generation=self.generation,
            epoch=epoch,
            step=exchange.step,
            purpose=common_pb2.PURPOSE_TRAIN,
            sender=self._name,
        )


def _weights_frame(header: common_pb2.StepHeader, group: int, weights: NDArray[np.float32]) -> ServerFrame:
    message, payload = encode_tensor(weights)
    return TensorFrame(gan_training_pb2.GanServerFrame(header=header, group=group, shared_weights=message), payload)
