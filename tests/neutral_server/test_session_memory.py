"""What a session keeps does not grow: neither with the steps of a pass nor with the number of passes."""

import gc
import tracemalloc

import numpy as np

from kernel.fixed_point import FixedPoint
from kernel.network import NetworkSpec, OptimizerSpec
from kernel.wire.codec import encode_ring, encode_tensor
from kernel.wire.tensor_frame import TensorFrame
from neutral_server.session import StackSession
from protos.v1 import common_pb2, split_training_pb2

BATCH, WIDTH = 500, 8
PARTIES = ("a", "b")  # b holds the label
RING = FixedPoint(32, 16, addends=2)
STEP_BYTES = BATCH * WIDTH * 4
"""Of one tensor; a step brings three and sends two."""


class Echo:
    """A stack that answers with what it was given, in floats."""

    def warm_up(self, steps, *, scale_bits, ring_bits, defended): ...

    def predict(self, words, scale_bits, ring_bits):
        return words.astype(np.float32)

    def forward(self, words, scale_bits, ring_bits, *, piece):
        return self.predict(words, scale_bits, ring_bits)

    def backward(self, dh, *, piece, last, h1_gradient):
        return dh.copy()


def frame(party, epoch, step, purpose, payload, **kind):
    header = common_pb2.StepHeader(run="r", generation=1, epoch=epoch, step=step, purpose=purpose, sender=party)
    return TensorFrame(split_training_pb2.PartyFrame(header=header, **kind), payload)


def share(party, epoch, step, purpose):
    words, payload = encode_ring(np.full((BATCH, WIDTH), epoch + step, np.uint32), RING.fractional_bits)
    return frame(party, epoch, step, purpose, bytes(payload), share=words)


def gradient(epoch, step):
    message, payload = encode_tensor(np.full((BATCH, WIDTH), 0.5, np.float32), dtype="float32")
    return frame("b", epoch, step, common_pb2.PURPOSE_TRAIN, bytes(payload), head_gradient=message)


class Served:
    """A session whose parties take what is sent to them."""

    def __init__(self):
        network = NetworkSpec((WIDTH,), ("identity",), "binary", 1, OptimizerSpec("sgd", 0.1), 1)
        self.session = StackSession(
            name="server", run="r", generation=1, network=network, ring=RING, scale_bits=16, parties=PARTIES,
            label_holder="b", stack=Echo(),
        )  # fmt: skip
        self.outboxes = {party: iter(self.session.join(party)) for party in PARTIES}
        for outbox in self.outboxes.values():
            next(outbox)
        self.session.begin([BATCH])

    def train(self, epoch, steps):
        self.session.open_pass(epoch, common_pb2.PURPOSE_TRAIN, steps * BATCH, BATCH)
        for step in range(steps):
            for party in PARTIES:
                self.session.receive(party, share(party, epoch, step, common_pb2.PURPOSE_TRAIN))
            next(self.outboxes["b"])
            self.session.receive("b", gradient(epoch, step))
            for outbox in self.outboxes.values():
                next(outbox)

    def evaluate(self, epoch, steps):
        self.session.open_pass(epoch, common_pb2.PURPOSE_EVALUATE, steps * BATCH, BATCH)
        for step in range(steps):
            for party in PARTIES:
                self.session.receive(party, share(party, epoch, step, common_pb2.PURPOSE_EVALUATE))
            for outbox in self.outboxes.values():
                next(outbox)


def kept_after(work):
    """Bytes that are alive after ``work`` and were not before."""
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    work()
    gc.collect()
    return tracemalloc.get_traced_memory()[0] - before


def test_a_session_keeps_two_steps_whatever_it_has_served():
    served = Served()
    served.train(1, 3)
    tracemalloc.start()
    try:
        few = kept_after(lambda: served.train(2, 4))
        many = kept_after(lambda: [served.train(epoch, 60) for epoch in range(3, 13)])
        forward = kept_after(lambda: [served.evaluate(epoch, 60) for epoch in range(20, 30)])
    finally:
        tracemalloc.stop()
    # 604 steps of 64 KB each went through; one that was kept would be seen
    assert few < 12 * STEP_BYTES
    assert many < 2 * STEP_BYTES
    assert forward < 2 * STEP_BYTES
    assert len(served.session._pass.steps) <= 2
