"""The mini-CA behind `tertium certs`: one authority per federation, one certificate per role and name.

Made for demos, tests and federations without a CA of their own. Whoever holds ``authority.key`` can name itself
anything, which is why parties also pin their peers' fingerprints.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kernel.errors import CertificateError
from kernel.wire.identity import NAME_PATTERN, Peer, fingerprint, load_certificate

AUTHORITY_CERTIFICATE = "authority.pem"
AUTHORITY_KEY = "authority.key"
_CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, PEM."""

    certificate_pem: bytes
    key_pem: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        return fingerprint(load_certificate(self.certificate_pem, "the issued certificate"))


class CertificateAuthority:
    """An authority in memory; `save` and `load` keep it in a directory."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate, self._key = certificate, key

    @property
    def certificate_pem(self) -> bytes:
        return self._certificate.public_bytes(Encoding.PEM)

    @classmethod
    def create(cls, *, days: int = 3650) -> "CertificateAuthority":
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tertium federation authority")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def load(cls, directory: Path) -> "CertificateAuthority":
        """The authority kept in ``directory``.

        Raises:
          CertificateError: its files are missing or not a pair of PEM files.
        """
        try:
            certificate = load_certificate(
                (directory / AUTHORITY_CERTIFICATE).read_bytes(), "the authority's certificate"
            )
            key = load_pem_private_key((directory / AUTHORITY_KEY).read_bytes(), password=None)
        except (OSError, ValueError) as error:
            raise CertificateError(
                f"{directory} holds no readable authority; run `tertium certs init {directory}`"
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise CertificateError(f"{directory / AUTHORITY_KEY} is not an elliptic-curve key")
        return cls(certificate, key)

    def save(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / AUTHORITY_CERTIFICATE).write_bytes(self.certificate_pem)
        write_key(directory / AUTHORITY_KEY, _key_pem(self._key))

    def issue(
        self,
        peer: Peer,
        *,
        valid_from: datetime | None = None,
        valid_until: datetime | None = None,
        days: int = 825,
    ) -> Issued:
        """A certificate for one role and name, good for TLS at both ends."""
        if not re.fullmatch(NAME_PATTERN, peer.name):
            raise CertificateError("a certificate's name is 1 to 63 letters, digits, '.', '_' or '-'; choose another")
        key = ec.generate_private_key(ec.SECP256R1())
        start = valid_from or datetime.now(UTC) - _CLOCK_SKEW
        names = [
            x509.DNSName(peer.name),
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.UniformResourceIdentifier(f"tertium://{peer.role}/{peer.name}"),
        ]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, peer.name)]))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(valid_until or datetime.now(UTC) + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, SHA256())
        )
        return Issued(certificate.public_bytes(Encoding.PEM), _key_pem(key))


def write_key(path: Path, pem: bytes) -> None:
    """A private key readable by its owner only, from its first byte on."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(pem)


def write_issued(directory: Path, name: str, issued: Issued) -> None:
    """``name.pem`` and ``name.key``."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.pem").write_bytes(issued.certificate_pem)
    write_key(directory / f"{name}.key", issued.key_pem)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
