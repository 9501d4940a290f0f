"""coordinator.event_message: a line of events.jsonl goes over the wire and is the same line again."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.event_message import decode_event, encode_event
from kernel.errors import WireError
from protos.v1 import operation_pb2

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = TEXT.filter(lambda name: name not in ("time", "event"))
FLOATS = st.floats(allow_nan=False)
VALUES = st.recursive(
    st.one_of(TEXT, FLOATS, st.integers(-(2**63), 2**63 - 1), st.lists(FLOATS, max_size=4)),
    lambda inner: st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
EVENTS = st.fixed_dictionaries({"time": TEXT, "event": TEXT}).flatmap(
    lambda fixed: st.dictionaries(NAMES, VALUES, max_size=5).map(lambda fields: {**fixed, **fields})
)


@given(EVENTS, st.integers(0, 2**64 - 1))
def test_an_event_comes_back_from_its_bytes(event, number):
    data = encode_event(number, event).SerializeToString()
    message = operation_pb2.Event.FromString(data)
    assert message.number == number
    assert decode_event(message) == event


@given(EVENTS)
def test_types_come_back_too(event):
    """1 stays a count and 1.0 a number: the JSON is the same text."""
    assert json.dumps(decode_event(encode_event(0, event)), sort_keys=True) == json.dumps(event, sort_keys=True)


def test_a_list_of_counts_becomes_one_of_numbers():
    event = {"time": "t", "event": "e", "counts": [1, 2]}
    assert decode_event(encode_event(0, event))["counts"] == [1.0, 2.0]


@pytest.mark.parametrize("value", [None, b"bytes", {1, 2}, (1.0, 2.0), object()])
def test_what_no_field_can_carry_is_refused_by_name_and_type(value):
    with pytest.raises(WireError) as caught:
        encode_event(0, {"time": "t", "event": "e", "odd": value})
    assert f"event field 'odd' is a {type(value).__name__}" in str(caught.value)


def test_a_field_of_a_kind_unknown_here_is_refused_by_name():
    message = operation_pb2.Event(time="t", name="e", fields=[operation_pb2.EventField(name="new")])
    with pytest.raises(WireError, match="event field 'new' carries no value known here; run one version everywhere"):
        decode_event(message)


def test_a_list_of_maps_comes_back():
    groups = [{"classes": [0.0, 1.0], "steps": {"a": 3}}, {}]
    event = {"time": "t", "event": "schedule", "groups": groups, "none": []}
    assert decode_event(encode_event(0, event)) == event


def test_a_list_of_maps_and_numbers_is_refused():
    with pytest.raises((WireError, TypeError)):
        encode_event(0, {"time": "t", "event": "e", "odd": [{}, 1.0]})
