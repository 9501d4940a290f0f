"""kernel.wire.identity: each wrong file is named before anything is dialled."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from coordinator.certificate_authority import CertificateAuthority
from kernel.errors import CertificateError
from kernel.wire.identity import (
    Identity,
    Peer,
    fingerprint,
    load_certificate,
    peer_from_uris,
    peer_in,
    verify_signature,
)

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def issued(authority):
    return authority.issue(Peer("party", "clinic"))


def private_pem(key, encryption=None):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def signed(uris, *, key=None, by=None):
    """A self-made certificate with these URIs, and its PEM key."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "self-made")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = (
        builder.serial_number(1).not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=1))
    )
    if uris is not None:
        names = [x509.DNSName("localhost"), *map(x509.UniformResourceIdentifier, uris)]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(by or key, SHA256())
    return certificate.public_bytes(Encoding.PEM), private_pem(key)


def test_the_right_three_files_make_an_identity(issued, authority):
    identity = Identity.from_pem(issued.certificate_pem, issued.key_pem, authority.certificate_pem)
    assert identity.peer == Peer("party", "clinic")
    assert identity.name == "clinic"
    assert identity.fingerprint == issued.fingerprint == fingerprint(identity.certificate)
    assert len(identity.fingerprint) == len("sha256:") + 64


@pytest.mark.parametrize("role", ["party", "neutral-server", "coordinator", "operator"])
def test_every_role_can_be_issued(role, authority):
    certificate = load_certificate(authority.issue(Peer(role, "x-1")).certificate_pem, "it")
    assert peer_in(certificate) == Peer(role, "x-1")


def test_another_authority_is_refused(issued, other_authority):
    with pytest.raises(CertificateError, match="'clinic' was not issued by this authority"):
        Identity.from_pem(issued.certificate_pem, issued.key_pem, other_authority.certificate_pem)


def test_an_expired_certificate_is_refused_with_its_date(authority):
    ended = NOW - timedelta(days=2)
    old = authority.issue(Peer("party", "clinic"), valid_from=NOW - timedelta(days=9), valid_until=ended)
    with pytest.raises(CertificateError, match=f"'clinic' expired on {ended:%Y-%m-%d}"):
        Identity.from_pem(old.certificate_pem, old.key_pem, authority.certificate_pem)


def test_a_certificate_of_tomorrow_points_at_the_clock(authority):
    early = authority.issue(Peer("party", "clinic"), valid_from=NOW + timedelta(days=1))
    with pytest.raises(CertificateError, match=r"is not valid before .*check this machine's clock"):
        Identity.from_pem(early.certificate_pem, early.key_pem, authority.certificate_pem)


def test_dates_are_judged_at_the_moment_given(issued, authority):
    for moment, sentence in (
        (NOW + timedelta(days=900), "expired"),
        (NOW - timedelta(days=1), "not valid before"),
    ):
        with pytest.raises(CertificateError, match=sentence):
            Identity.from_pem(issued.certificate_pem, issued.key_pem, authority.certificate_pem, now=moment)


def test_an_expired_authority_is_named():
    short = CertificateAuthority.create(days=1)
    issued = short.issue(Peer("party", "clinic"))
    with pytest.raises(CertificateError, match="the authority's certificate expired"):
        Identity.from_pem(issued.certificate_pem, issued.key_pem, short.certificate_pem, now=NOW + timedelta(days=2))


def test_the_key_of_another_certificate_is_refused(issued, authority):
    other = authority.issue(Peer("party", "clinic"))
    with pytest.raises(CertificateError, match="the key does not belong to the certificate of 'clinic'"):
        Identity.from_pem(issued.certificate_pem, other.key_pem, authority.certificate_pem)


def test_files_that_are_not_what_they_should_be_are_named(issued, authority):
    good = (issued.certificate_pem, issued.key_pem, authority.certificate_pem)
    for place, wanted in enumerate(("own certificate", "key file", "authority's certificate")):
        files = list(good)
        files[place] = b"-----BEGIN NOTHING-----"
        with pytest.raises(CertificateError, match=wanted):
            Identity.from_pem(*files)


def test_an_encrypted_or_foreign_key_is_refused(issued, authority):
    locked = private_pem(ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"secret"))
    with pytest.raises(CertificateError, match="not an unencrypted PEM"):
        Identity.from_pem(issued.certificate_pem, locked, authority.certificate_pem)
    rsa_key = private_pem(rsa.generate_private_key(65537, 2048))
    with pytest.raises(CertificateError, match="not an elliptic-curve key"):
        Identity.from_pem(issued.certificate_pem, rsa_key, authority.certificate_pem)


@pytest.mark.parametrize(
    ("uris", "sentence"),
    [
        (["tertium://admin/root"], "unknown role; roles are party, neutral-server"),
        (["tertium://party/"], "unknown role"),
        (["tertium://party"], "unknown role"),
        (["tertium://Party/a"], "unknown role"),
        (["tertium://party/a", "tertium://coordinator/a"], "binds 2 tertium names"),
        (["tertium://party/a", "tertium://party/a"], "binds 2 tertium names"),
        ([], "binds 0 tertium names"),
        (["https://party/a"], "binds 0 tertium names"),
        (None, "names no role"),
    ],
)
def test_a_certificate_must_bind_one_role_and_name(uris, sentence):
    certificate, key = signed(uris)
    with pytest.raises(CertificateError, match=sentence):
        Identity.from_pem(certificate, key, certificate)


def test_other_names_in_the_certificate_do_not_matter():
    assert peer_from_uris(["localhost", "127.0.0.1", "::1", "https://x/y", "tertium://party/a"]) == Peer("party", "a")


def test_a_certificate_with_a_foreign_key_type_is_refused():
    certificate, key = signed(["tertium://party/a"], key=rsa.generate_private_key(65537, 2048))
    with pytest.raises(CertificateError, match="not an elliptic-curve key"):
        Identity.from_pem(certificate, key, certificate)


def test_signatures(make_identity):
    one, other = make_identity("a"), make_identity("b")
    signature = one.sign(b"message")
    assert verify_signature(one.certificate, signature, b"message")
    assert not verify_signature(one.certificate, signature, b"massage")
    assert not verify_signature(other.certificate, signature, b"message")
    assert not verify_signature(one.certificate, b"", b"message")


def test_the_key_is_not_printed(make_identity):
    identity = make_identity("a")
    assert "PRIVATE" not in repr(identity)
    assert identity.key_pem.decode().splitlines()[1] not in repr(identity)
