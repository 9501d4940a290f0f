"""Peers that are not there, are not who they say, or leave: exit code 3, the name of the one, and what to do."""

import contextlib
import signal
import time
from contextlib import ExitStack, closing
from pathlib import Path

import grpc
import pytest
from command_line import STOP_SECONDS, outcome_of, start, stop, wait_until
from hand_made_federation import ATTEND_SECONDS, identity_of, make_certificates, plan_document, write_toml
from local_runs import follow
from shelf_of_tables import people, section, write_csv

from coordinator.cli.operator_client import OperatorClient
from coordinator.local.federation import LocalFederation
from coordinator.local.links.placement import free_port
from coordinator.plan import parse_plan
from kernel.errors import BadInputError, PeerError
from kernel.version import VERSION
from kernel.wire.channel import dial
from kernel.wire.failures import error_of_rpc
from kernel.wire.meter import LinkMeter, MeteredChannel
from kernel.wire.tensor_frame import TensorFrame
from protos.v1 import (
    common_pb2,
    coordination_pb2,
    coordination_pb2_grpc,
    relay_pb2,
    relay_pb2_grpc,
    split_training_pb2,
    split_training_pb2_grpc,
)

CALL_SECONDS = 20.0


@pytest.mark.e2e
def test_a_coordinator_that_cannot_be_reached(federation, tmp_path):
    """Three operators wait side by side for the ten seconds that a coordinator may take."""
    foreign = tmp_path / "foreign"
    make_certificates(foreign)
    plan = federation.write_plan(("ann", "people"), ("bob", "people"))
    nobody = f"127.0.0.1:{free_port()}"
    cases = {
        "nobody": (nobody, federation.certs),
        "foreign": (federation.coordinator, foreign),
        "no port": ("127.0.0.1", federation.certs),
        "another role": (federation.neutral_server, federation.certs),
    }
    runs = federation.runs()
    with ExitStack() as stack:
        processes = {}
        for name, (address, certs) in cases.items():
            arguments = ("run", plan, "--coordinator", address, "--certs", certs)
            processes[name] = start(*arguments, cwd=tmp_path)
            stack.callback(stop, {name: processes[name]})
        found = {name: outcome_of(process) for name, process in processes.items()}
    found["nobody"].refused(3, f"at {nobody}: nobody listens there", "start that daemon, or correct the address")
    found["foreign"].refused(3, "its certificate is not good", "was not issued by this authority", "one authority")
    found["no port"].refused(2, "at 127.0.0.1: not a host:port", "write the address as host:port")
    found["another role"].refused(3, "its certificate is for neutral-server 'neutral-server'", "correct the address")
    assert federation.runs() == runs
    assert not (tmp_path / "runs").exists()


@pytest.mark.e2e
def test_a_party_that_does_not_come(federation):
    outcome = federation.run(("ann", "people"), ("zoe", "people"))
    outcome.refused(
        3,
        f"zoe did not attend within {ATTEND_SECONDS:g} s; start the daemon(s), and run `tertium doctor` with their config",
        f"resume with `tertium run --resume {federation.runs()[-1]}`",
    )


@pytest.mark.e2e
@pytest.mark.parametrize("run", ["unheard-of", "../runs/x", ".hidden", "x" * 81])
@pytest.mark.parametrize("act", [lambda client, run: client.predict(run, "people"), OperatorClient.resume])
def test_a_run_that_does_not_exist(act, run, federation):
    with closing(federation.client()) as client, pytest.raises(BadInputError) as caught:
        act(client, run)
    assert ("there is no run 'unheard-of' here" if run == "unheard-of" else "a run id is 1 to 80") in str(caught.value)


@pytest.mark.e2e
def test_the_command_says_so_of_a_run_that_does_not_exist(federation):
    federation.tertium("predict", "unheard-of", "people").refused(2, "there is no run 'unheard-of' here")
    federation.tertium("run", "--resume", "../x").refused(2, "a run id is 1 to 80 letters, digits")


@pytest.mark.e2e
def test_a_local_run_that_does_not_exist(command_here):
    command_here("run", "--resume", "unheard-of", "--local").refused(2, "unheard-of")
    command_here("predict", "unheard-of", "people", "--local").refused(2, "there is no run 'unheard-of' here")


# --- names that are not the certificate's, against the running daemons ----------------------------------------------


@pytest.fixture
def channel(federation):
    """``channel(name, "coordinator" | "neutral-server")``: dialled with the certificate of a party."""
    with ExitStack() as stack:

        def connected(name, role):
            address = federation.coordinator if role == "coordinator" else federation.neutral_server
            dialled = stack.enter_context(dial(address, identity_of(federation.certs, name), role))
            return MeteredChannel(dialled, name, role, LinkMeter())

        yield connected


def refusal(call):
    """The error a stream ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        for _ in call:
            pass
    return error_of_rpc(caught.value, "it")


@pytest.mark.e2e
def test_a_hello_in_anothers_name(channel, federation):
    stub = coordination_pb2_grpc.CoordinationStub(channel("ann", "coordinator"))
    hello = coordination_pb2.Hello(name="bob", version=VERSION)
    error = refusal(stub.Attend(iter([coordination_pb2.PartyReport(hello=hello)]), timeout=CALL_SECONDS))
    assert isinstance(error, PeerError)
    assert str(error) == "'bob' attends with the certificate of 'ann'; name and certificate must agree"


@pytest.mark.e2e
def test_a_second_process_with_the_same_certificate(channel):
    stub = coordination_pb2_grpc.CoordinationStub(channel("ann", "coordinator"))
    hello = coordination_pb2.Hello(name="ann", version=VERSION)
    error = refusal(stub.Attend(iter([coordination_pb2.PartyReport(hello=hello)]), timeout=CALL_SECONDS))
    assert "'ann' attends already; stop the other process with this certificate" in str(error)


@pytest.mark.e2e
def test_a_hello_of_another_version(channel):
    stub = coordination_pb2_grpc.CoordinationStub(channel("ann", "coordinator"))
    hello = coordination_pb2.Hello(name="ann", version="0.0.1")
    error = refusal(stub.Attend(iter([coordination_pb2.PartyReport(hello=hello)]), timeout=CALL_SECONDS))
    assert "'ann' runs version 0.0.1" in str(error)
    assert "run one version everywhere" in str(error)


@pytest.mark.e2e
def test_another_role_does_not_attend(channel):
    stub = coordination_pb2_grpc.CoordinationStub(channel("operator", "coordinator"))
    error = refusal(stub.Attend(iter([coordination_pb2.PartyReport()]), timeout=CALL_SECONDS))
    assert str(error) == "'operator' calls as operator; this call is for party"


@pytest.mark.e2e
def test_a_tensor_stream_in_anothers_name(channel):
    stub = split_training_pb2_grpc.SplitTrainingStub(channel("ann", "neutral-server"))
    header = common_pb2.StepHeader(run="r", generation=1, sender="bob")
    join = split_training_pb2.PartyFrame(header=header, join=split_training_pb2.JoinTraining())
    error = refusal(stub.Train(iter([TensorFrame(join)]), timeout=CALL_SECONDS))
    assert "the first frame of 'ann' must be a join in its own name" in str(error)


@pytest.mark.e2e
def test_a_tensor_stream_for_a_run_that_is_not_live(channel):
    stub = split_training_pb2_grpc.SplitTrainingStub(channel("ann", "neutral-server"))
    header = common_pb2.StepHeader(run="unheard-of", generation=1, sender="ann")
    join = split_training_pb2.PartyFrame(header=header, join=split_training_pb2.JoinTraining())
    error = refusal(stub.Train(iter([TensorFrame(join)]), timeout=CALL_SECONDS))
    assert "run 'unheard-of' generation 1 is not live at the neutral server" in str(error)


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("/tertium.v1.Relay/Exchange", relay_pb2.RelayFrame(open=relay_pb2.OpenMailbox(mailbox="lobby"))),
        ("/tertium.v1.SplitTraining/Train", split_training_pb2.PartyFrame(join=split_training_pb2.JoinTraining())),
    ],
    ids=["relay", "tensor stream"],
)
def test_a_party_of_a_version_before_frames(method, message, federation):
    """Its streams carry bare messages; it is told to run one version, not that something is broken."""
    with dial(federation.neutral_server, identity_of(federation.certs, "ann"), "neutral-server") as channel:
        call = channel.stream_stream(method)(iter([message.SerializeToString()]), timeout=CALL_SECONDS)
        error = refusal(call)
    assert (type(error), error.exit_code) == (PeerError, 3)
    assert "is shorter than its message; run one version everywhere" in str(error)


@pytest.mark.e2e
@pytest.mark.parametrize("kind", ["introduction", "envelope"])
def test_a_sealed_message_in_anothers_name(kind, channel):
    stub = relay_pb2_grpc.RelayStub(channel("ann", "neutral-server"))
    opened = relay_pb2.RelayFrame(open=relay_pb2.OpenMailbox(mailbox="doctor-trial"))
    if kind == "introduction":
        forged = relay_pb2.RelayFrame(
            introduction=relay_pb2.Introduction(sender="cat", receiver="bob", mailbox="lobby")
        )
    else:
        header = relay_pb2.EnvelopeHeader(step=common_pb2.StepHeader(sender="cat"), receiver="bob", mailbox="lobby")
        forged = relay_pb2.RelayFrame(envelope=relay_pb2.Envelope(header=header))
    frames = [TensorFrame(opened), TensorFrame(forged, b"x" if kind == "envelope" else b"")]
    error = refusal(stub.Exchange(iter(frames), timeout=CALL_SECONDS))
    assert str(error) == "'ann' sent a frame in the name of 'cat'"


@pytest.mark.e2e
def test_the_federation_goes_on_after_all_of_these(federation, trained):
    with closing(federation.client()) as client:
        assert list(client.status().attending) == ["ann", "bob", "cat"]
        _, first = client.predict(trained, "people")
        *_, last = follow(client, trained, first)
    assert last["event"] == "predicted"


# --- leaving ---------------------------------------------------------------------------------------------------------


@pytest.mark.e2e
def test_sigterm_in_the_middle_of_a_run_stops_each_daemon_and_pauses_the_run(tmp_path):
    """A party, then the neutral server, then the coordinator, each while the run goes on."""
    source = write_csv(tmp_path / "rows.csv", people())
    document = plan_document(
        ("ann", "rows"),
        ("bob", "rows"),
        epochs=100_000,
        barrier_every_epochs=10,
        batch_rows=30,
        local={"tables": {"rows": section(source)}},
    )
    plan = write_toml(tmp_path / "trial.toml", document)
    text = plan.read_text()
    with LocalFederation(tmp_path / "runs" / "trial", parse_plan(text)) as federation:
        client = federation.client

        def until_trained(run, first):
            *_, last = follow(client, run, first, until=lambda event: event["event"] == "barrier" and event["barrier"])
            assert last["event"] == "barrier", last

        def after(first):
            *_, last = follow(client, "trial", first)
            return last

        _, first = client.submit(text, "trial")
        until_trained("trial", first)
        assert sigterm(federation, "ann") < STOP_SECONDS
        paused = after(first)
        assert (paused["event"], paused["reason"]) == ("paused", "FAILURE_REASON_PEER")
        assert "'ann'" in paused["sentence"]
        assert "resume with `tertium run --resume trial`" in paused["sentence"]

        federation.start_role("ann")
        _, first = client.resume("trial")  # waits until ann attends again
        until_trained("trial", first)
        assert sigterm(federation, "neutral-server") < STOP_SECONDS
        paused = after(first)
        assert (paused["event"], paused["reason"]) == ("paused", "FAILURE_REASON_PEER")
        assert "neutral server" in paused["sentence"]

        for role in ("coordinator", "bob"):
            assert sigterm(federation, role) < STOP_SECONDS


def sigterm(federation, role):
    """Seconds until the daemon is gone with exit code 0."""
    process = federation._children[role]
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=2 * STOP_SECONDS) == 0
    return time.monotonic() - started


def processes_below(directory):
    """Ids of processes whose command line names a file below the directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if bytes(directory) in path.read_bytes():
                found.append(int(path.parent.name))
    return found


@pytest.mark.e2e
def test_a_local_run_that_is_ended_takes_its_roles_with_it(spawn, tmp_path):
    source = write_csv(tmp_path / "rows.csv", people())
    document = plan_document(("ann", "rows"), ("bob", "rows"), local={"tables": {"rows": section(source)}})
    process = spawn("run", write_toml(tmp_path / "trial.toml", document), "--local", "--runs", tmp_path / "runs")
    runs = tmp_path / "runs"
    wait_until(lambda: [log for log in runs.glob("*/roles/bob/log") if b"attending" in log.read_bytes()], "roles")
    assert len(processes_below(runs)) == 5  # four roles and the command
    process.terminate()
    outcome = outcome_of(process, 4 * STOP_SECONDS)
    outcome.refused(130, "interrupted")
    assert processes_below(runs) == []


@pytest.mark.e2e
def test_sigterm_before_anything_has_happened(federation, tmp_path):
    """Fresh daemons: the neutral server is still importing TensorFlow, the party looks for its coordinator."""
    server, coordinator = (f"127.0.0.1:{free_port()}" for _ in range(2))
    starting = {}
    for role, name, changes in (
        ("neutral-server", "neutral-server", {"listen": server}),
        ("coordinator", "coordinator", {"listen": coordinator, "neutral_server": {"address": server}}),
        ("party", "ann", {"coordinator": {"address": f"127.0.0.1:{free_port()}", "name": "coordinator"}}),
    ):
        document = {**federation.documents[name], **changes}
        config = write_toml(tmp_path / name / "config.toml", document)
        starting[name] = (
            start(role, "serve", config, cwd=tmp_path, log=tmp_path / name / "log"),
            tmp_path / name / "log",
        )
    processes = {name: process for name, (process, _) in starting.items()}
    try:
        for name, (_, log) in starting.items():
            wait_until(lambda log=log: b"[info" in log.read_bytes(), f"first line of {name}")
        took = stop(processes)
    finally:
        stop(processes)
    assert {name: process.returncode for name, process in processes.items()} == dict.fromkeys(processes, 0)
    assert max(took.values()) < STOP_SECONDS
