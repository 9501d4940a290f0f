"""`tertium doctor` beside a running federation: all well, and one thing wrong at a time, each with what to do.

The doctor is given a changed copy of a role's config; the daemons go on with their own.
"""

import os
import shutil
import socket
import threading
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import tomli_w
from command_line import tertium, tertium_here, wait_until
from local_runs import part, plan_toml

from coordinator.certificate_authority import CertificateAuthority, write_issued
from coordinator.local.federation import LocalFederation
from coordinator.local.links.placement import free_port
from coordinator.plan import parse_plan
from kernel.wire.identity import Peer

pytestmark = pytest.mark.e2e
ROWS = 20
SCHEMA = {"age": {"type": "real", "low": 0, "high": 130}, "ill": {"type": "boolean"}}


def table(path, ids):
    path.write_text("id,age,ill\n" + "".join(f"{one},{20 + place},{place % 2}\n" for place, one in enumerate(ids)))
    return {"source": str(path), "id": "id", "columns": SCHEMA}


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    """ann and bob with the same table; started once, every test leaves it running."""
    directory = tmp_path_factory.mktemp("doctor")
    ids = [f"p{number:02d}" for number in range(ROWS)]
    tables = {"people": table(directory / "people.csv", ids)}
    parties = [part("ann", "people", "age"), part("bob", "people", "age", label="ill")]
    plan = parse_plan(plan_toml("doctor", parties, tables=tables))
    with LocalFederation(directory / "runs" / "doctor", plan) as running:
        yield running


@pytest.fixture
def doctor(federation, capfd):
    """``doctor(role, change)``: on a copy, beside it, of the role's config after ``change(document)``."""
    copies = []

    def examined(role, change=lambda document: None):
        config = federation.roles / role / "config.toml"
        document = tomllib.loads(config.read_text())
        change(document)
        copies.append(config.with_name("changed.toml"))
        copies[-1].write_text(tomli_w.dumps(document))
        return tertium_here(capfd, "doctor", copies[-1])

    yield examined
    for copy in copies:
        copy.unlink(missing_ok=True)


def failures(outcome):
    """(what, advice) of every FAIL; the advice stands on the next line."""
    lines = outcome.out.splitlines()
    return [
        (line.removeprefix("FAIL "), lines[place + 1].strip().removeprefix("→ "))
        for place, line in enumerate(lines)
        if line.startswith("FAIL ")
    ]


def only_failure(outcome, code):
    assert outcome.code == code, outcome
    assert not outcome.err, outcome
    (found,) = failures(outcome)
    assert found[1], found  # there is always something to do
    assert outcome.out.splitlines()[-1] == "1 problem(s); start with the first"
    return found


# --- all well -----------------------------------------------------------------------------------------------------------


def test_a_party_in_a_running_federation(federation):
    """As a process, as its user runs it."""
    outcome = tertium("doctor", federation.party_config("ann"), cwd=federation.roles)
    assert outcome.code == 0, outcome
    assert not failures(outcome)
    lines = outcome.out.splitlines()
    assert lines[0] == "doctor for party 'ann'"
    assert lines[-1] == "all well"
    for said in (
        "config and certificate: party 'ann'",
        "state directory",
        "table 'people': 20 rows",
        "coordinator 'coordinator' at 127.0.0.1:",
        "attending the coordinator: ann, bob",
        "the coordinator reaches the neutral server",
        "neutral-server 'neutral-server' at 127.0.0.1:",
        "peer 'bob' through the relay: reachable, its certificate is the pinned one, and it pins this one",
        "table 'people' with 'bob': 20 rows on both sides, order hashes agree",
    ):
        assert any(line.startswith("ok ") and said in line for line in lines), f"{said} not in {outcome.out}"


@pytest.mark.parametrize("role", ["coordinator", "neutral-server"])
def test_a_listening_role(role, doctor):
    outcome = doctor(role)
    assert outcome.code == 0, outcome
    assert outcome.out.splitlines()[0] == f"doctor for {role} '{role}'"
    assert outcome.out.splitlines()[-1] == "all well"


def test_it_may_be_asked_again_and_leaves_nothing(federation, doctor):
    before = {path for path in federation.roles.rglob("*") if path.name != "changed.toml"}
    for _ in range(2):
        assert doctor("bob").code == 0
    assert {path for path in federation.roles.rglob("*") if path.name != "changed.toml"} == before


# --- one thing wrong at a party ---------------------------------------------------------------------------------------


def test_a_wrong_pin(doctor):
    def change(document):
        document["policy"]["peers"]["bob"] = "sha256:" + "0" * 64

    what, advice = only_failure(doctor("ann", change), 3)
    assert what.startswith("peer 'bob' through the relay: 'bob' shows a certificate with fingerprint sha256:")
    assert "the policy pins sha256:000000000000" in what
    assert advice == "compare fingerprints with 'bob' over another channel"


def test_a_peer_that_has_never_been(doctor):
    def change(document):
        document["policy"]["peers"] = {"zoe": "sha256:" + "0" * 64}

    what, _ = only_failure(doctor("ann", change), 3)
    assert what.startswith("peer 'zoe' through the relay: ")
    assert "start `tertium party serve` at 'zoe'" in what


@pytest.mark.parametrize("section", ["coordinator", "neutral_server"])
def test_a_wrong_address(section, doctor):
    address = f"127.0.0.1:{free_port()}"

    def change(document):
        document[section]["address"] = address

    what, advice = only_failure(doctor("ann", change), 3)
    role = section.replace("_", "-")
    assert what == f"{role} '{role}' at {address}: nobody listens there"
    assert advice == "start that daemon, or correct the address"


def test_addresses_that_were_swapped(doctor):
    def change(document):
        first, second = document["coordinator"], document["neutral_server"]
        first["address"], second["address"] = second["address"], first["address"]

    outcome = doctor("ann", change)
    assert outcome.code == 3
    (first, advice), (second, _) = failures(outcome)
    assert first.startswith("coordinator 'coordinator' at ")
    assert first.endswith("its certificate is for neutral-server 'neutral-server'")
    assert second.endswith("its certificate is for coordinator 'coordinator'")
    assert advice == "correct the address or the name in this config"


@pytest.mark.parametrize(
    ("address", "sentence", "code"),
    [
        ("127.0.0.1", "not a host:port", 2),
        ("coordinator.invalid:7442", "the host name is not known here", 3),
    ],
)
def test_an_address_that_is_none(address, sentence, code, doctor):
    def change(document):
        document["coordinator"]["address"] = address

    what, _ = only_failure(doctor("ann", change), code)
    assert what == f"coordinator 'coordinator' at {address}: {sentence}"


def test_an_expired_certificate(federation, doctor):
    certs = federation.roles / "certs"
    past = datetime.now(UTC) - timedelta(days=2)
    issued = CertificateAuthority.load(certs).issue(
        Peer("party", "ann"), valid_from=past - timedelta(days=9), valid_until=past
    )
    write_issued(certs.with_name("expired"), "ann", issued)

    def change(document):
        document["tls"] |= {"certificate": "../expired/ann.pem", "key": "../expired/ann.key"}

    what, advice = only_failure(doctor("ann", change), 3)
    assert what.startswith("the certificate of 'ann' expired on ")
    assert "issue a new one with `tertium certs init`" in what
    assert advice == "mend this first"


def rows_of(ids):
    def change(document):
        path = Path(document["tables"]["people"]["source"]).with_name("changed.csv")
        document["tables"]["people"] |= table(path, ids)

    return change


DIFFERENT_ROWS = {
    "fewer": ([f"p{number:02d}" for number in range(ROWS - 3)], "17 rows here, 20 there", "same ids"),
    "others": (
        [f"q{number:02d}" for number in range(ROWS)],
        "20 rows on both sides, order hashes differ",
        "id columns",
    ),
}


@pytest.mark.parametrize(("ids", "sentence", "remedy"), DIFFERENT_ROWS.values(), ids=DIFFERENT_ROWS)
def test_different_rows_at_the_peer(ids, sentence, remedy, doctor):
    what, advice = only_failure(doctor("ann", rows_of(ids)), 2)
    assert what == f"table 'people' with 'bob': {sentence}"
    assert remedy in advice


def test_the_same_rows_in_another_order_are_sorted_and_well(doctor):
    ids = [f"p{number:02d}" for number in reversed(range(ROWS))]
    assert doctor("ann", rows_of(ids)).code == 0


def test_the_same_rows_in_another_order_kept_as_filed_are_not(doctor):
    def change(document):
        rows_of([f"p{number:02d}" for number in reversed(range(ROWS))])(document)
        document["tables"]["people"]["align"] = "file_order"

    what, advice = only_failure(doctor("ann", change), 2)
    assert what.endswith("order hashes differ")
    assert 'set align = "sort"' in advice


def test_parties_of_gans_may_have_rows_of_their_own(doctor):
    def change(document):
        rows_of([f"p{number:02d}" for number in range(ROWS - 3)])(document)
        document["policy"] |= {"job_kinds": ["privgan"], "synthetic_rows": ["people"]}

    outcome = doctor("ann", change)
    assert outcome.code == 0, outcome
    assert (
        "TensorFlow for GANs: installed; the policy accepts plans that send out synthetic rows of tables people"
        in outcome.out
    )
    assert "peer 'bob' through the relay: reachable" in outcome.out
    assert "table 'people' with 'bob'" not in outcome.out


def test_a_table_that_cannot_be_read(doctor):
    def change(document):
        document["tables"]["people"]["source"] = "nowhere.csv"

    what, advice = only_failure(doctor("ann", change), 2)
    assert what.startswith("table 'people': There is no file ")
    assert advice == "correct the table's source."


def test_a_bad_cell_is_placed_and_not_shown(doctor):
    def change(document):
        rows_of([f"p{number:02d}" for number in range(ROWS)])(document)
        path = Path(document["tables"]["people"]["source"])
        path.write_text(path.read_text().replace("p04,24,", "p04,4711.0815,"))

    outcome = doctor("ann", change)
    what, _ = only_failure(outcome, 2)
    assert 'row 5, column "age": found a value above the range' in what
    assert "4711.0815" not in outcome.out


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_state_directory_that_is_not_ours(doctor, tmp_path):
    tmp_path.chmod(0o500)

    def change(document):
        document["state_directory"] = str(tmp_path / "state")

    what, advice = only_failure(doctor("ann", change), 2)
    assert "state directory" in what
    assert advice == "make it writable for this user"


def test_a_state_directory_that_is_a_file(doctor, tmp_path):
    (tmp_path / "state").write_text("")

    def change(document):
        document["state_directory"] = str(tmp_path / "state")

    what, advice = only_failure(doctor("ann", change), 2)
    assert "state directory" in what
    assert advice == "make it writable for this user"


def test_several_things_at_once_come_in_the_order_in_which_to_mend_them(doctor):
    def change(document):
        document["tables"]["people"]["source"] = "nowhere.csv"
        document["neutral_server"]["address"] = f"127.0.0.1:{free_port()}"

    outcome = doctor("ann", change)
    assert [what.split(" ")[0] for what, _ in failures(outcome)] == ["table", "neutral-server"]
    assert outcome.code == 2  # of the first
    assert outcome.out.splitlines()[-1] == "2 problem(s); start with the first"


# --- listening roles ----------------------------------------------------------------------------------------------------


def test_a_coordinator_that_looks_for_its_server_in_the_wrong_place(doctor):
    address = f"127.0.0.1:{free_port()}"

    def change(document):
        document["neutral_server"]["address"] = address

    what, _ = only_failure(doctor("coordinator", change), 3)
    assert what == f"neutral-server 'neutral-server' at {address}: nobody listens there"


@pytest.mark.parametrize("role", ["coordinator", "neutral-server"])
def test_a_listening_role_that_does_not_run(role, doctor):
    port = free_port()

    def change(document):
        document["listen"] = f"0.0.0.0:{port}"

    what, advice = only_failure(doctor(role, change), 3)
    assert what == f"{role} '{role}' at 127.0.0.1:{port}: nobody listens there"
    assert advice == "start that daemon, or correct the address"


def test_a_port_of_another_program(doctor):
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer():
            connection, _ = other.accept()
            with connection:
                connection.sendall(b"220 mail.example ESMTP\r\n")
                connection.recv(4096)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()

        def change(document):
            document["coordinator"]["address"] = f"127.0.0.1:{other.getsockname()[1]}"

        what, advice = only_failure(doctor("ann", change), 3)
        thread.join(10)
    assert what.endswith("something listens, but it does not speak TLS")
    assert advice == "is that port another program's?"


def test_a_config_that_is_none(capfd, tmp_path):
    tertium_here(capfd, "doctor", tmp_path / "nowhere.toml").refused(2, "cannot read ")
    (tmp_path / "x.toml").write_text("listen = ")
    tertium_here(capfd, "doctor", tmp_path / "x.toml").refused(2, "is not valid TOML")


# --- a stopped peer (last: it stops one, and starts it again) -------------------------------------------------------------


def test_a_stopped_peer(federation, doctor):
    federation.kill_role("bob")
    wait_until(lambda: "bob" not in federation.client.status().attending, "bob leaving")
    try:
        outcome = doctor("ann")
        (what, advice) = only_failure(outcome, 3)
        assert "peer 'bob' through the relay: its daemon does not hold the relay's stream" in what
        assert "start `tertium party serve` at 'bob'" in what
        assert advice
        mine, _ = failures(doctor("bob"))[0]
        assert mine == "attending the coordinator: ann"
        assert "('bob' does not attend)" in failures(doctor("bob"))[0][1]
    finally:
        federation.start_role("bob")
        wait_until(lambda: "bob" in federation.client.status().attending, "bob attending")
    shutil.rmtree(federation.roles / "expired", ignore_errors=True)
