"""A privGAN run at the neutral server with tiny nets: three parties, two groups, and what a party would send."""

import numpy as np
import pytest

from kernel.errors import TertiumError
from kernel.fixed_point import FixedPoint
from kernel.gan.schedule import Group
from kernel.gan.spec import AdamSpec, NetSpec, SharedSpec
from kernel.masks import ZeroMask
from kernel.randomness import Keystream, SecretKey, StreamPosition, derive_key
from kernel.run_state import RunState
from kernel.wire.codec import decode_tensor, encode_ring, encode_tensor
from kernel.wire.tensor_frame import TensorFrame
from neutral_server.shared_discriminator.net import SharedDiscriminator
from neutral_server.shared_discriminator.session import SharedSession
from protos.v1 import common_pb2, gan_training_pb2

RUN, GENERATION, COLUMNS, BATCH, SEED = "run-1", 3, 5, 4, 11
PARTIES = ("ann", "bob", "eve")
GROUPS = (Group((0, 1), (3, 2, 3)), Group((0,), (0, 2, 2)))
"""Steps 0 and 1 of the first group are everybody's, step 2 is ann's and eve's; the second group is bob's and eve's."""

NET, ADAM = NetSpec("dense", (6, 3)), AdamSpec(0.01, 0.5)
RING = FixedPoint(64, 40, addends=len(PARTIES))
MARK = object()


def shared_spec(mode, **changes):
    fields = {"weight": 1.0, "penalty_after_epochs": 0, "warm_up_epochs": 0, "steps_per_round": 1} | changes
    return SharedSpec(mode=mode, net=NET, ring=RING, **fields)


def fakes_of(party, step, group=0, epoch=1):
    seed = [PARTIES.index(party), step, group, epoch]
    shape = (len(GROUPS[group].classes), BATCH, COLUMNS)
    return np.tanh(np.random.default_rng(seed).normal(PARTIES.index(party), 1, shape)).astype(np.float32)


def _streams(party, members):
    key = SecretKey(bytes(range(32)))
    return {other: Keystream(derive_key(key, *sorted((party, other)))) for other in members if other != party}


def frames(outbox):
    """What waits in the outbox; raises what it was failed with. The outbox stays open."""
    outbox.put(MARK)
    return list(iter(iter(outbox).__next__, MARK))


class Federation:
    """A session and its parties' outboxes."""

    def __init__(self, mode="fakes", state=None, **changes):
        self.mode, self.shared = mode, shared_spec(mode, **changes)
        self.session = SharedSession(
            name="server",
            run=RUN,
            generation=GENERATION,
            parties=PARTIES,
            shared=self.shared,
            adam=ADAM,
            batch_rows=BATCH,
            seed=SEED,
        )
        self.session.lay_out(COLUMNS, None, GROUPS)
        if state is not None:
            self.session.load(state)
        self.session.begin()
        self.outboxes = {party: self.session.join(party) for party in PARTIES}

    def deliver(self, party, frame):
        """As neutral_server.service does: an error fails the run."""
        try:
            self.session.receive(party, frame)
        except TertiumError as error:
            self.session.fail(error)
            raise

    def sent(self, party):
        return frames(self.outboxes[party])

    def kinds(self):
        """Of what waits for each party."""
        return {party: [frame.message.WhichOneof("kind") for frame in self.sent(party)] for party in PARTIES}

    def send_fakes(self, party, step, group=0, epoch=1):
        self.deliver(party, fakes_frame(party, step, group, epoch))

    def update(self, party, gradient, step, group=0, epoch=1):
        """A masked share of one party's gradient, as it sends it."""
        members = [PARTIES[place] for place in GROUPS[group].participants(step)]
        words = RING.encode(gradient, "gradient")
        ZeroMask(party, _streams(party, members)).apply(words, StreamPosition(epoch, step, 2, group))
        return frame_of(party, step, group, epoch, update=encode_ring(words, RING.fractional_bits))

    def fakes_epoch(self, epoch=1):
        """Every step of an epoch; what each party was answered, in order."""
        self.session.open_epoch(epoch)
        answers = {party: [] for party in PARTIES}
        for group, steps in enumerate(GROUPS):
            for step in range(steps.exchanged()):
                members = [PARTIES[place] for place in steps.participants(step)]
                for party in members:
                    self.send_fakes(party, step, group, epoch)
                for party in members:
                    answers[party] += self.sent(party)
        return answers


def frame_of(party, step=0, group=0, epoch=1, fakes=None, update=None, **changes):
    """A party's frame; ``fakes`` and ``update`` are a message and its payload."""
    header = {
        "run": RUN,
        "generation": GENERATION,
        "epoch": epoch,
        "step": step,
        "purpose": common_pb2.PURPOSE_TRAIN,
        "sender": party,
    } | changes
    message, payload = fakes or update or (None, b"")
    kind = {"fakes": message} if fakes else {"update": message} if update else {}
    return TensorFrame(
        gan_training_pb2.GanPartyFrame(header=common_pb2.StepHeader(**header), group=group, **kind), payload
    )


def fakes_frame(party, step, group=0, epoch=1, array=None, **changes):
    fakes = fakes_of(party, step, group, epoch) if array is None else array
    return frame_of(party, step, group, epoch, fakes=encode_tensor(fakes), **changes)


def gradient_of(frame, group=0):
    shape = (len(GROUPS[group].classes), BATCH, COLUMNS)
    return decode_tensor(frame.message.origin_gradient, frame.payload, dtype="float32", shape=shape, what="gradient")


def weights_of(frame, parameters):
    shape = (len(GROUPS[frame.message.group].classes), parameters)
    return decode_tensor(frame.message.shared_weights, frame.payload, dtype="float32", shape=shape, what="weights")


def refused(federation, party, frame, kind, sentence):
    """The frame is, everybody is told, and nothing more is accepted."""
    federation.kinds()
    with pytest.raises(kind, match=sentence):
        federation.deliver(party, frame)
    assert federation.session.state is RunState.PAUSED
    for outbox in federation.outboxes.values():
        with pytest.raises(kind, match=sentence):
            frames(outbox)
    for call in (
        lambda: federation.session.open_epoch(2),
        lambda: federation.session.held_state(),
        lambda: federation.session.join("ann"),
    ):
        with pytest.raises(kind, match=sentence):
            call()


def plain_net():
    """The nets of a session as they start, by themselves."""
    models = [len(group.classes) for group in GROUPS]
    return SharedDiscriminator(NET, ADAM, COLUMNS, None, models, len(PARTIES), SEED)
