"""coordinator.certificate_authority and `tertium certs`: keys for their owner only, an authority that is kept."""

import os
import stat
from datetime import UTC, datetime, timedelta

import pytest
from command_line import tertium_here
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from coordinator.certificate_authority import CertificateAuthority, write_issued, write_key
from kernel.errors import CertificateError
from kernel.wire.identity import Identity, Peer, fingerprint, load_certificate, verify_certificate

ANN = Peer("party", "ann")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_umask():
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_keys_are_for_their_owner_only_whatever_the_umask(tmp_path):
    authority = CertificateAuthority.create()
    authority.save(tmp_path)
    write_issued(tmp_path, "ann", authority.issue(ANN))
    assert {path.name: mode(path) for path in tmp_path.glob("*.key")} == {"authority.key": 0o600, "ann.key": 0o600}
    assert b"PRIVATE KEY" not in (tmp_path / "ann.pem").read_bytes() + (tmp_path / "authority.pem").read_bytes()


@pytest.mark.usefixtures("open_umask")
def test_a_key_that_lay_open_is_closed_when_it_is_replaced(tmp_path):
    path = tmp_path / "ann.key"
    path.write_bytes(b"old")
    assert mode(path) == 0o666
    write_key(path, b"new")
    assert (mode(path), path.read_bytes()) == (0o600, b"new")


def test_no_key_shows_in_a_repr():
    authority = CertificateAuthority.create()
    issued = authority.issue(ANN)
    assert "PRIVATE" not in repr(issued)
    identity = Identity.from_pem(issued.certificate_pem, issued.key_pem, authority.certificate_pem)
    assert "PRIVATE" not in repr(identity)


def test_a_kept_authority_issues_what_the_first_one_would_have(tmp_path):
    first = CertificateAuthority.create()
    first.save(tmp_path)
    issued = CertificateAuthority.load(tmp_path).issue(ANN)
    assert Identity.from_pem(issued.certificate_pem, issued.key_pem, first.certificate_pem).peer == ANN


def test_a_certificate_is_good_at_both_ends_and_not_an_authority(tmp_path):
    certificate = load_certificate(CertificateAuthority.create().issue(ANN, days=30).certificate_pem, "ann")
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["tertium://party/ann"]
    assert "ann" in names.get_values_for_type(x509.DNSName)
    usage = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert usage == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    assert timedelta(days=29) < left <= timedelta(days=30)
    assert certificate.not_valid_before_utc < datetime.now(UTC)  # a peer's clock may be behind


def test_two_certificates_of_one_name_have_two_keys_and_two_fingerprints():
    authority = CertificateAuthority.create()
    one, other = authority.issue(ANN), authority.issue(ANN)
    assert one.fingerprint != other.fingerprint
    assert one.key_pem != other.key_pem


def test_what_one_authority_issued_another_does_not_accept():
    certificate = load_certificate(CertificateAuthority.create().issue(ANN).certificate_pem, "ann")
    other = load_certificate(CertificateAuthority.create().certificate_pem, "authority")
    with pytest.raises(CertificateError, match="was not issued by this authority"):
        verify_certificate(certificate, other)


@pytest.mark.parametrize("broken", ["authority.pem", "authority.key"])
@pytest.mark.parametrize("content", [None, b"rubbish"])
def test_an_authority_that_cannot_be_read(broken, content, tmp_path):
    CertificateAuthority.create().save(tmp_path)
    if content is None:
        (tmp_path / broken).unlink()
    else:
        (tmp_path / broken).write_bytes(content)
    with pytest.raises(CertificateError):
        CertificateAuthority.load(tmp_path)


# --- the command --------------------------------------------------------------------------------------------------------


@pytest.fixture
def certs(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: tertium_here(capfd, "certs", *arguments)


ROLES = {"coordinator", "neutral-server", "operator", "authority"}


def test_init_makes_one_pair_per_role_and_party(certs, tmp_path):
    said = certs("init", "certs", "--name", "ann", "--name", "bob")
    assert said.code == 0, said
    names = ROLES | {"ann", "bob"}
    assert {path.name for path in (tmp_path / "certs").iterdir()} == {f"{n}.{e}" for n in names for e in ("pem", "key")}
    assert all(mode(path) == 0o600 for path in (tmp_path / "certs").glob("*.key"))
    assert "PRIVATE" not in said.out + said.err
    ann = load_certificate((tmp_path / "certs" / "ann.pem").read_bytes(), "ann")
    assert fingerprint(ann) in said.out


def test_init_again_keeps_what_there_is_and_adds_what_is_new(certs, tmp_path):
    certs("init", "certs", "--name", "ann")
    before = {path.name: path.read_bytes() for path in (tmp_path / "certs").iterdir()}
    said = certs("init", "certs", "--name", "ann", "--name", "bob")
    assert said.code == 0, said
    after = {path.name: path.read_bytes() for path in (tmp_path / "certs").iterdir()}
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"bob.pem", "bob.key"}
    authority = load_certificate(after["authority.pem"], "authority")
    assert verify_certificate(load_certificate(after["bob.pem"], "bob"), authority) == Peer("party", "bob")


def test_show_prints_what_a_peer_pins(certs, tmp_path):
    certs("init", "certs", "--name", "ann")
    path = tmp_path / "certs" / "ann.pem"
    said = certs("show", path)
    assert said.out.startswith("party ann  until ")
    assert said.out.strip().endswith(fingerprint(load_certificate(path.read_bytes(), "ann")))


@pytest.mark.parametrize("name", ["operator", "coordinator", "neutral-server"])
def test_a_party_does_not_take_a_roles_name(name, certs, tmp_path):
    certs("init", "certs", "--name", name).refused(
        2, "a party cannot be called coordinator, neutral-server or operator"
    )


def test_init_does_not_replace_an_authority_whose_key_is_elsewhere(certs, tmp_path):
    """The certificate alone is what every role has: making a new one would lock them all out."""
    certs("init", "certs")
    (tmp_path / "certs" / "authority.key").unlink()
    certificate = (tmp_path / "certs" / "authority.pem").read_bytes()
    certs("init", "certs", "--name", "ann").refused(3, "certs holds no readable authority")
    assert (tmp_path / "certs" / "authority.pem").read_bytes() == certificate
