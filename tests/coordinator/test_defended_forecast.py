"""coordinator.forecast of a plan with a defender: frame by frame, and against the bytes that real runs counted."""

from collections import Counter

import numpy as np
import pytest

from coordinator.forecast import forecast
from coordinator.plan import parse_plan
from kernel.batch_order import micro_batches
from kernel.wire.codec import encode_ring, encode_tensor
from kernel.wire.meter import GRPC_FRAME_BYTES
from kernel.wire.tensor_frame import TensorFrame, pack_frame
from protos.v1 import common_pb2, split_training_pb2

WITHIN = 0.02
WIDTH, ROWS, BATCH = 8, 150, 100
PARTIES = ("party-0", "party-1")


def plan(defender, cut="float32", pieces=1):
    return parse_plan(f"""
name = "p"
epochs = 1
batch_rows = {BATCH}
micro_batches = {pieces}
cut_dtype = "{cut}"
network = {{ widths = [{WIDTH}, 4], activations = ["relu", "relu"] }}
optimizer = {{ name = "adam", learning_rate = 0.01 }}
parties = [
  {{ name = "party-0", table = "t", columns = ["x"], label = "y" }},
  {{ name = "party-1", table = "t", columns = ["z"] }},
]
{defender}
""").message()


def section(objective="adversarial"):
    return f'[defender]\nweight = 1\nreveal_h1 = true\nobjective = "{objective}"'


def on_the_wire(message, payload):
    """As the meter counts it, from the bytes themselves."""
    return len(pack_frame(TensorFrame(message, payload))) + GRPC_FRAME_BYTES


def header(sender):
    return common_pb2.StepHeader(run="x" * 30, generation=1, epoch=10, step=10, purpose=2, sender=sender)


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize(
    ("objective", "cut", "bits", "fraction"),
    [("adversarial", "float32", 32, 20), ("adversarial", "bfloat16", 32, 20), ("literal", "float32", 64, 32)],
)
def test_a_defender_adds_h1_down_and_a_share_up(objective, cut, bits, fraction, pieces):
    """Byte for byte, against the frames that roles pack, at every party and for every piece (headers without its number)."""
    added = Counter()
    for batch in (BATCH, ROWS - BATCH):
        for cut_of in micro_batches(batch, pieces):
            rows = cut_of.stop - cut_of.start
            h1, numbers = encode_tensor(np.zeros((rows, WIDTH), np.float32), dtype=cut)
            share, words = encode_ring(np.zeros((rows, WIDTH), f"u{bits // 8}"), fraction)
            for name in PARTIES:
                down = split_training_pb2.ServerFrame(header=header("neutral-server"), first_activation=h1)
                up = split_training_pb2.PartyFrame(header=header(name), defender_share=share)
                added[f"neutral-server>{name}"] += on_the_wire(down, numbers)
                added[f"{name}>neutral-server"] += on_the_wire(up, words)
    without = forecast(plan("", cut, pieces), ROWS, [5, 5])
    found = forecast(plan(section(objective), cut, pieces), ROWS, [5, 5])
    assert found.epoch_bytes == {link: count + added[link] for link, count in without.epoch_bytes.items()}
    assert (found.set_up_bytes, found.relayed_epoch_bytes) == (without.set_up_bytes, without.relayed_epoch_bytes)
    assert found.rounds == without.rounds + sum(len(micro_batches(rows, pieces)) for rows in (BATCH, ROWS - BATCH))


@pytest.mark.e2e
def test_a_real_epoch_costs_what_was_forecast(defended_recording):
    """Both protocols; the run id is of another length than the forecast's stand-in, which the margin covers."""
    events = defended_recording.run.events
    (expected,) = (event for event in events if event["event"] == "forecast")
    epochs = [event for event in events if event["event"] == "epoch"]
    assert len(epochs) == defended_recording.run.plan.epochs
    for epoch in epochs:
        for link, count in expected["bytes"].items():
            assert epoch["bytes"][link] == pytest.approx(count, rel=WITHIN), link
        assert epoch["rounds"] == expected["rounds"]
        left_out = {link: count for link, count in epoch["bytes"].items() if link not in expected["bytes"]}
        assert all("coordinator" in link and count < 1000 for link, count in left_out.items()), left_out
    phases = epochs[-1]["phases"]
    assert all("defender" in phases[role] for role in (*defended_recording.parties, "neutral-server"))
