"""End-to-end encryption between two parties whose only path is a relay they do not trust.

Numbered steps:
 [1] both ends send an introduction: a fresh X25519 key and nonce, bound to (sender, receiver, mailbox, generation),
     signed with the key of the sender's certificate;
 [2] each checks the certificate against its pin, its authority and the claimed name, then the signature;
 [3] HKDF over the X25519 secret and both introductions gives one sealing key per direction and one pairwise key for
     masks and shares. An old introduction replayed by the relay leads to keys nobody holds;
 [4] AES-256-GCM with the sequence number as nonce and the whole header as associated data; the receiver accepts
     exactly the next number of its sender, so nothing can be replayed, dropped, reordered or moved.
"""

import struct
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding

from kernel.errors import CertificateError, EnvelopeError
from kernel.randomness import SecretKey, SecureRandomness, derive_key
from kernel.wire.identity import Identity, Peer, fingerprint, verify_certificate, verify_signature
from kernel.wire.tensor_frame import Payload
from protos.v1 import common_pb2, relay_pb2


def _canonical(*fields: bytes | str | int) -> bytes:
    parts = (item if isinstance(item, bytes) else str(item).encode() for item in fields)
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def _introduction_bytes(message: relay_pb2.Introduction) -> bytes:
    return _canonical(
        "tertium.v1.Introduction", message.sender, message.receiver, message.mailbox, message.reply_mailbox,
        message.generation, message.x25519_public, message.nonce, message.answers_nonce,
    )  # fmt: skip


def _header_bytes(header: relay_pb2.EnvelopeHeader) -> bytes:
    step = header.step
    return _canonical(
        "tertium.v1.Envelope", step.run, step.generation, step.epoch, step.step, step.micro_batch, step.purpose, step.sender,
        header.receiver, header.mailbox, header.topic, header.sequence,
    )  # fmt: skip


class Introducer:
    """One end of a key agreement [1]; used for one peer, one mailbox, one generation."""

    def __init__(
        self,
        identity: Identity,
        peer: str,
        *,
        mailbox: str,
        reply_mailbox: str,
        generation: int,
        answers_nonce: bytes = b"",
    ) -> None:
        self._key = X25519PrivateKey.generate()
        self._identity = identity
        self.peer = peer
        self.message = relay_pb2.Introduction(
            sender=identity.name,
            receiver=peer,
            mailbox=mailbox,
            reply_mailbox=reply_mailbox,
            generation=generation,
            x25519_public=self._key.public_key().public_bytes_raw(),
            nonce=SecureRandomness().key(),
            certificate_der=identity.certificate.public_bytes(Encoding.DER),
            answers_nonce=answers_nonce,
        )
        self.message.signature = identity.sign(_introduction_bytes(self.message))

    def complete(self, theirs: relay_pb2.Introduction, pin: str) -> "SealedLink":
        """Check the peer's introduction [2] and derive the keys [3].

        Raises:
          EnvelopeError: not addressed to this agreement, or altered; CertificateError: wrong pin, authority or name.
        """
        if (theirs.sender, theirs.receiver, theirs.generation) != (
            self.peer,
            self._identity.name,
            self.message.generation,
        ):
            raise EnvelopeError(
                f"an introduction from {theirs.sender!r} to {theirs.receiver!r} of generation {theirs.generation} arrived; "
                f"wanted {self.peer!r} to {self._identity.name!r} of generation {self.message.generation}"
            )
        if (theirs.mailbox, theirs.reply_mailbox) != (self.message.reply_mailbox, self.message.mailbox):
            raise EnvelopeError(
                f"the introduction of {self.peer!r} is for mailbox {theirs.mailbox!r}; wanted one for "
                f"{self.message.reply_mailbox!r}: the relay moved it, do not trust this relay"
            )
        check_introduction(theirs, self._identity.authority, pin)
        if len(theirs.x25519_public) != 32 or len(theirs.nonce) != 32:
            raise EnvelopeError(
                f"the introduction of {self.peer!r} carries a malformed key; the relay or the peer is faulty"
            )
        try:
            secret = SecretKey(self._key.exchange(X25519PublicKey.from_public_bytes(theirs.x25519_public)))
        except ValueError as error:  # a point of small order
            raise EnvelopeError(
                f"the introduction of {self.peer!r} carries an unusable key; the peer is faulty"
            ) from error
        first, second = sorted((self.message, theirs), key=lambda message: message.sender)
        root = derive_key(secret, _introduction_bytes(first).hex(), _introduction_bytes(second).hex())
        me, peer = self._identity.name, self.peer
        return SealedLink(
            me,
            peer,
            derive_key(root, "seal", me, peer),
            derive_key(root, "seal", peer, me),
            derive_key(root, "pairwise"),
        )


def check_introduction(message: relay_pb2.Introduction, authority: x509.Certificate, pin: str) -> None:
    """The certificate is the pinned one, valid, bears the sender's name, and its key signed the introduction."""
    try:
        certificate = x509.load_der_x509_certificate(message.certificate_der)
    except ValueError as error:
        raise CertificateError(f"the introduction of {message.sender!r} carries no readable certificate") from error
    found = fingerprint(certificate)
    if found != pin:
        raise CertificateError(
            f"{message.sender!r} shows a certificate with fingerprint {found[:19]}…, the policy pins {pin[:19]}…; "
            "ask the peer for its fingerprint over another channel and update policy.peers"
        )
    if verify_certificate(certificate, authority) != Peer("party", message.sender):
        raise CertificateError(f"the certificate shown by {message.sender!r} belongs to another name or role")
    if not verify_signature(certificate, message.signature, _introduction_bytes(message)):
        raise EnvelopeError(f"the introduction of {message.sender!r} was altered on its way; do not trust this relay")


@dataclass
class SealedLink:
    """Keys and sequence numbers of one pair of parties [4]. Not thread-safe per direction."""

    me: str
    peer: str
    _send_key: SecretKey
    _receive_key: SecretKey
    pairwise: SecretKey
    _sent: int = 0
    _received: int = 0

    def __repr__(self) -> str:
        return f"SealedLink({self.me!r}, {self.peer!r})"

    def seal(
        self, payload: Payload, *, step: common_pb2.StepHeader, mailbox: str, topic: str
    ) -> tuple[relay_pb2.Envelope, bytes]:
        """Encrypt for the peer: the envelope and its sealed bytes; the step's sender must be this end."""
        header = relay_pb2.EnvelopeHeader(
            step=step, receiver=self.peer, mailbox=mailbox, topic=topic, sequence=self._sent
        )
        nonce = struct.pack(">IQ", 0, self._sent)
        self._sent += 1
        sealed = AESGCM(self._send_key).encrypt(nonce, payload, _header_bytes(header))
        return relay_pb2.Envelope(header=header), sealed

    def open_envelope(self, envelope: relay_pb2.Envelope, sealed: Payload) -> bytes:
        """Decrypt the next envelope of the peer.

        Raises:
          EnvelopeError: out of sequence (replayed, dropped), altered, or addressed elsewhere.
        """
        header = envelope.header
        if header.step.sender != self.peer or header.receiver != self.me:
            raise EnvelopeError(
                f"an envelope from {header.step.sender!r} to {header.receiver!r} arrived on the link with {self.peer!r}"
            )
        if header.sequence != self._received:
            kind = "replayed" if header.sequence < self._received else "out of order"
            raise EnvelopeError(
                f"envelope {header.sequence} of {self.peer!r} is {kind}, wanted {self._received}; the relay misbehaves: stop the run"
            )
        try:
            payload = AESGCM(self._receive_key).decrypt(
                struct.pack(">IQ", 0, header.sequence), sealed, _header_bytes(header)
            )
        except InvalidTag as error:
            raise EnvelopeError(
                f"envelope {header.sequence} of {self.peer!r} was altered on its way; the relay misbehaves: stop the run"
            ) from error
        self._received += 1
        return payload
