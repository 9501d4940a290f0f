"""Who a process is: a certificate that binds a role and a name, its key, and the authority it trusts.

The role and name stand in a URI subject alternative name, ``tertium://<role>/<name>``; the name is also the DNS name a
client checks at the TLS handshake, so certificates do not depend on addresses.
"""

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, get_args

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from kernel.errors import CertificateError

Role = Literal["party", "neutral-server", "coordinator", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"


@dataclass(frozen=True)
class Peer:
    """A role and a name, as proven by a certificate."""

    role: Role
    name: str


@dataclass(frozen=True)
class Identity:
    """Own certificate, key and authority; build it with `from_pem`, which checks all three."""

    peer: Peer
    certificate: x509.Certificate
    authority: x509.Certificate
    certificate_pem: bytes = field(repr=False)
    authority_pem: bytes = field(repr=False)
    key_pem: bytes = field(repr=False)
    key: EllipticCurvePrivateKey = field(repr=False)

    @property
    def name(self) -> str:
        return self.peer.name

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.certificate)

    def sign(self, message: bytes) -> bytes:
        """ECDSA P-256 over SHA-256."""
        return self.key.sign(message, ECDSA(SHA256()))

    @classmethod
    def from_pem(
        cls, certificate_pem: bytes, key_pem: bytes, authority_pem: bytes, *, now: datetime | None = None
    ) -> "Identity":
        """Check dates, chain, name and key before anything is dialled (afterwards TLS only says "Socket closed").

        Raises:
          CertificateError: says which of the three files is wrong and what to do.
        """
        authority = load_certificate(authority_pem, "the authority's certificate")
        certificate = load_certificate(certificate_pem, "the own certificate")
        try:
            key = load_pem_private_key(key_pem, password=None)
        except (ValueError, TypeError) as error:
            raise CertificateError("the key file is not an unencrypted PEM private key; point tls.key at it") from error
        if not isinstance(key, EllipticCurvePrivateKey):
            raise CertificateError("the key is not an elliptic-curve key; make certificates with `tertium certs init`")
        peer = verify_certificate(certificate, authority, now=now)
        if key.public_key().public_numbers() != _public_key(certificate).public_numbers():
            raise CertificateError(
                f"the key does not belong to the certificate of {peer.name!r}; tls.key and tls.certificate must be a pair"
            )
        return cls(peer, certificate, authority, certificate_pem, authority_pem, key_pem, key)


def load_certificate(pem: bytes, what: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise CertificateError(f"{what} is not a PEM certificate") from error


def fingerprint(certificate: x509.Certificate) -> str:
    """``sha256:`` and 64 hex digits over the DER form: what a party's policy pins."""
    return "sha256:" + hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def verify_certificate(
    certificate: x509.Certificate, authority: x509.Certificate, *, now: datetime | None = None
) -> Peer:
    """Dates, issuer's signature, and exactly one tertium name.

    Raises:
      CertificateError: expired, not yet valid, another authority's, or without a role and name.
    """
    peer = peer_in(certificate)
    moment = now or datetime.now(UTC)
    for label, one in (
        (f"the certificate of {peer.name!r}", certificate),
        ("the authority's certificate", authority),
    ):
        if moment > one.not_valid_after_utc:
            raise CertificateError(
                f"{label} expired on {one.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; issue a new one with `tertium certs init`"
            )
        if moment < one.not_valid_before_utc:
            raise CertificateError(
                f"{label} is not valid before {one.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; check this machine's clock"
            )
    try:
        _public_key(authority).verify(
            certificate.signature,
            certificate.tbs_certificate_bytes,
            ECDSA(certificate.signature_hash_algorithm or SHA256()),
        )
    except InvalidSignature as error:
        raise CertificateError(
            f"the certificate of {peer.name!r} was not issued by this authority; all roles of a federation need one authority"
        ) from error
    return peer


def peer_in(certificate: x509.Certificate) -> Peer:
    """The role and name a certificate binds.

    Raises:
      CertificateError: none, or more than one.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as error:
        raise CertificateError("the certificate names no role; make certificates with `tertium certs init`") from error
    return peer_from_uris(names.get_values_for_type(x509.UniformResourceIdentifier))


def peer_from_uris(uris: list[str]) -> Peer:
    """The one ``tertium://role/name`` among the URIs of a certificate; matched as written, nothing is dropped."""
    found = [uri for uri in uris if uri.lower().startswith("tertium:")]
    if len(found) != 1:
        raise CertificateError(
            f"the certificate binds {len(found)} tertium names, one is wanted; use `tertium certs init`"
        )
    parts = re.fullmatch(rf"tertium://([a-z-]+)/({NAME_PATTERN})", found[0])
    for role in ROLES:
        if parts is not None and parts[1] == role:
            return Peer(role, parts[2])
    raise CertificateError(f"the certificate names an unknown role; roles are {', '.join(ROLES)}")


def _public_key(certificate: x509.Certificate) -> EllipticCurvePublicKey:
    key = certificate.public_key()
    if not isinstance(key, EllipticCurvePublicKey):
        raise CertificateError("a certificate's key is not elliptic-curve; make certificates with `tertium certs init`")
    return key


def verify_signature(certificate: x509.Certificate, signature: bytes, message: bytes) -> bool:
    """Whether the holder of ``certificate`` signed ``message``."""
    try:
        _public_key(certificate).verify(signature, message, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True
