"""kernel.wire.failures: an error crosses the wire with its exit code and sentence."""

import grpc
import pytest

from kernel import errors
from kernel.errors import BadInputError, PeerError, PolicyError, TertiumError
from kernel.wire.failures import METADATA_KEY, error_of, error_of_rpc, failure_of, status_of
from protos.v1 import common_pb2


def every_class(base=TertiumError):
    return [base, *(deeper for kind in base.__subclasses__() for deeper in every_class(kind))]


def test_the_tree_is_the_whole_module():
    in_module = {one for one in vars(errors).values() if isinstance(one, type)}
    assert in_module <= set(every_class())


@pytest.mark.parametrize("kind", every_class())
def test_every_class_keeps_exit_code_and_sentence(kind):
    failure = failure_of(kind("12 columns, wanted 11"), run="r", step=4, origin="bank")
    back = error_of(common_pb2.Failure.FromString(failure.SerializeToString()))
    assert back.exit_code == kind.exit_code
    assert issubclass(kind, type(back))
    assert str(back) == "12 columns, wanted 11"
    assert (failure.run, failure.step, failure.origin) == ("r", 4, "bank")
    assert failure.reason != common_pb2.FAILURE_REASON_UNSPECIFIED


def test_exit_codes_are_those_of_the_command_line():
    codes = {2: BadInputError, 3: PeerError, 4: TertiumError, 5: PolicyError}
    assert {kind.exit_code for kind in every_class()} == set(codes)
    for code, kind in codes.items():
        assert all(one.exit_code == code for one in every_class(kind) if kind is not TertiumError)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (BadInputError, grpc.StatusCode.INVALID_ARGUMENT),
        (errors.FixedPointError, grpc.StatusCode.INVALID_ARGUMENT),
        (errors.WireError, grpc.StatusCode.FAILED_PRECONDITION),
        (PolicyError, grpc.StatusCode.PERMISSION_DENIED),
        (TertiumError, grpc.StatusCode.INTERNAL),
    ],
)
def test_the_status_fits_the_class(kind, status):
    assert status_of(kind("x")) is status


def test_a_failure_of_a_newer_version_is_still_an_error():
    unknown = common_pb2.Failure(sentence="something new")
    unknown.reason = 99
    assert (type(error_of(unknown)), str(error_of(unknown))) == (TertiumError, "something new")
    assert "without saying why" in str(error_of(common_pb2.Failure()))


class Ended(grpc.RpcError):
    """What grpc raises when a call has ended."""

    def __init__(self, code, details="", metadata=()):
        self._end = code, details, metadata

    def code(self):
        return self._end[0]

    def details(self):
        return self._end[1]

    def trailing_metadata(self):
        return self._end[2]


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (grpc.StatusCode.DEADLINE_EXCEEDED, "did not answer in time"),
        (grpc.StatusCode.UNAVAILABLE, "is not reachable"),
        (grpc.StatusCode.CANCELLED, "was cancelled"),
        (grpc.StatusCode.UNIMPLEMENTED, "answered UNIMPLEMENTED: no such method"),
    ],
)
def test_a_broken_call_names_the_peer_and_what_to_do(code, sentence):
    error = error_of_rpc(Ended(code, "no such method"), "the dealer at 10.0.0.1:7443")
    assert type(error) is PeerError
    assert str(error).find("the dealer at 10.0.0.1:7443") >= 0
    assert sentence in str(error)


def test_the_typed_failure_goes_before_the_status():
    failure = failure_of(PolicyError("budget spent")).SerializeToString()
    error = error_of_rpc(Ended(grpc.StatusCode.UNAVAILABLE, "", (("x", "y"), (METADATA_KEY, failure))), "bank")
    assert (type(error), str(error)) == (PolicyError, "budget spent")


def test_an_error_without_any_detail_is_a_peer_error():
    assert type(error_of_rpc(grpc.RpcError(), "bank")) is PeerError
