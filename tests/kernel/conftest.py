"""Certificates, keys and a χ² test for the kernel's tests."""

import numpy as np
import pytest
from scipy.stats import chisquare

from coordinator.certificate_authority import CertificateAuthority
from kernel.randomness import Keystream, SecretKey, derive_key
from kernel.wire.identity import Identity, Peer

SEED = SecretKey(bytes(range(32)))


@pytest.fixture(scope="session")
def authority():
    return CertificateAuthority.create()


@pytest.fixture(scope="session")
def other_authority():
    return CertificateAuthority.create()


@pytest.fixture(scope="session")
def make_identity(authority):
    """``make_identity(name, role="party", by=None, now=None, **dates)``: an Identity with a fresh key."""

    def make(name, role="party", by=None, now=None, **dates):
        issuer = by or authority
        issued = issuer.issue(Peer(role, name), **dates)
        return Identity.from_pem(issued.certificate_pem, issued.key_pem, issuer.certificate_pem, now=now)

    return make


@pytest.fixture(scope="session")
def p_value():
    """``p_value(words)``: χ² over the values of each byte of a word; the smallest p, corrected.

    Uniform words fall below p with probability at most p.
    """

    def smallest(words):
        lanes = np.ascontiguousarray(words).reshape(-1, 1).view(np.uint8).T
        return min(1.0, len(lanes) * min(chisquare(np.bincount(lane, minlength=256)).pvalue for lane in lanes))

    return smallest


@pytest.fixture(scope="session")
def pair_streams():
    """``pair_streams(names, seed=…)``: per party its keystreams with the others, from fixed keys."""

    def streams(names, seed=SEED):
        def stream(one, other):
            return Keystream(derive_key(seed, *sorted((one, other))))

        return {name: {peer: stream(name, peer) for peer in names if peer != name} for name in names}

    return streams
