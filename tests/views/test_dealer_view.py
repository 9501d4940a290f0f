"""What the coordinator receives, of which the dealer is a service: never a share, an opening or a tensor."""

import pytest
from recordings import COORDINATOR, SERVER, Recording, parts_of

from protos.v1 import common_pb2, relay_pb2

pytestmark = pytest.mark.e2e

PAYLOADS = {
    message.DESCRIPTOR.full_name
    for message in (common_pb2.Tensor, common_pb2.RingTensor, relay_pb2.Opening, relay_pb2.Envelope)
}
REPORTS = {"hello", "prepared", "begun", "epoch_done", "evaluated", "barrier_held", "predicted", "finished"}
FROM_SERVER = {"PrepareStack", "BeginStack", "OpenPass", "DescribePass", "HoldStackBarrier", "CloseRun", "Describe"}
FROM_OPERATOR = {"SubmitRequest", "PredictionRequest", "WatchRequest", "FetchRunRequest", "StatusRequest"}
TO_DEALER = {"EnrolRequest", "CorrectionsRequest"}


def _payloads(recording: Recording, role: str) -> set[str]:
    return PAYLOADS & {part.DESCRIPTOR.full_name for one in recording.received(role) for part in parts_of(one.message)}


def test_kinds_at_the_coordinator(recording: Recording):
    found = {one.kind for one in recording.received(COORDINATOR)} - {"PartyReport.progress"}  # only in long epochs
    wanted = {f"PartyReport.{kind}" for kind in REPORTS} | {f"{name}Reply" for name in FROM_SERVER} | FROM_OPERATOR
    if recording.run.plan.first_layer.protocol == "beaver":
        wanted |= TO_DEALER
    assert found == wanted


def test_no_payload_reaches_the_coordinator(recording: Recording):
    assert _payloads(recording, COORDINATOR) == set()
    assert {one.payload for one in recording.received(COORDINATOR)} == {b""}  # nothing behind a message either


def test_payloads_are_found_where_they_belong(recording: Recording):
    """The search above would see them."""
    assert _payloads(recording, SERVER) == PAYLOADS - {"tertium.v1.Opening"}
    assert sum(len(one.payload) for one in recording.received(SERVER)) > 50_000
    assert "tertium.v1.Tensor" in _payloads(recording, recording.label_holder)


def test_the_dealer_is_told_which_triples_and_nothing_else(beaver_recording: Recording):
    """Its requests are empty but for run, generation, epoch and purpose."""
    requests = [one.message for one in beaver_recording.received(COORDINATOR) if one.kind in TO_DEALER]
    assert len(requests) == 2 * 2 + 3 + 1 + 1  # two parties enrol in two generations; corrections for five passes
    for request in requests:
        assert {field.name for field, _ in request.ListFields()} <= {"run", "generation", "epoch", "purpose"}
        assert request.ByteSize() < 60


def test_no_byte_field_at_the_coordinator_is_long(recording: Recording):
    """The longest bytes it gets are hashes of 32: no room for a row."""
    for one in recording.received(COORDINATOR):
        for message in parts_of(one.message):
            for field, value in message.ListFields():
                if field.type == field.TYPE_BYTES:
                    assert len(value) == 32, f"{one.kind}: {field.full_name}"


def test_a_party_gets_its_own_seed_only(beaver_recording: Recording):
    """One a generation, 32 bytes, never the same: with all seeds of a generation a party could undo the opening of X."""
    seeds = {
        party: [one.message.seed for one in beaver_recording.received(party, "EnrolReply")]
        for party in beaver_recording.parties
    }
    assert [len(found) for found in seeds.values()] == [2, 2]
    everything = [seed for found in seeds.values() for seed in found]
    assert {len(seed) for seed in everything} == {32}
    assert len(set(everything)) == 4
    for party, found in seeds.items():
        foreign = [seed for seed in everything if seed not in found]
        for one in beaver_recording.received(party):
            assert not any(seed in one.data for seed in foreign)
