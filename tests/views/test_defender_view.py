"""With a defender: the neutral server sees the sum of the parties' gradients and no addend; without one no party sees h1."""

import numpy as np
import pytest
from local_runs import FinishedRun
from plain_minimax import PlainMinimax
from recordings import SERVER, Received, Recording, labels_of, order_of, rows_of, words_of
from uniformity import FAILURE, uniform_p

from kernel.batch_order import micro_batches
from kernel.defender_plan import DefenderSpec, defender_ring, defender_spec
from kernel.network import NetworkSpec
from kernel.plan_message import network_spec
from party.defender import Defender
from protos.v1 import common_pb2

pytestmark = pytest.mark.e2e

TRAIN = common_pb2.PURPOSE_TRAIN


def defender_shares(recording: Recording, party: str) -> np.ndarray:
    """The words the server got from a party's defender, [rows of all epochs, widths[0]], in order of arrival."""
    frames = [
        one for one in recording.received(SERVER, "PartyFrame.defender_share") if one.message.header.sender == party
    ]
    return np.concatenate([words_of(one.message.defender_share, one.payload) for one in frames])


def h1_frames(recording: Recording, party: str) -> list[Received]:
    return recording.received(party, "ServerFrame.first_activation")


def h1_of(frame: Received) -> np.ndarray:
    tensor = frame.message.first_activation
    assert tensor.dtype == common_pb2.D_TYPE_FLOAT32
    return np.frombuffer(frame.payload, "<f4").reshape(tuple(tensor.shape))


def specs(run: FinishedRun) -> tuple[NetworkSpec, DefenderSpec]:
    message = run.plan.message()
    spec = defender_spec(message)
    assert spec is not None
    return network_spec(message.network), spec


def first_gradients(recording: Recording) -> dict[str, np.ndarray]:
    """Each party's gradient in the first step, float64[batch, width], from its rows and the defender of barrier 0."""
    run = recording.run
    _, spec = specs(run)
    batch = order_of(run, len(labels_of(run)), 1)[: run.plan.batch_rows]
    h1 = np.concatenate([h1_of(one) for one in h1_frames(recording, recording.parties[0])[:2]])
    assert len(h1) == len(batch)
    found = {}
    for party in recording.parties:
        state = run.barrier(party, 0)["defender"]
        weights = {name: value for name, value in state.items() if name.startswith(("kernel", "bias"))}
        found[party] = Defender(spec, weights).distance_and_gradient(h1, rows_of(run, party).encoded[batch])[1]
    return found


def test_a_share_tells_nothing_alone(defended_recording: Recording):
    """χ² over every byte of all words of a party; truly uniform words fail with probability below FAILURE."""
    for party in defended_recording.parties:
        words = defender_shares(defended_recording, party)
        assert words.size > 5000
        assert uniform_p(words) > FAILURE


def test_only_the_sum_decodes(defended_recording: Recording):
    """All shares of the first step add up to the parties' gradients; the share of one is nowhere near its own."""
    ring = defender_ring("adversarial", len(defended_recording.parties))
    gradients = first_gradients(defended_recording)
    rows = defended_recording.run.plan.batch_rows
    shares = {party: defender_shares(defended_recording, party)[:rows] for party in defended_recording.parties}
    first, second = shares.values()
    assert np.abs(ring.decode(first + second) - sum(gradients.values())).max() < 1e-5
    for party, gradient in gradients.items():
        assert np.abs(gradient).max() > 1e-3
        assert np.abs(ring.decode(shares[party])).max() > 50  # 0.2 % of uniform words stay below half the range in all
        # what hides it is uniform too: subtracting the gradient itself leaves a mask
        assert uniform_p(shares[party] - ring.encode(gradient, "gradient")) > FAILURE


def test_a_gradient_without_its_mask_would_be_found(defended_recording: Recording):
    """Positive control of the χ²."""
    ring = defender_ring("adversarial", 2)
    for gradient in first_gradients(defended_recording).values():
        assert uniform_p(ring.encode(gradient, "gradient")) < FAILURE


def test_no_mask_serves_twice(defended_recording: Recording):
    """The masks of the defender's shares and of z1's are zero-masks of two parties: had they been the same stream, their
    differences would be small numbers. Of every step with the one before, too."""
    one = defended_recording.parties[0]
    pulls, shares = defender_shares(defended_recording, one), defended_recording.shares(one, TRAIN)
    assert pulls.shape == shares.shape
    assert uniform_p(pulls - shares.astype(pulls.dtype)) > FAILURE
    rows = defended_recording.run.plan.batch_rows
    assert uniform_p(pulls[rows:] - pulls[:-rows]) > FAILURE


def test_every_party_sees_h1_of_training_steps_and_of_no_other(defended_recording: Recording):
    run = defended_recording.run
    sizes = [len(order_of(run, len(labels_of(run)), epoch)) for epoch in range(1, run.plan.epochs + 1)]
    frames = {party: h1_frames(defended_recording, party) for party in defended_recording.parties}
    for found in frames.values():
        assert sum(len(h1_of(one)) for one in found) == sum(sizes)
        assert {one.message.header.purpose for one in found} == {TRAIN}
    first, second = frames.values()
    assert [one.payload for one in first] == [one.payload for one in second]
    assert len(micro_batches(run.plan.batch_rows, run.plan.micro_batches)) == 2
    assert {len(h1_of(one)) for one in first} == {29, 28}


def test_without_a_defender_no_party_sees_h1(recording: Recording):
    """Neither as such nor in another message: nothing of that shape but dL/dz1 comes to a party."""
    width = recording.run.plan.network.widths[0]
    for party in recording.parties:
        assert h1_frames(recording, party) == []
        for one in recording.received(party):
            if one.message.DESCRIPTOR.name == "ServerFrame":
                assert one.kind in {
                    "ServerFrame.joined",
                    "ServerFrame.cut_gradient",
                    "ServerFrame.step_done",
                    "ServerFrame.cut_activation",
                }
                assert one.kind != "ServerFrame.cut_activation" or party == recording.label_holder
    assert width == recording.run.plan.network.widths[-1]  # so the shape alone would not tell h1 from h_L
    assert recording.received(SERVER, "PartyFrame.defender_share") == []


def test_the_server_is_told_a_weight_and_a_ring(defended_recording: Recording, recording: Recording):
    told = [one.message.defender for one in defended_recording.received(SERVER, "PrepareStackRequest")]
    assert {(one.weight, one.ring.ring_bits, one.ring.fractional_bits) for one in told} == {(0.5, 32, 20)}
    assert not any(one.message.HasField("defender") for one in recording.received(SERVER, "PrepareStackRequest"))


def test_the_run_is_the_plain_minimax(defended_recording: Recording):
    """Three epochs over real processes, from barrier 0, against all of it in one memory: every weight of every role.

    masked_sum rounds z1 to 2^-17 a party, and the shares of gradients to 2^-25: weights agree to 1e-4 after 21 steps.
    """
    run = defended_recording.run
    network, spec = specs(run)
    parties, holder = defended_recording.parties, defended_recording.label_holder
    labels, rows = labels_of(run), {party: rows_of(run, party).encoded for party in parties}
    plain = PlainMinimax(
        network,
        spec,
        [run.theta(party, 0) for party in parties],
        run.barrier(SERVER, 0)["stack"],
        run.barrier(holder, 0)["label_head"],
        [run.barrier(party, 0)["defender"] for party in parties],
    )
    distances = []
    for epoch in range(1, run.plan.epochs + 1):
        order = order_of(run, len(labels), epoch)
        for start in range(0, len(order), run.plan.batch_rows):
            batch = order[start : start + run.plan.batch_rows]
            _, found = plain.step([rows[party][batch] for party in parties], labels[batch])
            distances.append(sum(found))
        if epoch > run.plan.epochs - 2:  # the newest two barriers are kept
            _check(plain, run, parties, holder, epoch)
    assert np.mean(distances[-3:]) < np.mean(distances[:3])  # the defenders learn


def _check(plain: PlainMinimax, run: FinishedRun, parties: list[str], holder: str, epoch: int) -> None:
    stack, head = run.barrier(SERVER, epoch)["stack"], run.barrier(holder, epoch)["label_head"]
    wanted = dict(plain.weights)
    found = {name: value for name, value in stack.items() if name in wanted}
    found |= {f"head_{name}": head[name] for name in ("kernel", "bias")}
    found |= {f"theta_{number}": run.theta(party, epoch) for number, party in enumerate(parties)}
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, atol=1e-4, err_msg=name)
    for number, party in enumerate(parties):
        net = run.barrier(party, epoch)["defender"]
        for name, value in plain.nets[number].items():
            np.testing.assert_allclose(net[name], value, atol=5e-4, err_msg=f"{party} {name}")
