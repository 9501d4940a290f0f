"""kernel.sealed_envelope against a relay that reads, alters, replays, drops, reorders and lies."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from google.protobuf.descriptor import FieldDescriptor

from kernel.errors import CertificateError, EnvelopeError
from kernel.sealed_envelope import Introducer, SealedLink, _introduction_bytes
from protos.v1 import common_pb2, relay_pb2

RUN = "run-1"
SECRET = b"masked opening of E, 1 MiB of it"


@pytest.fixture(scope="module")
def parties(make_identity):
    return {name: make_identity(name) for name in ("a", "b", "c")}


def introducer(parties, me, peer, mailbox=RUN, reply_mailbox=RUN, generation=1):
    return Introducer(parties[me], peer, mailbox=mailbox, reply_mailbox=reply_mailbox, generation=generation)


def meet(parties, me="a", peer="b"):
    """Both ends of one link."""
    mine, theirs = introducer(parties, me, peer), introducer(parties, peer, me)
    return (
        mine.complete(theirs.message, parties[peer].fingerprint),
        theirs.complete(mine.message, parties[me].fingerprint),
    )


def seal(link, payload=SECRET, **fields):
    step = common_pb2.StepHeader(run=RUN, generation=1, epoch=2, step=3, purpose=2, sender=link.me)
    for name, value in fields.items():
        setattr(step, name, value)
    return link.seal(payload, step=step, mailbox=RUN, topic="opening-e")


def altered_fields(message):
    """A copy of the message for every scalar field of it, with that field changed."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None:
            for path, inner in altered_fields(getattr(message, field.name)):
                copy = type(message).FromString(message.SerializeToString())
                getattr(copy, field.name).CopyFrom(inner)
                yield f"{field.name}.{path}", copy
            continue
        copy = type(message).FromString(message.SerializeToString())
        old = getattr(copy, field.name)
        if field.type == FieldDescriptor.TYPE_STRING:
            new = old + "x"
        elif field.type == FieldDescriptor.TYPE_BYTES:
            new = bytes([old[0] ^ 1]) + old[1:] if old else b"x"
        else:
            new = old + 1
        setattr(copy, field.name, new)
        yield field.name, copy


def test_what_is_sealed_arrives_both_ways_and_in_order(parties):
    a, b = meet(parties)
    for number in range(3):
        assert b.open_envelope(*seal(a, SECRET + bytes([number]))) == SECRET + bytes([number])
        assert a.open_envelope(*seal(b, b"answer")) == b"answer"
    assert b.open_envelope(*seal(a, b"")) == b""


def test_both_ends_hold_the_same_pairwise_key_and_no_other_pair_does(parties):
    a, b = meet(parties)
    assert a.pairwise == b.pairwise
    assert len({a.pairwise, a._send_key, a._receive_key}) == 3
    again, _ = meet(parties)
    with_c, _ = meet(parties, "a", "c")
    assert len({link.pairwise for link in (a, again, with_c)}) == 3


def test_the_relay_reads_neither_payload_nor_repetition(parties):
    a, _ = meet(parties)
    (envelope, first), (_, second) = seal(a), seal(a)
    assert SECRET not in envelope.SerializeToString() + first
    assert first != second
    assert len(first) == len(SECRET) + 16


def test_every_header_field_is_authenticated(parties):
    a, b = meet(parties)
    envelope, sealed = seal(a)
    names = []
    for name, header in altered_fields(envelope.header):
        names.append(name)
        with pytest.raises(EnvelopeError):
            b.open_envelope(relay_pb2.Envelope(header=header), sealed)
    assert len(names) == 11
    assert {
        "step.run",
        "step.generation",
        "step.epoch",
        "step.step",
        "step.purpose",
        "topic",
        "mailbox",
    } < set(names)
    assert b.open_envelope(envelope, sealed) == SECRET  # what was refused moved nothing


def test_every_sealed_byte_is_authenticated(parties):
    a, b = meet(parties)
    envelope, sealed = seal(a)
    for place in range(len(sealed)):
        forged = bytearray(sealed)
        forged[place] ^= 0x80
        with pytest.raises(EnvelopeError, match="altered on its way"):
            b.open_envelope(envelope, bytes(forged))
    for cut in (b"", sealed[:-1], sealed + b"x"):
        with pytest.raises(EnvelopeError):
            b.open_envelope(envelope, cut)
    assert (
        b.open_envelope(envelope, memoryview(sealed)) == SECRET
    )  # as it lies in a frame; what was refused moved nothing


def test_a_replay_is_refused(parties):
    a, b = meet(parties)
    envelope = seal(a)
    b.open_envelope(*envelope)
    with pytest.raises(EnvelopeError, match=r"envelope 0 of 'a' is replayed, wanted 1"):
        b.open_envelope(*envelope)


def test_a_dropped_envelope_leaves_a_gap(parties):
    a, b = meet(parties)
    seal(a)
    with pytest.raises(EnvelopeError, match=r"envelope 1 of 'a' is out of order, wanted 0"):
        b.open_envelope(*seal(a))


def test_reordered_envelopes_are_refused(parties):
    a, b = meet(parties)
    first, second = seal(a, b"1"), seal(a, b"2")
    with pytest.raises(EnvelopeError):
        b.open_envelope(*second)
    assert [b.open_envelope(*first), b.open_envelope(*second)] == [b"1", b"2"]


def test_a_renumbered_replay_is_refused(parties):
    a, b = meet(parties)
    envelope, sealed = seal(a)
    b.open_envelope(envelope, sealed)
    envelope.header.sequence = 1
    with pytest.raises(EnvelopeError, match="altered on its way"):
        b.open_envelope(envelope, sealed)


def test_an_envelope_cannot_be_turned_back_to_its_sender(parties):
    a, _ = meet(parties)
    envelope, sealed = seal(a)
    envelope.header.step.sender, envelope.header.receiver = "b", "a"
    with pytest.raises(EnvelopeError):
        a.open_envelope(envelope, sealed)


def test_an_envelope_of_another_link_is_refused(parties):
    a_b, _ = meet(parties)
    _, c = meet(parties, "a", "c")
    with pytest.raises(EnvelopeError, match="arrived on the link with"):
        c.open_envelope(*seal(a_b))


def test_an_old_introduction_leads_to_keys_nobody_holds(parties):
    old = introducer(parties, "a", "b").message
    mine, theirs = introducer(parties, "a", "b"), introducer(parties, "b", "a")
    a = mine.complete(theirs.message, parties["b"].fingerprint)
    b = theirs.complete(old, parties["a"].fingerprint)  # the relay sent the old one instead
    assert a.pairwise != b.pairwise
    with pytest.raises(EnvelopeError):
        b.open_envelope(*seal(a))
    with pytest.raises(EnvelopeError):
        a.open_envelope(*seal(b))


def test_every_field_of_an_introduction_is_checked(parties):
    mine, theirs = introducer(parties, "a", "b"), introducer(parties, "b", "a")
    names = []
    for name, message in altered_fields(theirs.message):
        names.append(name)
        with pytest.raises((EnvelopeError, CertificateError)):
            mine.complete(message, parties["b"].fingerprint)
    assert len(names) == 10
    mine.complete(theirs.message, parties["b"].fingerprint)


@pytest.mark.parametrize("field", ["x25519_public", "nonce", "answers_nonce", "signature"])
def test_an_altered_introduction_says_whom_not_to_trust(field, parties):
    mine, theirs = introducer(parties, "a", "b"), introducer(parties, "b", "a")
    message = dict(altered_fields(theirs.message))[field]
    with pytest.raises(EnvelopeError, match="was altered on its way; do not trust this relay"):
        mine.complete(message, parties["b"].fingerprint)


@pytest.mark.parametrize(
    ("elsewhere", "sentence"),
    [
        ({"generation": 2}, "of generation 2 arrived"),
        ({"mailbox": "run-2", "reply_mailbox": "run-2"}, "for mailbox 'run-2'"),
        ({"reply_mailbox": "lobby"}, "mailbox"),
    ],
    ids=["generation", "run", "reply mailbox"],
)
def test_an_introduction_for_another_run_is_refused(elsewhere, sentence, parties):
    """Signed by the peer and unaltered, but made for another agreement."""
    mine, theirs = introducer(parties, "a", "b"), introducer(parties, "b", "a", **elsewhere)
    with pytest.raises(EnvelopeError, match=sentence):
        mine.complete(theirs.message, parties["b"].fingerprint)


def test_a_probe_and_its_answer_use_two_mailboxes(parties):
    probe = introducer(parties, "a", "b", mailbox="lobby", reply_mailbox="doctor-1", generation=0)
    answer = introducer(parties, "b", "a", mailbox="doctor-1", reply_mailbox="lobby", generation=0)
    a = probe.complete(answer.message, parties["b"].fingerprint)
    b = answer.complete(probe.message, parties["a"].fingerprint)
    assert b.open_envelope(*seal(a)) == SECRET


def test_an_introduction_of_a_third_party_is_refused(parties):
    mine, theirs = introducer(parties, "a", "b"), introducer(parties, "c", "a")
    with pytest.raises(EnvelopeError, match="wanted 'b' to 'a'"):
        mine.complete(theirs.message, parties["c"].fingerprint)


def test_a_wrong_pin_is_refused(parties):
    mine, theirs = introducer(parties, "a", "b"), introducer(parties, "b", "a")
    with pytest.raises(CertificateError, match="the policy pins"):
        mine.complete(theirs.message, parties["c"].fingerprint)


def in_the_name_of(identity, sender, receiver):
    """An introduction that ``identity`` signs while it claims to be ``sender``."""
    message = Introducer(identity, receiver, mailbox=RUN, reply_mailbox=RUN, generation=1).message
    message.sender = sender
    message.signature = identity.sign(_introduction_bytes(message))
    return message


@pytest.mark.parametrize(("name", "role"), [("c", "party"), ("b", "neutral-server"), ("b", "coordinator")])
def test_a_certificate_of_another_name_or_role_is_refused(name, role, parties, make_identity):
    liar = make_identity(name, role)
    with pytest.raises(CertificateError, match="another name or role"):
        introducer(parties, "a", "b").complete(in_the_name_of(liar, "b", "a"), liar.fingerprint)


def test_a_signature_by_another_key_is_refused(parties):
    message = in_the_name_of(parties["c"], "b", "a")
    message.certificate_der = parties["b"].certificate.public_bytes(Encoding.DER)
    with pytest.raises(EnvelopeError, match="altered on its way"):
        introducer(parties, "a", "b").complete(message, parties["b"].fingerprint)


def test_a_certificate_of_another_authority_is_refused_even_when_pinned(parties, make_identity, other_authority):
    foreign = make_identity("b", by=other_authority)
    with pytest.raises(CertificateError, match="not issued by this authority"):
        introducer(parties, "a", "b").complete(in_the_name_of(foreign, "b", "a"), foreign.fingerprint)


def test_an_expired_certificate_is_refused(parties, make_identity):
    now = datetime.now(UTC)
    expired = make_identity(
        "b",
        now=now - timedelta(minutes=2),
        valid_from=now - timedelta(minutes=4),
        valid_until=now - timedelta(minutes=1),
    )
    with pytest.raises(CertificateError, match="expired on"):
        introducer(parties, "a", "b").complete(in_the_name_of(expired, "b", "a"), expired.fingerprint)


@pytest.mark.parametrize("public", [bytes(32), b"short", b""])
def test_a_useless_public_key_is_refused(public, parties):
    """Signed by the peer itself; all zeros would make the shared secret known to everybody."""
    theirs = introducer(parties, "b", "a").message
    theirs.x25519_public = public
    theirs.signature = parties["b"].sign(_introduction_bytes(theirs))
    with pytest.raises(EnvelopeError, match="key"):
        introducer(parties, "a", "b").complete(theirs, parties["b"].fingerprint)


def test_no_secret_is_printed(parties):
    link, _ = meet(parties)
    assert isinstance(link, SealedLink)
    printed = repr(link) + str(link) + repr(parties["a"]) + repr(introducer(parties, "a", "b"))
    for key in (link.pairwise, link._send_key, link._receive_key):
        assert repr(key)[2:-1] not in printed
        assert key.hex() not in printed
    assert "PRIVATE KEY" not in printed
