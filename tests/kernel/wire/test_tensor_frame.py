"""kernel.wire.tensor_frame: a message and the bytes behind it, whole, uncopied, or refused."""

import struct

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.errors import WireError
from kernel.wire.tensor_frame import (
    FRAME_LENGTH_BYTES,
    TENSOR_REQUESTS,
    TENSOR_RESPONSES,
    TensorFrame,
    pack_frame,
    require_bare,
    unpack_frame,
)
from protos.v1 import common_pb2, dealing_pb2, gan_training_pb2, relay_pb2, split_training_pb2

TEXT = st.text(max_size=40)
NUMBERS = st.integers(0, 2**32 - 1)
HEADERS = st.builds(
    common_pb2.StepHeader, run=TEXT, generation=NUMBERS, epoch=NUMBERS, step=NUMBERS, purpose=st.integers(0, 4), sender=TEXT
)  # fmt: skip
SHAPES = st.lists(st.integers(0, 2**64 - 1), max_size=5)
TENSORS = st.builds(common_pb2.Tensor, dtype=st.integers(0, 5), shape=SHAPES)
RINGS = st.builds(common_pb2.RingTensor, ring_bits=NUMBERS, fractional_bits=NUMBERS, shape=SHAPES)
MESSAGES = st.one_of(
    st.builds(split_training_pb2.PartyFrame, header=HEADERS, share=RINGS),
    st.builds(split_training_pb2.PartyFrame, header=HEADERS, head_gradient=TENSORS),
    st.builds(split_training_pb2.PartyFrame),
    st.builds(split_training_pb2.ServerFrame, header=HEADERS, cut_activation=TENSORS),
    st.builds(
        relay_pb2.RelayFrame,
        envelope=st.builds(
            relay_pb2.Envelope,
            header=st.builds(relay_pb2.EnvelopeHeader, step=HEADERS, receiver=TEXT, mailbox=TEXT, topic=TEXT),
        ),
    ),
    st.builds(
        relay_pb2.RelayFrame,
        introduction=st.builds(relay_pb2.Introduction, sender=TEXT, nonce=st.binary(max_size=300)),
    ),
    st.builds(dealing_pb2.Correction, header=HEADERS, words=RINGS),
)
PAYLOADS = st.binary(max_size=400)


@settings(deadline=None, max_examples=200)
@given(MESSAGES, PAYLOADS)
def test_any_message_and_any_payload_come_back(message, payload):
    found = unpack_frame(type(message).FromString, pack_frame(TensorFrame(message, payload)))
    assert found == TensorFrame(message, payload)
    assert bytes(found.payload) == payload


@settings(deadline=None)
@given(MESSAGES, PAYLOADS)
def test_the_wire_form_is_length_message_payload(message, payload):
    """As the protocol says it, spelled out."""
    head = message.SerializeToString()
    wanted = struct.pack("<I", len(head)) + head + payload
    assert pack_frame(TensorFrame(message, payload)) == wanted
    assert len(wanted) == FRAME_LENGTH_BYTES + message.ByteSize() + len(payload)


@settings(deadline=None, max_examples=50)
@given(MESSAGES, PAYLOADS, st.data())
def test_a_frame_cut_within_its_message_is_refused(message, payload, data):
    head = FRAME_LENGTH_BYTES + message.ByteSize()
    cut = pack_frame(TensorFrame(message, payload))[: data.draw(st.integers(0, head - 1))]
    with pytest.raises(WireError, match=f"a frame of {len(cut)} bytes is shorter than its message; run one version"):
        unpack_frame(type(message).FromString, cut)


@settings(deadline=None, max_examples=50)
@given(MESSAGES, PAYLOADS, st.data())
def test_a_length_beyond_the_end_is_refused(message, payload, data):
    packed = pack_frame(TensorFrame(message, payload))
    behind = len(packed) - FRAME_LENGTH_BYTES
    lie = data.draw(st.integers(behind + 1, 2**32 - 1))
    with pytest.raises(WireError, match=f"a frame of {len(packed)} bytes is shorter than its message"):
        unpack_frame(type(message).FromString, struct.pack("<I", lie) + packed[FRAME_LENGTH_BYTES:])


@settings(deadline=None, max_examples=200)
@given(MESSAGES, PAYLOADS, st.data())
def test_another_length_within_the_frame_gives_another_frame_or_a_refusal(message, payload, data):
    """It moves the boundary; nothing is read twice or left out, and nothing but WireError comes of it."""
    packed = pack_frame(TensorFrame(message, payload))
    lie = data.draw(st.integers(0, len(packed) - FRAME_LENGTH_BYTES))
    body = packed[FRAME_LENGTH_BYTES:]
    try:
        wanted = type(message).FromString(body[:lie])
    except DecodeError:
        with pytest.raises(WireError, match=f"the first {lie} bytes of a frame of {len(packed)} are no message"):
            unpack_frame(type(message).FromString, struct.pack("<I", lie) + body)
    else:
        found = unpack_frame(type(message).FromString, struct.pack("<I", lie) + body)
        assert found == TensorFrame(wanted, body[lie:])


def test_bytes_that_are_no_message_are_refused():
    with pytest.raises(WireError, match="the first 3 bytes of a frame of 9 are no message; run one version everywhere"):
        unpack_frame(relay_pb2.RelayFrame.FromString, b"\x03\x00\x00\x00\xff\xff\xffxy")


def test_an_error_quotes_no_byte_of_the_frame():
    secret = b"4711.5 of row 3"
    for data in (b"\xff\x00\x00\x00" + secret, bytes([len(secret), 0, 0, 0]) + secret):
        with pytest.raises(WireError) as caught:
            unpack_frame(common_pb2.Tensor.FromString, data)
        assert "4711" not in str(caught.value)


@pytest.mark.parametrize("payload", [b"", memoryview(b"")])
def test_an_empty_payload(payload):
    message = relay_pb2.RelayFrame(opened=relay_pb2.MailboxOpen())
    packed = pack_frame(TensorFrame(message, payload))
    assert packed == pack_frame(TensorFrame(message))
    found = unpack_frame(relay_pb2.RelayFrame.FromString, packed)
    assert found.message == message
    assert len(found.payload) == 0
    assert pack_frame(TensorFrame(relay_pb2.RelayFrame())) == bytes(FRAME_LENGTH_BYTES)


def test_the_payload_is_a_view_of_the_data():
    """The array a receiver makes of it lies in the very bytes gRPC delivered, and nobody can write there."""
    numbers = np.arange(40_000, dtype=np.float32)
    message = common_pb2.Tensor(dtype=common_pb2.D_TYPE_FLOAT32, shape=[40_000])
    data = pack_frame(TensorFrame(message, numbers.view(np.uint8).data))
    payload = unpack_frame(common_pb2.Tensor.FromString, data).payload
    assert isinstance(payload, memoryview)
    assert payload.obj is data
    assert payload.readonly
    found = np.frombuffer(payload, np.float32)
    assert np.shares_memory(found, np.frombuffer(data, np.uint8))
    assert np.array_equal(found, numbers)
    assert not found.flags.writeable


def test_a_frame_that_is_packed_already_stays_as_it_is():
    packed = pack_frame(TensorFrame(common_pb2.Tensor(shape=[3]), b"abc"))
    assert pack_frame(packed) is packed


def test_packing_takes_the_numbers_as_they_are_then():
    """A frame refers to its array until it is packed; afterwards the array may change."""
    numbers = np.zeros(4, np.uint8)
    frame = TensorFrame(common_pb2.Tensor(), numbers.data)
    numbers[0] = 1
    packed = pack_frame(frame)
    numbers[0] = 2
    assert packed[-4:] == b"\x01\x00\x00\x00"


def test_frames_travel_where_a_message_holds_a_tensor_or_a_seal():
    """From the protos: the streams whose request or response has a Tensor, a RingTensor or an Envelope inside."""
    carriers = {"Tensor", "RingTensor", "Envelope"}
    requests, responses = set(), set()
    for module in (dealing_pb2, gan_training_pb2, relay_pb2, split_training_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                name = f"/{service.full_name}/{method.name}"
                for kind, found in ((method.input_type, requests), (method.output_type, responses)):
                    if any(field.message_type and field.message_type.name in carriers for field in kind.fields):
                        found.add(name)
    assert (requests, responses) == (TENSOR_REQUESTS, TENSOR_RESPONSES)


def test_bytes_behind_a_message_that_names_none_are_refused():
    require_bare(TensorFrame(common_pb2.Tensor()), "a join")
    with pytest.raises(WireError, match="3 bytes follow a join, which has none"):
        require_bare(TensorFrame(common_pb2.Tensor(), b"abc"), "a join")
