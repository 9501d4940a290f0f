"""How a proto of ours reads: one package, a zero that means unset, typed fields, tensors behind their messages, and comments."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path.name for path in (ROOT / "protos" / "v1").glob("*.proto"))
Field = FieldDescriptorProto
NUMBERS = {
    number
    for name, number in Field.Type.items()
    if name not in ("TYPE_STRING", "TYPE_BYTES", "TYPE_MESSAGE", "TYPE_ENUM")
}
NO_TENSORS = {"NumberList", "Evaluated"}
"""Messages of a report: short lists of numbers that a person reads."""
BEHIND = {"Tensor": {"data"}, "RingTensor": {"data"}, "Envelope": {"sealed"}}
"""Messages whose bytes follow them on the wire -> the field that held these before."""


@cache
def described() -> dict[str, FileDescriptorProto]:
    """Name of a proto -> its descriptor, with comments."""
    with TemporaryDirectory() as directory:
        out = Path(directory) / "set"
        sources = [str(ROOT / "protos" / "v1" / name) for name in FILES]
        arguments = [f"-I{ROOT}", "--include_source_info", f"--descriptor_set_out={out}", *sources]
        # a process of its own: in one that has imported TensorFlow, which brings another protobuf, protoc crashes
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *arguments], check=True, timeout=60)
        return {Path(file.name).name: file for file in FileDescriptorSet.FromString(out.read_bytes()).file}


def comments(file):
    """(path of numbers) -> the comment before or behind it."""
    return {
        tuple(place.path): (place.leading_comments + place.trailing_comments).strip()
        for place in file.source_code_info.location
    }


def fields_of(file):
    """(message, field, comment on the field or, before it, on its message)."""
    said = comments(file)
    for number, message in enumerate(file.message_type):
        for place, field in enumerate(message.field):
            yield message, field, said.get((4, number, 2, place), "") or said.get((4, number), "")


@pytest.fixture(params=FILES)
def file(request):
    return described()[request.param]


def test_the_package_has_a_version_and_the_file_says_which_edge_it_is(file):
    assert file.package == "tertium.v1"
    assert file.syntax == "proto3"
    first = (ROOT / file.name).read_text().splitlines()[0]
    assert first.startswith("// ")
    assert len(first) > 30


def test_it_imports_only_its_neighbours(file):
    """No Any, no Struct, no Timestamp: what travels is typed and counted here."""
    assert all(name.startswith("protos/v1/") for name in file.dependency)


def test_every_enums_zero_means_unset(file):
    for enum in file.enum_type:
        zero = enum.value[0]
        words = "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in enum.name).strip("_")
        assert (zero.name, zero.number) == (f"{words}_UNSPECIFIED", 0)
        assert all(value.name.startswith(f"{words}_") for value in enum.value)


def test_numbers_in_bulk_are_no_field(file):
    """A repeated numeric field is ten to thirty times slower, a bytes field is copied at every turn (ADR 0014): tensors
    and seals travel behind their message. Shapes, widths and a report's lists are short."""
    for message, field, _ in fields_of(file):
        if field.label == Field.LABEL_REPEATED and field.type in (Field.TYPE_FLOAT, Field.TYPE_DOUBLE):
            assert message.name in NO_TENSORS, f"{message.name}.{field.name}"
    carriers = {message.name for message, field, _ in fields_of(file) if field.type == Field.TYPE_BYTES}
    for message, field, _ in fields_of(file):
        if message.name in carriers and field.label == Field.LABEL_REPEATED and field.type in NUMBERS:
            assert field.name in ("shape", "barriers"), f"{message.name}.{field.name}"
    for message in (message for message, _, _ in fields_of(file) if message.name in BEHIND):
        assert message.name not in carriers
        repeated = {field.name for field in message.field if field.label == Field.LABEL_REPEATED}
        assert repeated <= {"shape"}, message.name
        assert set(message.reserved_name) == BEHIND[message.name], message.name


def test_no_text_hides_a_document(file):
    """No JSON in strings; the one TOML is the plan as its author wrote it."""
    for message, field, _ in fields_of(file):
        if field.type == Field.TYPE_STRING:
            assert not field.name.endswith(("json", "data", "document"))
            assert "toml" not in field.name or (message.name, field.name) == ("SubmitRequest", "plan_toml")


def test_what_is_not_self_evident_is_said(file):
    """Tensors and bytes: shape, length or purpose. Numbers with a unit name it."""
    for message, field, comment in fields_of(file):
        tensor = field.type_name.endswith(("Tensor", "RingTensor"))
        if field.type == Field.TYPE_BYTES or tensor:
            assert comment, f"{message.name}.{field.name} says nothing"
        if field.name.endswith("time_ms"):
            assert comment or field.name == "unix_time_ms"
        assert not field.name.endswith(("_time", "_duration", "_size")), f"{message.name}.{field.name} has no unit"


def test_every_service_says_what_a_stranger_could_not_guess(file):
    """A comment on the service, on a method, or on the file that holds nothing else."""
    said = comments(file)
    for number, service in enumerate(file.service):
        places = [(6, number), *((6, number, 2, place) for place in range(len(service.method))), (12,), ()]
        assert any(said.get(place) for place in places), service.name


def test_what_was_removed_stays_reserved(file):
    """Field numbers of a message without a gap, or with the gap reserved, below ten (above: groups of a oneof)."""
    for message in file.message_type:
        used = {field.number for field in message.field}
        reserved = {number for one in message.reserved_range for number in range(one.start, one.end)}
        gaps = set(range(1, max((number for number in used if number < 10), default=0))) - used - reserved
        assert not gaps, f"{message.name} leaves out {sorted(gaps)}"
