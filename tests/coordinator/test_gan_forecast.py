"""coordinator.gan_forecast: byte for byte the frames that roles pack, in both modes; which epochs send what."""

from collections import Counter

import numpy as np
import pytest
from gan_runs import gan_plan_toml

from coordinator.gan_forecast import forecast_gans
from coordinator.gan_plan import check_message_size
from coordinator.job_plan import parse_job_plan
from coordinator.message_sizes import RUN_NAME
from kernel.gan.nets import discriminator_shapes, parameters
from kernel.gan.schedule import Group
from kernel.gan.spec import gan_spec
from kernel.wire.codec import encode_ring, encode_tensor
from kernel.wire.meter import GRPC_FRAME_BYTES
from kernel.wire.tensor_frame import TensorFrame, pack_frame
from protos.v1 import common_pb2, gan_training_pb2

SERVER = "neutral-server"
COLUMNS, BATCH = 64, 16
EVEN = (Group((0, 1), (4, 4, 4)),)
UNEVEN = (Group((0,), (5, 3, 2)), Group((1, 2), (0, 4, 4)), Group((3,), (6, 0, 0)))
"""Exchanged: steps 0 to 2 of the first (two of all, one of two parties), 0 to 3 of the second, none of the third."""


def message(mode="fakes", parties=3, **fields):
    return parse_job_plan(gan_plan_toml("p", mode=mode, parties=parties, **fields)).message()


def head(sender, step):
    return common_pb2.StepHeader(run=RUN_NAME, generation=1, epoch=10, step=step, purpose=2, sender=sender)


def on_the_wire(message, payload=b""):
    return len(pack_frame(TensorFrame(message, payload))) + GRPC_FRAME_BYTES


def fakes_up(name, group, models, step):
    tensor, numbers = encode_tensor(np.zeros((models, BATCH, COLUMNS), np.float32))
    return on_the_wire(gan_training_pb2.GanPartyFrame(header=head(name, step), group=group, fakes=tensor), numbers)


def gradient_down(group, models, step):
    tensor, numbers = encode_tensor(np.zeros((models, BATCH, COLUMNS), np.float32))
    frame = gan_training_pb2.GanServerFrame(header=head(SERVER, step), group=group, origin_gradient=tensor)
    return on_the_wire(frame, numbers)


def done_down(group, step):
    done = gan_training_pb2.GanStepDone()
    return on_the_wire(gan_training_pb2.GanServerFrame(header=head(SERVER, step), group=group, step_done=done))


def weights_down(count, group, models, step):
    tensor, numbers = encode_tensor(np.zeros((models, count), np.float32))
    frame = gan_training_pb2.GanServerFrame(header=head(SERVER, step), group=group, shared_weights=tensor)
    return on_the_wire(frame, numbers)


def update_up(count, name, group, models, step):
    words, numbers = encode_ring(np.zeros((models, count), np.uint32), 24)
    return on_the_wire(gan_training_pb2.GanPartyFrame(header=head(name, step), group=group, update=words), numbers)


def test_fakes_and_their_gradients_of_the_parties_that_take_a_step():
    found = forecast_gans(message(), UNEVEN, COLUMNS, None)
    paying, warm_up = Counter(), Counter()
    takes = {"party-a": [(0, 1, 3)], "party-b": [(0, 1, 3), (1, 2, 4)], "party-c": [(0, 1, 2), (1, 2, 4)]}
    for name, exchanged in takes.items():
        for group, models, steps in exchanged:
            for step in range(steps):
                for epoch in (paying, warm_up):
                    epoch[f"{name}>{SERVER}"] += fakes_up(name, group, models, step)
                paying[f"{SERVER}>{name}"] += gradient_down(group, models, step)
                warm_up[f"{SERVER}>{name}"] += done_down(group, step)
    assert found.epoch_bytes == paying
    assert found.warm_up_bytes == warm_up
    assert found.rounds == 7  # of party-b


def test_updates_of_participants_go_up_and_weights_come_down_to_the_groups_members():
    """Rounds of two steps: the first group's are 0-1 of all three and 2 of two, the second's 0-1 and 2-3."""
    plan = message("updates", steps_per_round=2)
    found = forecast_gans(plan, UNEVEN, COLUMNS, None)
    shared = gan_spec(plan).shared
    count = parameters(discriminator_shapes(shared.net, COLUMNS, None, 3))
    wanted, set_up = Counter(), Counter()
    rounds = [(0, 1, 1, "abc"), (0, 1, 2, "ab"), (1, 2, 1, "bc"), (1, 2, 3, "bc")]
    for group, models, last, participants in rounds:
        for party in "abc" if group == 0 else "bc":
            wanted[f"{SERVER}>party-{party}"] += weights_down(count, group, models, last)
        for party in participants:
            wanted[f"party-{party}>{SERVER}"] += update_up(count, f"party-{party}", group, models, last)
    assert found.epoch_bytes == wanted
    assert found.warm_up_bytes == wanted
    assert found.rounds == 4
    members = {"party-a": [(0, 1), (2, 1)], "party-b": [(0, 1), (1, 2)], "party-c": [(0, 1), (1, 2)]}
    for name, own in members.items():
        down = sum(weights_down(count, group, models, 0) for group, models in own)
        joined = common_pb2.StepHeader(run=RUN_NAME, generation=1, purpose=1, sender=SERVER)
        set_up[f"{SERVER}>{name}"] += down + on_the_wire(
            gan_training_pb2.GanServerFrame(header=joined, joined=gan_training_pb2.GanJoined())
        )
    assert {link: size for link, size in found.set_up_bytes.items() if link.startswith(SERVER)} == set_up


@pytest.mark.parametrize("mode", ["fakes", "updates"])
def test_a_run_is_its_set_up_its_warm_up_and_the_epochs_that_pay(mode):
    """Seven epochs: two silent, three of warm-up, two that pay."""
    plan = message(mode, epochs=7, penalty_after_epochs=5, warm_up_epochs=3)
    found = forecast_gans(plan, EVEN, COLUMNS, None)
    assert (found.paying_epochs, found.warm_up_epochs) == (2, 3)
    for link, size in found.epoch_bytes.items():
        assert found.run_bytes(link) == found.set_up_bytes[link] + 3 * found.warm_up_bytes[link] + 2 * size


def test_where_nobody_ever_pays_an_epoch_is_one_of_warm_up():
    found = forecast_gans(message(epochs=3, penalty_after_epochs=3, warm_up_epochs=2), EVEN, COLUMNS, None)
    assert (found.paying_epochs, found.warm_up_epochs) == (0, 2)
    assert found.epoch_bytes == found.warm_up_bytes


def test_plain_gans_send_nothing():
    found = forecast_gans(message(job="gan"), EVEN, COLUMNS, None)
    assert (found.epoch_bytes, found.set_up_bytes, found.rounds, found.run_bytes("a>b")) == ({}, {}, 0, 0)


def test_a_longer_run_name_stands_in_every_header():
    short, long = (forecast_gans(message(), EVEN, COLUMNS, None, run="x" * length) for length in (20, 50))
    assert long.epoch_bytes["party-a>neutral-server"] - short.epoch_bytes["party-a>neutral-server"] == 4 * 30


@pytest.mark.parametrize(("mode", "what"), [("fakes", ""), ("updates", "of the shared discriminator's weights")])
def test_the_limit_of_a_message_is_held_to_what_the_mode_sends(mode, what):
    """A model of widths 4096 and 65536 has a GiB of weights, which only updates send."""
    text = gan_plan_toml("p", mode=mode, parties=3)
    plan = parse_job_plan(text)
    wide = plan.model_copy(update={"shared": plan.shared.model_copy(update={"discriminator": (4096, 65536)})})
    assert check_message_size(plan, COLUMNS) == ""
    assert what in check_message_size(wide, COLUMNS)
    assert bool(check_message_size(wide, COLUMNS)) == bool(what)
    models = plan.nets.classes_at_once
    if mode == "updates":
        count = COLUMNS * 4096 + 4096 + 4096 * 65536 + 65536 + 65536 * 3 + 3
        assert wide.largest_message_bytes(COLUMNS) == models * count * max(plan.shared.ring_bits // 8, 4)
    else:
        assert wide.largest_message_bytes(COLUMNS) == models * BATCH * COLUMNS * 4
