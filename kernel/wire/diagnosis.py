"""Why a connection does not come up, in words: gRPC says "Socket closed" for most of what can be wrong.

Looks at one layer after the other, TCP, TLS and certificate, gRPC health, and stops at the first that fails.
"""

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kernel.errors import CertificateError, TertiumError
from kernel.version import VERSION
from kernel.wire.channel import dial
from kernel.wire.failures import error_of_rpc
from kernel.wire.identity import Identity, Role, fingerprint, verify_certificate

_SECONDS = 5.0
_CLOCK_SECONDS = 30.0


@dataclass(frozen=True)
class Finding:
    """One check: what was found, and what to do when it is not well."""

    ok: bool
    what: str
    advice: str = ""
    exit_code: int = 3


def attempt(what: str, check: Callable[[], str]) -> Finding:
    """Run a check that returns what it found or raises a TertiumError."""
    try:
        return Finding(True, f"{what}: {check()}")
    except TertiumError as error:
        found, _, advice = str(error).rpartition(";")
        return Finding(False, f"{what}: {found or error}", advice.strip() or "see the sentence above", error.exit_code)


def reach(address: str, identity: Identity, name: str, role: Role) -> Finding:
    """Whether the ``role`` called ``name`` answers at ``address`` and accepts this certificate."""
    what = f"{role} {name!r} at {address}"
    try:
        host, _, port = address.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS) as connection:
            certificate = _server_certificate(connection)
    except ValueError:
        return Finding(False, f"{what}: not a host:port", "write the address as host:port", 2)
    except socket.gaierror:
        return Finding(False, f"{what}: the host name is not known here", "check the address and this machine's DNS")
    except ConnectionRefusedError:
        return Finding(False, f"{what}: nobody listens there", "start that daemon, or correct the address")
    except ssl.SSLError:
        return Finding(
            False, f"{what}: something listens, but it does not speak TLS", "is that port another program's?"
        )
    except OSError as error:
        return Finding(
            False,
            f"{what}: not reachable ({error.strerror or 'timed out'})",
            "check the address, routes and firewalls on the way",
        )
    try:
        found = verify_certificate(certificate, identity.authority)
    except CertificateError as error:
        return Finding(
            False,
            f"{what}: its certificate is not good: {error}",
            "issue certificates for all roles from one authority",
        )
    if (found.role, found.name) != (role, name):
        return Finding(
            False,
            f"{what}: its certificate is for {found.role} {found.name!r}",
            "correct the address or the name in this config",
        )
    channel = dial(address, identity, name)
    try:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=_SECONDS)
    except grpc.RpcError as error:
        return Finding(
            False,
            f"{what}: TLS comes up, the call does not: {error_of_rpc(error, name)}",
            "that side refuses this certificate: does it trust the same authority?",
        )
    finally:
        channel.close()
    return Finding(
        True,
        f"{what}: reachable, certificate until {certificate.not_valid_after_utc:%Y-%m-%d}, {fingerprint(certificate)[:19]}…",
    )


def same_version_and_clock(what: str, version: str, unix_time_ms: int) -> list[Finding]:
    """Compare another process's version and clock with this one's."""
    apart = abs(time.time() - unix_time_ms / 1000)
    return [
        Finding(
            version == VERSION,
            f"{what}: version {version}, here {VERSION}",
            "install the same version everywhere",
        ),
        Finding(
            apart < _CLOCK_SECONDS,
            f"{what}: clocks {apart:.1f} s apart",
            "set the clocks by NTP: certificates have dates",
        ),
    ]


def writable(what: str, directory: Path) -> Finding:
    """Whether a daemon can keep its state there."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return Finding(False, f"{what} {directory}: {error.strerror}", "make it writable for this user", 2)
    return Finding(True, f"{what} {directory}: writable")


def _server_certificate(connection: socket.socket) -> x509.Certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only to read the certificate; it is verified by the caller
    context.set_alpn_protocols(["h2"])
    with context.wrap_socket(connection) as wrapped:
        der: Any = wrapped.getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(der)
