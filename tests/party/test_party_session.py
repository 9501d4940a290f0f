"""party.session: which epoch a byte belongs to. The trainer and what a barrier keeps are stand-ins; the meter is real."""

from types import SimpleNamespace

import numpy as np
import pytest

from kernel.phases import PhaseClock
from kernel.run_state import RunState
from kernel.wire.meter import GRPC_FRAME_BYTES, LinkMeter
from party.session import PartySession
from protos.v1 import coordination_pb2

LINK = "neutral-server>bank"
SET_UP, OPENING, STEP = 100_000, 2_000, 50


@pytest.fixture
def meter():
    return LinkMeter()


@pytest.fixture
def session(meter, tmp_path):
    """As after `begin`, but for what was counted until then."""

    def train(order, batch_rows, epoch, progress):
        meter.count(LINK, STEP)
        return 0.0

    made = PartySession(
        SimpleNamespace(name="bank", state_directory=tmp_path),
        None,
        run="trial",
        generation=1,
        stubs={},
        meter=meter,
        send_progress=lambda progress: None,
    )
    state = SimpleNamespace(state=lambda: {"weights": np.zeros(1)})
    made._trainer = SimpleNamespace(train=train, phases=PhaseClock())
    made._plan, made._split = SimpleNamespace(batch_rows=2), SimpleNamespace(train=np.arange(4))
    made._block = made._encoder = state
    made._head, made._holds_label = None, False
    made._rows = SimpleNamespace(announce=lambda order: None)
    made._store = SimpleNamespace(hold=lambda barrier, parts: bytes(32))
    made.state = RunState.READY
    return made


def epoch_bytes(session, epoch):
    done = session.train_epoch(coordination_pb2.TrainEpoch(epoch=epoch, batch_seed=epoch))
    return {usage.link: (usage.messages, usage.bytes) for usage in done.links}


def test_a_peers_opening_that_comes_before_the_order_is_of_the_epoch(session, meter):
    """The peer was told first and has begun: its first opening is here before this party's own order."""
    meter.count(LINK, SET_UP)
    session.hold_barrier(coordination_pb2.HoldBarrier(barrier=0))
    meter.count(LINK, OPENING)
    assert epoch_bytes(session, 1) == {LINK: (2, OPENING + STEP + 2 * GRPC_FRAME_BYTES)}
    meter.count(LINK, OPENING)  # no barrier between these two epochs
    assert epoch_bytes(session, 2) == {LINK: (2, OPENING + STEP + 2 * GRPC_FRAME_BYTES)}


def test_the_totals_hold_everything(session, meter):
    meter.count(LINK, SET_UP)
    session.hold_barrier(coordination_pb2.HoldBarrier(barrier=0))
    epoch_bytes(session, 1)
    meter.count(LINK, OPENING)
    (total,) = session.finish().links
    assert (total.messages, total.bytes) == (3, SET_UP + STEP + OPENING + 3 * GRPC_FRAME_BYTES)
