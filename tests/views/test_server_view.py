"""What the neutral server receives: shares that say nothing one by one and z1 when added, and envelopes it cannot read.

Every statistical test fails with probability at most 1e-6 (uniformity.FAILURE) when all is well: masks are drawn from the
operating system's generator, so that no seed can be fixed.
"""

import math
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.unknown_fields import UnknownFieldSet
from recordings import COORDINATOR, SERVER, Recording, order_of, parts_of, rows_of, split_of
from uniformity import FAILURE, uniform_p

from kernel.batch_order import batch_seed
from kernel.fixed_point import product_error_bound
from kernel.plan_message import plan_hash, share_ring
from kernel.randomness import SecretKey
from kernel.sealed_envelope import SealedLink, _header_bytes
from kernel.wire.tensor_frame import TensorFrame, pack_frame
from protos.v1 import common_pb2, relay_pb2

pytestmark = pytest.mark.e2e

Envelope = tuple[relay_pb2.Envelope, bytes]
"""An envelope and its seal."""

FLOAT32_UNIT = 2.0**-24
GCM_TAG_BYTES = 16


def test_shares_of_a_single_party_are_uniform(recording: Recording):
    for party in recording.parties:
        words = recording.shares(party)
        assert words.size >= (3 * 398 + 171 + 569) * 8  # three epochs, the test rows, the predicted rows
        assert uniform_p(words) >= FAILURE


def test_the_sum_of_the_shares_is_not_uniform(recording: Recording):
    """The test above sees what is not masked: z1 itself is far from uniform in its high bytes."""
    assert uniform_p(_total(recording)) < 1e-100


def _total(recording: Recording, purpose: int | None = None) -> np.ndarray:
    first, *others = (recording.shares(party, purpose) for party in recording.parties)
    return sum(others, start=first)


def _z1(recording: Recording, purpose: int) -> np.ndarray:
    """z1 of every row of a purpose, as the server decodes it: float64[rows, widths[0]]."""
    total = _total(recording, purpose)
    return share_ring(recording.run.plan.message()).decode(total)


@pytest.mark.parametrize("moment", ["first step", "evaluation", "prediction"])
def test_the_sum_is_z1(recording: Recording, moment: str):
    """Against X Theta of the rows and weights the parties left on disk, in float64.

    masked_sum rounds once a party, by 2^-(f+1), the float32 product before it: D columns summed in any order are off by at
    most gamma_D sum |x||theta|, gamma_D = D u / (1 - D u), u = 2^-24 (Higham 2002, section 3.1).
    beaver multiplies two rounded factors exactly: product_error_bound.
    """
    run, names = recording.run, recording.parties
    owned = {name: rows_of(run, name).encoded for name in names}
    count = len(owned[names[0]])
    rows, barrier, purpose = {
        "first step": (order_of(run, count, 1)[: run.plan.batch_rows], 0, common_pb2.PURPOSE_TRAIN),
        "evaluation": (split_of(run, count).test, run.plan.epochs, common_pb2.PURPOSE_EVALUATE),
        "prediction": (np.arange(count), run.plan.epochs, common_pb2.PURPOSE_PREDICT),
    }[moment]
    x = [owned[name][rows].astype(np.float64) for name in names]
    theta = [run.theta(name, barrier).astype(np.float64) for name in names]
    wanted = sum(block @ weights for block, weights in zip(x, theta, strict=True))
    found = _z1(recording, purpose)[: len(rows)]
    _, fractional_bits = run.plan.ring
    if run.plan.first_layer.protocol == "masked_sum":
        bound = np.full_like(wanted, len(names) * 2.0 ** -(fractional_bits + 1))
        for block, weights in zip(x, theta, strict=True):
            gamma = block.shape[1] * FLOAT32_UNIT / (1 - block.shape[1] * FLOAT32_UNIT)
            bound += gamma * (np.abs(block) @ np.abs(weights))
    else:
        largest = [max(float(np.abs(one).max()) for one in blocks) for blocks in (x, theta)]
        columns = sum(block.shape[1] for block in x)
        bound = np.full_like(wanted, product_error_bound(columns, *largest, fractional_bits) + 1e-12)
    assert found.shape == wanted.shape
    assert (np.abs(found - wanted) <= bound).all()
    assert np.abs(wanted).max() > 1000 * bound.max()  # the bound is small against z1


def _envelopes(recording: Recording) -> list[Envelope]:
    return [(one.message.envelope, one.payload) for one in recording.received(SERVER, "RelayFrame.envelope")]


def test_sealed_payloads_are_uniform(beaver_recording: Recording):
    sealed = b"".join(sealed for _, sealed in _envelopes(beaver_recording))
    assert len(sealed) > 500_000
    assert uniform_p(np.frombuffer(sealed, np.uint8)) >= FAILURE


def test_sealed_payloads_are_the_openings_parties_exchange(beaver_recording: Recording):
    """The envelopes are not empty of meaning: their sizes are those of E (rows, once a generation) and of F (each step)."""
    run = beaver_recording.run
    columns, width, steps = 30, run.plan.network.widths[0], 3 * 7 + 3 + 10  # training, evaluation, prediction

    def size(rows: int, across: int) -> int:
        words = common_pb2.RingTensor(
            ring_bits=64,
            fractional_bits=run.plan.ring[1],
            shape=(rows, across),
        )
        opening = TensorFrame(relay_pb2.Opening(words=words), bytes(rows * across * 8))
        return len(pack_frame(opening)) + GCM_TAG_BYTES

    for party in beaver_recording.parties:
        mine = [one for one in _envelopes(beaver_recording) if one[0].header.step.sender == party]
        openings_e = [len(sealed) for envelope, sealed in mine if envelope.header.topic == "opening-e"]
        openings_f = [len(sealed) for envelope, sealed in mine if envelope.header.topic == "opening-f"]
        assert openings_e == [size(569, columns)] * 2  # the run, and the prediction's generation
        assert openings_f == [size(columns, width)] * steps


def _opened(envelopes: list[Envelope], keys: set[bytes]) -> int:
    """How many (envelope, key) open, with the nonce and associated data of kernel/sealed_envelope.py [4]."""
    opened = 0
    for key in keys:
        for envelope, sealed in envelopes:
            nonce = struct.pack(">IQ", 0, envelope.header.sequence)
            try:
                AESGCM(key).decrypt(nonce, sealed, _header_bytes(envelope.header))
            except InvalidTag:
                continue
            opened += 1
    return opened


def _bytes_fields(message: Any) -> Iterator[bytes]:
    for part in parts_of(message):
        yield from (value for field, value in part.ListFields() if field.type == field.TYPE_BYTES)


def test_nothing_received_outside_the_parties_opens_an_envelope(beaver_recording: Recording):
    """No 32 bytes that the server or the coordinator was sent are a key of the seals, nor are the dealer's seeds."""
    keys = {
        value
        for role in (SERVER, COORDINATOR, *beaver_recording.parties)
        for one in beaver_recording.received(role)
        for value in (*_bytes_fields(one.message), one.payload)
        if len(value) == 32
    }
    assert len(keys) >= 2 * 2 * 2 + 4  # two public keys and nonces a generation, four seeds; hashes
    first = [one for one in _envelopes(beaver_recording) if one[0].header.sequence < 4]
    assert {envelope.header.topic for envelope, _ in first} == {"alignment_key", "order_hash", "opening-e", "opening-f"}
    assert _opened(first, keys) == 0
    key = SecretKey(bytes(range(32)))
    sealed = SealedLink("a", "b", key, key, key).seal(
        b"payload", step=common_pb2.StepHeader(sender="a"), mailbox="run", topic="opening-e"
    )
    assert _opened([sealed], {bytes(key), *keys}) == 1  # with its key an envelope does open


def test_envelope_headers_carry_no_payload(recording: Recording):
    """Every header field is a name, a number of the public course of the run, or the next sequence number."""
    run, following = recording.run, dict[tuple[str, str, int], int]()
    beaver = run.plan.first_layer.protocol == "beaver"
    topics = {"alignment_key", "order_hash"} | ({"opening-e", "opening-f"} if beaver else set())
    assert {envelope.header.topic for envelope, _ in _envelopes(recording)} == topics
    for envelope, _ in _envelopes(recording):
        header, step = envelope.header, envelope.header.step
        assert {step.sender, header.receiver} == set(recording.parties)
        assert (step.run, header.mailbox) == (run.run, run.run)
        assert step.generation in (1, 2)
        assert step.epoch <= run.plan.epochs
        assert step.step < 10
        link = (step.sender, header.receiver, step.generation)
        assert header.sequence == following.get(link, 0)
        following[link] = header.sequence + 1
        for message in (envelope, header, step):
            assert len(UnknownFieldSet(message)) == 0


def test_only_what_a_message_declares_is_behind_it(recording: Recording):
    """Behind a tensor exactly its numbers, behind an envelope its seal, behind anything else nothing: no room to hide a
    row. At every role."""
    carriers = set()
    for role in recording.roles:
        for one in recording.received(role):
            tensors = [
                part for part in parts_of(one.message) if isinstance(part, common_pb2.Tensor | common_pb2.RingTensor)
            ]
            if isinstance(one.message, relay_pb2.RelayFrame) and one.message.HasField("envelope"):
                assert len(one.payload) > GCM_TAG_BYTES
            elif tensors:
                (tensor,) = tensors
                carriers.add(one.kind)
                ring = isinstance(tensor, common_pb2.RingTensor)
                assert ring or tensor.dtype == common_pb2.D_TYPE_FLOAT32
                size = tensor.ring_bits // 8 if ring else 4
                assert len(one.payload) == math.prod(tensor.shape) * size > 0, one.kind
            else:
                assert one.payload == b"", one.kind
    wanted = {"PartyFrame.share", "PartyFrame.head_gradient", "ServerFrame.cut_activation", "ServerFrame.cut_gradient"}
    assert carriers == wanted | ({"Correction"} if recording.run.plan.first_layer.protocol == "beaver" else set())


def _varint(value: int) -> bytes:
    """As protobuf writes a number."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def test_the_server_is_told_neither_columns_nor_order(recording: Recording):
    """No message to it, sealed ones aside, holds a column, a table, the label, the plan's hash or an epoch's seed; the
    network's seed is not the plan's, from which the order could be computed."""
    run = recording.run
    secrets = [name.encode() for party in recording.parties for name in rows_of(run, party).names]
    secrets += [b"breast_cancer", b"target", plan_hash(run.plan.message())]
    secrets += [_varint(batch_seed(run.plan.seed, epoch)) for epoch in range(1, run.plan.epochs + 1)]
    for one in recording.received(SERVER):
        assert not [secret for secret in secrets if secret in one.data], one.kind
    networks = [one.message.network for one in recording.received(SERVER, "PrepareStackRequest")]
    assert len(networks) == 2  # the run's, and the prediction's
    assert all(network.seed not in (0, run.plan.seed) for network in networks)
    for party in recording.parties:  # who are told most of it: the search would find it
        told = b"".join(one.data for one in recording.received(party) if one.kind.startswith("PartyOrder."))
        assert sum(secret in told for secret in secrets) > run.plan.epochs
