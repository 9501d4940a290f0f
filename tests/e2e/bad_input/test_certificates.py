"""Certificates that cannot be: the daemon says which file is wrong and what to do, before it dials anybody."""

from datetime import UTC, datetime, timedelta

import pytest
from hand_made_federation import coordinator_config, make_certificates, party_config, server_config, tls, write_toml

from coordinator.certificate_authority import write_issued
from kernel.wire.identity import Peer

ANN = Peer("party", "ann")


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    """A directory of right certificates and, by name, wrong ones; ``foreign/`` is another authority's."""
    directory = tmp_path_factory.mktemp("certs")
    authority = make_certificates(directory, "ann", "bob")
    make_certificates(directory / "foreign", "ann", "bob")
    now = datetime.now(UTC)
    week = timedelta(days=7)
    write_issued(directory, "expired", authority.issue(ANN, valid_from=now - 2 * week, valid_until=now - week))
    write_issued(directory, "early", authority.issue(ANN, valid_from=now + week, valid_until=now + 2 * week))
    operator = Peer("operator", "operator")
    (directory / "stale").mkdir()
    (directory / "stale" / "authority.pem").write_bytes(authority.certificate_pem)
    stale = authority.issue(operator, valid_from=now - 2 * week, valid_until=now - week)
    write_issued(directory / "stale", "operator", stale)
    (directory / "rubbish.pem").write_text("not a certificate\n")
    return directory


WRONG = {
    "another authority's": (
        {"certificate": "foreign/ann.pem", "key": "foreign/ann.key"},
        "the certificate of 'ann' was not issued by this authority; all roles of a federation need one authority",
    ),
    "expired": ({"certificate": "expired.pem", "key": "expired.key"}, "the certificate of 'ann' expired on "),
    "not yet valid": ({"certificate": "early.pem", "key": "early.key"}, "check this machine's clock"),
    "another name's": (
        {"certificate": "bob.pem", "key": "bob.key"},
        "the certificate is for party 'bob', this config is for party 'ann'; point tls.certificate at the right file",
    ),
    "another role's": (
        {"certificate": "operator.pem", "key": "operator.key"},
        "the certificate is for operator 'operator', this config is for party 'ann'",
    ),
    "another key": ({"key": "bob.key"}, "tls.key and tls.certificate must be a pair"),
    "no key": ({"key": "nowhere.key"}, "cannot read tls.key at "),
    "a key that is a certificate": ({"key": "ann.pem"}, "is not an unencrypted PEM private key"),
    "no certificate at all": ({"certificate": "rubbish.pem"}, "the own certificate is not a PEM certificate"),
    "no authority": ({"authority": "nowhere.pem"}, "make it with `tertium certs init`"),
}


def config_of(directory, certs, files):
    identity = {**tls(certs, "ann"), **{part: str(certs / file) for part, file in files.items()}}
    nobody = "127.0.0.1:1"
    document = party_config(certs, "ann", nobody, nobody, {}, {"peers": {}, "columns": {}}, tls=identity)
    return write_toml(directory / "config.toml", document)


@pytest.mark.parametrize(("files", "sentence"), WRONG.values(), ids=WRONG)
def test_a_party_with_a_wrong_certificate_does_not_start(files, sentence, certs, command_here, tmp_path):
    config = config_of(tmp_path, certs, files)
    said = command_here("party", "serve", config).refused(3, sentence)
    assert "PRIVATE KEY" not in said
    assert "BEGIN" not in said
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(("files", "sentence"), WRONG.values(), ids=WRONG)
def test_its_doctor_says_the_same(files, sentence, certs, command_here, tmp_path):
    outcome = command_here("doctor", config_of(tmp_path, certs, files))
    assert outcome.code == 3, outcome
    assert "FAIL " in outcome.out
    assert sentence.split(";")[0] in outcome.out


@pytest.mark.parametrize("role", ["neutral-server", "coordinator"])
def test_a_listening_role_with_a_partys_certificate_does_not_start(role, certs, command_here, tmp_path):
    right = {
        "neutral-server": server_config(certs, "127.0.0.1:0"),
        "coordinator": coordinator_config(certs, "127.0.0.1:0", "127.0.0.1:1"),
    }
    config = write_toml(tmp_path / "config.toml", {**right[role], "tls": tls(certs, "ann")})
    command_here(role, "serve", config).refused(3, f"the certificate is for party 'ann', this config is for {role} ")


@pytest.mark.e2e
def test_the_process_says_it_too(certs, command, tmp_path):
    config = config_of(tmp_path, certs, WRONG["expired"][0])
    command("party", "serve", config).refused(3, "the certificate of 'ann' expired on ", "`tertium certs init`")


def test_an_operator_with_an_expired_certificate(certs, command_here):
    outcome = command_here("predict", "run", "table", "--coordinator", "127.0.0.1:1", "--certs", certs / "stale")
    outcome.refused(3, "the certificate of 'operator' expired on ")


def test_an_operator_without_a_certificate(command_here):
    outcome = command_here("predict", "run", "table", "--coordinator", "127.0.0.1:1", "--certs", "nowhere")
    outcome.refused(3, "cannot read tls.certificate at nowhere/operator.pem")


@pytest.mark.e2e
def test_a_party_of_another_authority_is_told_so_by_its_doctor(certs, federation, command, tmp_path):
    """TLS would only say that a socket was closed."""
    document = {**federation.documents["ann"], "tls": tls(certs / "foreign", "ann"), "tables": {}}
    document["policy"] = {"peers": {}, "columns": {}}
    outcome = command("doctor", write_toml(tmp_path / "config.toml", document))
    assert outcome.code == 3, outcome
    for role in ("coordinator", "neutral-server"):
        line = next(line for line in outcome.out.splitlines() if line.startswith(f"FAIL {role} '{role}' at "))
        assert "its certificate is not good: the certificate of" in line
        assert "was not issued by this authority" in line
