"""party.daemon: an abort that overtakes the order it is about still ends it, at once."""

import queue
import threading

import pytest

from coordinator.certificate_authority import CertificateAuthority
from coordinator.plan import parse_plan
from kernel.wire.identity import Identity, Peer
from party.daemon import PartyDaemon
from party.settings import PartySettings
from protos.v1 import common_pb2, coordination_pb2

SECONDS = 10.0
PLAN = """
name = "p"
epochs = 1
batch_rows = 8
[network]
widths = [2]
activations = ["relu"]
[optimizer]
learning_rate = 0.1
[[parties]]
name = "ann"
table = "wine"
columns = ["alcohol"]
[[parties]]
name = "bob"
table = "wine"
columns = ["ash"]
label = "target"
"""


class Coordinator:
    """The end of the stream that the daemon reports to."""

    def __init__(self):
        self.reports = queue.Queue()
        self.send = self.reports.put


@pytest.fixture
def daemon(tmp_path):
    """Its neutral server and coordinator are not there: whoever waits for them waits a minute."""
    authority = CertificateAuthority.create()
    issued = authority.issue(Peer("party", "ann"))
    settings = PartySettings.model_validate(
        {
            "name": "ann",
            "coordinator": {"address": "127.0.0.1:1", "name": "coordinator"},
            "neutral_server": {"address": "127.0.0.1:1", "name": "neutral-server"},
            "state_directory": tmp_path,
            "tls": {"certificate": "x", "key": "x", "authority": "x"},
            "tables": {"wine": {"source": "builtin:wine"}},
            "policy": {"peers": {"bob": "sha256:" + "0" * 64}, "columns": {"wine": ["alcohol"]}},
        }
    )
    identity = Identity.from_pem(issued.certificate_pem, issued.key_pem, authority.certificate_pem)
    return PartyDaemon(settings, identity)


def prepare(generation):
    order = coordination_pb2.PartyOrder(order=generation, run="r", generation=generation)
    order.prepare.plan.CopyFrom(parse_plan(PLAN).message())
    return order


def abort(sentence):
    return coordination_pb2.PartyOrder(abort=coordination_pb2.Abort(sentence=sentence))


def test_an_abort_that_comes_before_the_order_was_begun(daemon):
    coordinator = Coordinator()
    daemon._take(coordinator, prepare(1))
    daemon._take(coordinator, abort("another role failed: bob: no"))
    threading.Thread(target=daemon._work, daemon=True).start()
    report = coordinator.reports.get(timeout=SECONDS)
    assert report.order == 1
    assert report.failed.sentence == "another role failed: bob: no"
    assert report.failed.reason == common_pb2.FAILURE_REASON_PEER
    assert report.failed.origin == "ann"


def test_the_next_order_is_not_ended_by_the_last_ones_abort(daemon):
    coordinator = Coordinator()
    daemon._take(coordinator, abort("another role failed: bob: no"))
    daemon._take(coordinator, prepare(1))
    threading.Thread(target=daemon._work, daemon=True).start()
    report = coordinator.reports.get(timeout=SECONDS)
    assert "the relay at the neutral server is not reachable" in report.failed.sentence  # it was begun
