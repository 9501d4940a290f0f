"""A run with noise, bounds, a frozen first layer and max-norm gradients, between real daemons: what the server gets, and when.

Statistical tests are of fresh keys: each may fail, for noise as stated, with probability below 1e-6.
"""

import json

import numpy as np
import pytest
from house import TWO_PARTIES, House
from local_runs import plan_toml
from recordings import SERVER, Recording, labels_of, order_of, rows_of, split_of
from scipy.stats import kstest

from kernel.gaussian_accounting import local_privacy
from kernel.plan_message import share_ring
from kernel.wire.codec import decode_tensor
from party.first_layer.assembly import norm_bounds
from party.membership import Membership
from protos.v1 import common_pb2

pytestmark = pytest.mark.e2e

FAILURE = 1e-6
EPOCHS, FROZEN_AFTER, NOISE, ROW_NORM, WEIGHT_NORM, WIDTH = 4, 2, 0.5, 3.0, 0.8, 8
PROTECTION = f"""
[protection]
z1_noise = {NOISE}
row_norm = {ROW_NORM}
weight_norm = {WEIGHT_NORM}
freeze_first_layer_after = {FROZEN_AFTER}
label_gradient = "max_norm"
"""


def _record(house: House, protocol: str, name: str, protection: str) -> Recording:
    text = plan_toml(
        "mitigated",
        TWO_PARTIES,
        protocol=protocol,
        epochs=EPOCHS,
        widths=(WIDTH, 4),
        learning_rate=1.0,
        micro_batches=2,
    )
    return house.record(f"breast-cancer-{name}-{protocol}", text + protection)


@pytest.fixture
def mitigated(house: House, protocol: str) -> Recording:
    return _record(house, protocol, "noised", PROTECTION)


@pytest.fixture
def plain(house: House) -> Recording:
    """The same without protection: what a test sees when there is nothing to see."""
    return _record(house, "masked_sum", "bare", "")


def _z1(recording: Recording, purpose: int) -> np.ndarray:
    first, *others = (recording.shares(party, purpose) for party in recording.parties)
    return share_ring(recording.run.plan.message()).decode(sum(others, start=first.copy()))


def _exact_z1(recording: Recording, rows: np.ndarray, epoch: int) -> np.ndarray:
    """From the weights the parties left on disk after ``epoch``, and their rows, bounded as the plan says."""
    plan = recording.run.plan.message()
    total = np.zeros((len(rows), WIDTH))
    for party in recording.parties:
        encoded = rows_of(recording.run, party).encoded
        bounds = norm_bounds(Membership(party, recording.run.run, 1, plan), encoded.shape[1])
        clipped = encoded if bounds is None else bounds.clip(encoded)
        total += clipped[rows].astype(np.float64) @ recording.run.theta(party, epoch)
    return total


def _rows(recording: Recording) -> int:
    return len(labels_of(recording.run))


def _noise(recording: Recording) -> np.ndarray:
    """What is left of z1 in the frozen epochs, [epochs, training rows by number, WIDTH]."""
    per_epoch = np.split(_z1(recording, common_pb2.PURPOSE_TRAIN), EPOCHS)
    found = []
    for epoch in range(FROZEN_AFTER + 1, EPOCHS + 1):
        order = order_of(recording.run, _rows(recording), epoch)
        noise = per_epoch[epoch - 1] - _exact_z1(recording, order, epoch)
        found.append(noise[np.argsort(order)])
    return np.stack(found)


def test_the_first_layer_stands_still_after_the_freeze(mitigated: Recording):
    """Weights and optimizer, to the bit, of the two barriers that are kept; before they moved, and the layers above move on."""
    run = mitigated.run
    for party in mitigated.parties:
        first, last = (run.barrier(party, epoch)["first_layer"] for epoch in (EPOCHS - 1, EPOCHS))
        assert first.keys() == last.keys()
        for name, value in first.items():
            assert np.array_equal(value, last[name]), name
        assert np.abs(first["weights"] - run.theta(party, 0)).max() > 1e-3
        steps = len(mitigated.received(party, "ServerFrame.cut_gradient")) // 2  # two pieces a step
        assert first["optimizer.step"] == steps > 0
    for role, layer, name in ((SERVER, "stack", "kernel_1"), (mitigated.label_holder, "label_head", "kernel")):
        moved = run.barrier(role, EPOCHS)[layer][name] - run.barrier(role, EPOCHS - 1)[layer][name]
        assert np.abs(moved).max() > 1e-4


def test_weights_keep_to_their_bound(mitigated: Recording, plain: Recording):
    """At every barrier that is kept; without protection they would not have, from the start or later."""
    for party in mitigated.parties:
        norms = [
            np.linalg.norm(mitigated.run.theta(party, epoch).astype(float), 2) for epoch in (0, EPOCHS - 1, EPOCHS)
        ]
        assert max(norms) <= WEIGHT_NORM
        assert np.linalg.norm(plain.run.theta(party), 2) > WEIGHT_NORM


def test_the_server_gets_z1_with_the_noise_of_every_party(mitigated: Recording):
    """In each frozen epoch z1 is the bounded rows times the weights on disk, plus normals of deviation 0.5 sqrt(2)."""
    noise = _noise(mitigated)
    assert noise.shape == (EPOCHS - FROZEN_AFTER, len(split_of(mitigated.run, _rows(mitigated)).train), WIDTH)
    assert kstest(noise.ravel() / (NOISE * np.sqrt(2)), "norm").pvalue > FAILURE


def test_frozen_epochs_send_the_same_noise_again(mitigated: Recording):
    """Fresh noise on an image that stays could be averaged away. What is sent again is the same up to what a product of
    float32 in another batch rounds."""
    noise = _noise(mitigated)
    assert np.abs(noise[1:] - noise[0]).max() <= 2.0**-14
    held = [mitigated.run.barrier(party, EPOCHS)["z1_noise"]["kept"] for party in mitigated.parties]
    order = np.sort(split_of(mitigated.run, _rows(mitigated)).train)
    assert np.abs(sum(held)[order] - noise[0]).max() <= 2.0**-12  # what a resumed run sends is what was sent


def test_a_freeze_ends_what_tells_feature_holders_of_labels(mitigated: Recording):
    """dL/dz1 in the epochs before, word that the step is done after."""
    for party in mitigated.parties:
        epochs = {
            kind: {
                one.message.header.epoch
                for one in mitigated.received(party, f"ServerFrame.{kind}")
                if one.message.header.purpose == common_pb2.PURPOSE_TRAIN
            }
            for kind in ("cut_gradient", "step_done")
        }
        assert epochs["cut_gradient"] == set(range(1, FROZEN_AFTER + 1))
        assert epochs["step_done"] == set(range(FROZEN_AFTER + 1, EPOCHS + 1))


def test_frozen_epochs_carry_what_was_forecast(mitigated: Recording):
    """Within 2 %, as other epochs (tests/coordinator/test_forecast.py), or the letters by which the run's id and the one
    the forecast stands on differ, in every header; fewer bytes to every party than before."""
    letters = abs(len(mitigated.run.run) - 30)
    headers = 3 * len(mitigated.received(SERVER, "PartyFrame.head_gradient")) // EPOCHS
    (expected,) = (event for event in mitigated.run.events if event["event"] == "forecast")
    epochs = [event["bytes"] for event in mitigated.run.events if event["event"] == "epoch"]
    for number, found in enumerate(epochs, 1):
        counts = expected["bytes" if number <= FROZEN_AFTER else "frozen_bytes"]
        for link, count in counts.items():
            assert found[link] == pytest.approx(count, rel=0.02, abs=letters * headers), (number, link)
    for party in mitigated.parties:
        assert epochs[-1][f"{SERVER}>{party}"] < 0.75 * epochs[0][f"{SERVER}>{party}"]


def test_evaluation_is_noisy_as_well(mitigated: Recording):
    """The test rows' z1 is the server's to see, too."""
    test = split_of(mitigated.run, _rows(mitigated)).test
    noise = _z1(mitigated, common_pb2.PURPOSE_EVALUATE) - _exact_z1(mitigated, test, EPOCHS)
    assert kstest(noise.ravel() / (NOISE * np.sqrt(2)), "norm").pvalue > FAILURE


def test_without_protection_there_is_nothing_but_rounding(plain: Recording):
    test = split_of(plain.run, _rows(plain)).test
    noise = _z1(plain, common_pb2.PURPOSE_EVALUATE) - _exact_z1(plain, test, EPOCHS)
    assert np.abs(noise).max() < 1e-4


def _labels_told_by_direction(recording: Recording) -> float:
    """Share of training rows whose side of the piece's first singular vector is their label, over all epochs; a swap is free."""
    right, rows = 0, 0
    frames = iter(recording.received(SERVER, "PartyFrame.head_gradient"))
    labels = labels_of(recording.run)
    for epoch in range(1, EPOCHS + 1):
        order = order_of(recording.run, len(labels), epoch)
        while len(order):
            frame = next(frames)
            shape = tuple(frame.message.head_gradient.shape)
            found = decode_tensor(frame.message.head_gradient, frame.payload, dtype="float32", shape=shape, what="g")
            here, order = labels[order[: len(found)]], order[len(found) :]
            side = found @ np.linalg.svd(found, full_matrices=False)[2][0] > 0
            agree = int((side == (here > 0)).sum())
            right, rows = right + max(agree, len(here) - agree), rows + len(here)
    return right / rows


def test_gradients_no_longer_tell_every_label(mitigated: Recording, plain: Recording):
    """Unprotected, the direction of dL/dh_L is the label of every row (docs/threat_model.md); max-norm turns some around.
    It does not turn many: it is made against the norm."""
    assert _labels_told_by_direction(plain) == 1.0
    assert _labels_told_by_direction(mitigated) < 0.97


def test_every_rows_gradient_is_as_long_as_the_longest_in_the_mean(mitigated: Recording):
    """Two classes of equal mean square: the norm says nothing. Ratio of mean squares within 30 %, some 2,000 rows."""
    squares: dict[bool, list[float]] = {True: [], False: []}
    labels, frames = labels_of(mitigated.run), mitigated.received(SERVER, "PartyFrame.head_gradient")
    order = np.concatenate([order_of(mitigated.run, len(labels), epoch) for epoch in range(1, EPOCHS + 1)])
    for frame in frames:
        shape = tuple(frame.message.head_gradient.shape)
        found = decode_tensor(frame.message.head_gradient, frame.payload, dtype="float32", shape=shape, what="g")
        lengths = np.square(found, dtype=np.float64).sum(axis=1)
        for label, square in zip(labels[order[: len(found)]], lengths / lengths.mean(), strict=True):
            squares[bool(label)].append(square)
        order = order[len(found) :]
    assert np.mean(squares[True]) == pytest.approx(np.mean(squares[False]), rel=0.3)


def test_the_guarantee_is_in_the_metrics(mitigated: Recording):
    found = json.loads((mitigated.run.directory / "metrics.json").read_bytes())["privacy"]["local_dp"]
    releases = FROZEN_AFTER + 1  # all frozen epochs send the same
    expected = local_privacy(NOISE, ROW_NORM * WEIGHT_NORM, releases)
    assert (found["epsilon"], found["delta"], found["relation"]) == (expected.epsilon, 1e-5, "replace one row")
    assert (found["noise"], found["releases"]) == (NOISE, releases)
