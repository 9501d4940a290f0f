"""Events over the wire: a line of events.jsonl as a typed message, and back."""

from typing import Any

from coordinator.run_store import Event
from kernel.errors import WireError
from protos.v1 import operation_pb2


def encode_event(number: int, event: Event) -> operation_pb2.Event:
    """Raises WireError for a value no field can carry."""
    fields = [_encode(name, value) for name, value in event.items() if name not in ("time", "event")]
    return operation_pb2.Event(number=number, time=event["time"], name=event["event"], fields=fields)


def decode_event(message: operation_pb2.Event) -> Event:
    """Raises WireError for a field without a value."""
    return {"time": message.time, "event": message.name, **_decode_fields(message.fields)}


def _encode(name: str, value: Any) -> operation_pb2.EventField:
    if isinstance(value, str):
        return operation_pb2.EventField(name=name, text=value)
    if isinstance(value, int):
        return operation_pb2.EventField(name=name, count=value)
    if isinstance(value, float):
        return operation_pb2.EventField(name=name, number=value)
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        return operation_pb2.EventField(name=name, maps=operation_pb2.MapList(values=[_map(one) for one in value]))
    if isinstance(value, list):
        return operation_pb2.EventField(name=name, numbers=operation_pb2.NumberList(values=value))
    if isinstance(value, dict):
        return operation_pb2.EventField(name=name, map=_map(value))
    raise WireError(
        f"event field {name!r} is a {type(value).__name__}; text, numbers, maps, and lists of numbers or of maps travel"
    )


def _map(value: dict[str, Any]) -> operation_pb2.FieldMap:
    return operation_pb2.FieldMap(fields=[_encode(key, one) for key, one in value.items()])


def _decode_fields(fields: Any) -> dict[str, Any]:
    decoded: dict[str, Any] = {}
    for field in fields:
        kind = field.WhichOneof("value")
        if kind == "numbers":
            decoded[field.name] = list(field.numbers.values)
        elif kind == "maps":
            decoded[field.name] = [_decode_fields(one.fields) for one in field.maps.values]
        elif kind == "map":
            decoded[field.name] = _decode_fields(field.map.fields)
        elif kind is None:
            raise WireError(f"event field {field.name!r} carries no value known here; run one version everywhere")
        else:
            decoded[field.name] = getattr(field, kind)
    return decoded
