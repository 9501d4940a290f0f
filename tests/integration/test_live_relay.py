"""Two parties meet through a relay that misbehaves: real gRPC, mutual TLS, sealed links; every trick ends in an error.

The relay forwards by the neutral server's own code, except for what a trick does to one frame. It holds no key of a
party; in one test it even has the authority's, and is stopped by the pins.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from coordinator.certificate_authority import CertificateAuthority
from kernel.errors import CertificateError, EnvelopeError, PeerError, StepError, TertiumError
from kernel.sealed_envelope import Introducer
from kernel.wire.channel import dial
from kernel.wire.identity import Identity, Peer
from kernel.wire.meter import LinkMeter, MeteredChannel
from kernel.wire.relay import RelayDesk
from kernel.wire.relay_service import RelayService
from kernel.wire.server import Listener
from kernel.wire.stream import DuplexStream
from kernel.wire.tensor_frame import TensorFrame, pack_frame, unpack_frame
from party.peer_links import PeerLinks
from party.session import PartySession
from party.settings import PartySettings
from protos.v1 import common_pb2, coordination_pb2, plan_pb2, relay_pb2, relay_pb2_grpc

SERVER, RUN, SECONDS = "neutral-server", "trial", 10.0
SHORT_SECONDS = 0.3
"""How long a party waits for what the relay has dropped."""

Message = relay_pb2.RelayFrame
Frame = TensorFrame[Message]
Trick = Callable[[str, Frame], list[Frame]]
"""(sender, frame) -> what is forwarded in its place."""


class CrookedDesk(RelayDesk):
    """Forwards what the trick makes of a frame. ``seen`` keeps every frame, for tricks that replay."""

    def __init__(self):
        super().__init__(lambda run: ("ann", "bob") if run in (RUN, "another") else ())
        self.trick: Trick = lambda sender, frame: [frame]
        self.seen: list[Frame] = []

    def forward(self, sender, frame, *, source):
        for one in self.trick(sender, unpack_frame(Message.FromString, pack_frame(frame))):
            said = one.message
            claimed = said.introduction.sender if said.HasField("introduction") else said.envelope.header.step.sender
            super().forward(claimed, one, source=source)  # the relay's own check of the sender is its own to skip
        self.seen.append(frame)


@pytest.fixture(scope="module")
def authority():
    return CertificateAuthority.create()


@pytest.fixture(scope="module")
def identity(authority):
    def make(role, name):
        issued = authority.issue(Peer(role, name))
        return Identity.from_pem(issued.certificate_pem, issued.key_pem, authority.certificate_pem)

    return make


@pytest.fixture(scope="module")
def parties(identity):
    return {name: identity("party", name) for name in ("ann", "bob", "eve")}


@pytest.fixture
def desk():
    return CrookedDesk()


@pytest.fixture
def address(desk, identity):
    service = (relay_pb2_grpc.add_RelayServicer_to_server, RelayService(desk))
    listener = Listener("127.0.0.1:0", identity("neutral-server", SERVER), (service,))
    listener.start()
    yield f"127.0.0.1:{listener.port}"
    desk.close()
    listener.stop(0.1)


@pytest.fixture
def exchange(address, parties):
    """``exchange(name)``: the relay's method, dialled with that party's certificate."""
    channels = []

    def dialled(name):
        channels.append(MeteredChannel(dial(address, parties[name], SERVER), name, SERVER, LinkMeter()))
        return relay_pb2_grpc.RelayStub(channels[-1]).Exchange

    yield dialled
    for channel in channels:
        channel.close()


@pytest.fixture
def links(exchange, parties):
    """``links(generation=1, mailbox=RUN, wait=SECONDS)``: both parties' ends, not yet met; closed at the end."""
    made = []

    def make(generation=1, mailbox=RUN, wait=SECONDS):
        ends = {}
        for me, peer in (("ann", "bob"), ("bob", "ann")):
            pins = {peer: parties[peer].fingerprint}
            ends[me] = PeerLinks(
                exchange(me), parties[me], pins, mailbox=mailbox, generation=generation, wait_seconds=wait
            )
        made.extend(ends.values())
        return ends

    yield make
    for end in made:
        end.close()


def meet(ends):
    """Both at once; what each ends with, None where it met its peer."""
    with ThreadPoolExecutor(len(ends)) as pool:
        futures = {name: pool.submit(end.meet) for name, end in ends.items()}
        return {name: future.exception(timeout=2 * SECONDS) for name, future in futures.items()}


def header(sender, step=0, **changes):
    fields = {"run": RUN, "generation": 1, "epoch": 1, "step": step, "purpose": common_pb2.PURPOSE_TRAIN}
    return common_pb2.StepHeader(**{**fields, "sender": sender, **changes})


@pytest.fixture
def met(links):
    ends = links()
    assert meet(ends) == {"ann": None, "bob": None}
    return ends


def test_an_honest_relay_carries_both_ways(met, desk):
    for step in range(3):
        met["ann"].send("bob", "opening-f", b"from ann %d" % step, header("ann", step))
        met["bob"].send("ann", "opening-f", b"from bob %d" % step, header("bob", step))
    for step in range(3):
        assert met["bob"].receive("ann", "opening-f", header("ann", step)) == b"from ann %d" % step
        assert met["ann"].receive("bob", "opening-f", header("bob", step)) == b"from bob %d" % step
    assert met["ann"].links["bob"].pairwise == met["bob"].links["ann"].pairwise
    carried = b"".join(pack_frame(frame) for frame in desk.seen)
    assert b"from ann" not in carried
    assert bytes(met["ann"].links["bob"].pairwise) not in carried


# --- envelopes --------------------------------------------------------------------------------------------------------


def flipped(data, place=0):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def set_sealed(make):
    def trick(sender, frame):
        if frame.message.HasField("envelope"):
            return [TensorFrame(frame.message, make(bytes(frame.payload)))]
        return [frame]

    return trick


def set_header(**fields):
    def trick(sender, frame):
        if frame.message.HasField("envelope"):
            header = frame.message.envelope.header
            for name, value in fields.items():
                setattr(header if name in ("topic", "sequence") else header.step, name, value)
        return [frame]

    return trick


def swapped():
    """The first envelope waits until the second has gone."""
    kept = []

    def trick(sender, frame):
        if not kept:
            kept.append(frame)
            return []
        return [frame, *kept]

    return trick


def dropped():
    gone = []

    def trick(sender, frame):
        if not gone:
            gone.append(frame)
            return []
        return [frame]

    return trick


ALTERED = "envelope 0 of 'ann' was altered on its way; the relay misbehaves: stop the run"
TRICKS = {
    "a bit of the seal": (lambda: set_sealed(flipped), ALTERED),
    "the last bit of the tag": (lambda: set_sealed(lambda seal: flipped(seal, len(seal) - 1)), ALTERED),
    "cut short": (lambda: set_sealed(lambda seal: seal[:-1]), ALTERED),
    "emptied": (lambda: set_sealed(lambda seal: b""), ALTERED),
    "with a byte behind it": (lambda: set_sealed(lambda seal: seal + b"x"), ALTERED),
    "another topic": (lambda: set_header(topic="opening-e"), ALTERED),
    "another step": (lambda: set_header(step=1), ALTERED),
    "another epoch": (lambda: set_header(epoch=2), ALTERED),
    "another generation": (lambda: set_header(generation=2), ALTERED),
    "another run": (lambda: set_header(run="another"), ALTERED),
    "another purpose": (lambda: set_header(purpose=common_pb2.PURPOSE_EVALUATE), ALTERED),
    "a later place": (lambda: set_header(sequence=1), "envelope 1 of 'ann' is out of order, wanted 0"),
    "swapped with the next": (swapped, "envelope 1 of 'ann' is out of order, wanted 0; the relay misbehaves"),
    "dropped": (dropped, "envelope 1 of 'ann' is out of order, wanted 0; the relay misbehaves"),
}


@pytest.mark.parametrize(("trick", "sentence"), TRICKS.values(), ids=TRICKS)
def test_an_envelope_that_was_tampered_with(trick, sentence, met, desk):
    desk.trick = trick()
    for step in range(2):
        met["ann"].send("bob", "opening-f", b"payload", header("ann", step))
    with pytest.raises(EnvelopeError) as caught:
        met["bob"].receive("ann", "opening-f", header("ann"))
    assert sentence in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_replayed_envelope(met, desk):
    """The first arrives and counts; its copy does not."""
    desk.trick = lambda sender, frame: [frame, frame]
    met["ann"].send("bob", "opening-f", b"payload", header("ann"))
    assert met["bob"].receive("ann", "opening-f", header("ann")) == b"payload"
    with pytest.raises(EnvelopeError, match="envelope 0 of 'ann' is replayed, wanted 1; the relay misbehaves"):
        met["bob"].receive("ann", "opening-f", header("ann"))


def test_an_envelope_of_an_earlier_generation(met, desk, links):
    met["ann"].send("bob", "opening-f", b"payload", header("ann"))
    assert met["bob"].receive("ann", "opening-f", header("ann")) == b"payload"
    old = desk.seen[-1]
    desk.drop_run(RUN)  # as the neutral server does when a generation is prepared
    ends = links(generation=2)
    assert meet(ends) == {"ann": None, "bob": None}
    desk.trick = lambda sender, frame: [old]
    ends["ann"].send("bob", "opening-f", b"new", header("ann", generation=2))
    with pytest.raises(EnvelopeError, match="was altered on its way"):  # sealed under keys of another meeting
        ends["bob"].receive("ann", "opening-f", header("ann", generation=2))


def test_an_envelope_sent_back_to_its_sender(met, desk):
    def reflect(sender, frame):
        frame.message.envelope.header.receiver = "ann"
        return [frame]

    desk.trick = reflect
    met["ann"].send("bob", "opening-f", b"payload", header("ann"))
    with pytest.raises(EnvelopeError, match="an envelope of 'ann' arrived before its introduction"):
        met["ann"].receive("bob", "opening-f", header("bob"))


def test_an_envelope_sent_back_in_the_peers_name(met, desk):
    def reflect(sender, frame):
        frame.message.envelope.header.receiver, frame.message.envelope.header.step.sender = "ann", "bob"
        return [frame]

    desk.trick = reflect
    met["ann"].send("bob", "opening-f", b"payload", header("ann"))
    with pytest.raises(EnvelopeError, match="envelope 0 of 'bob' was altered on its way"):  # keys are per direction
        met["ann"].receive("bob", "opening-f", header("bob"))


def test_an_honest_peer_at_another_step_is_not_taken_for_the_relay(met):
    met["ann"].send("bob", "opening-f", b"payload", header("ann", step=4))
    with pytest.raises(StepError, match="'ann' sent 'opening-f' for"):
        met["bob"].receive("ann", "opening-f", header("ann", step=0))


def test_an_honest_peer_in_another_run_is_not_taken_for_the_relay(met):
    met["ann"].send("bob", "opening-f", b"payload", header("ann", run="another"))
    with pytest.raises(StepError, match="'ann' sent an envelope for run 'another' generation 1; this is run 'trial'"):
        met["bob"].receive("ann", "opening-f", header("ann"))


# --- introductions ----------------------------------------------------------------------------------------------------


def of_introductions(change):
    def trick(sender, frame):
        if frame.message.HasField("introduction"):
            change(frame.message.introduction)
        return [frame]

    return trick


def introductions(desk):
    """By sender, as they passed."""
    seen = (frame for frame in desk.seen if frame.message.HasField("introduction"))
    return {frame.message.introduction.sender: frame for frame in seen}


def set_field(name, value):
    return of_introductions(lambda introduction: setattr(introduction, name, value))


INTRODUCTIONS = {
    "another key": (set_field("x25519_public", bytes(range(32))), "was altered on its way; do not trust this relay"),
    "another nonce": (set_field("nonce", bytes(32)), "was altered on its way; do not trust this relay"),
    "another signature": (set_field("signature", b"0"), "was altered on its way; do not trust this relay"),
    "another generation": (set_field("generation", 2), "wanted 'bob' to 'ann' of generation 1"),
    "another way back": (set_field("reply_mailbox", "another"), "the relay moved it, do not trust this relay"),
    "no certificate": (set_field("certificate_der", b""), "carries no readable certificate"),
}


@pytest.mark.parametrize(("trick", "sentence"), INTRODUCTIONS.values(), ids=INTRODUCTIONS)
def test_an_introduction_that_was_tampered_with(trick, sentence, links, desk):
    desk.trick = trick
    found = meet(links())
    assert isinstance(found["ann"], EnvelopeError | CertificateError), found
    assert sentence in str(found["ann"])
    assert found["bob"] is not None


def test_a_relay_in_the_middle_with_the_authoritys_own_key(links, desk, identity):
    """It answers each party with a certificate of the right name from the right authority; the pin is another."""
    impostors = {name: identity("party", name) for name in ("ann", "bob")}

    def trick(sender, frame):
        theirs = frame.message.introduction
        mine = Introducer(
            impostors[sender],
            theirs.receiver,
            mailbox=theirs.mailbox,
            reply_mailbox=theirs.reply_mailbox,
            generation=theirs.generation,
        )
        return [TensorFrame(Message(introduction=mine.message))]

    desk.trick = trick
    for name, error in meet(links()).items():
        peer = "bob" if name == "ann" else "ann"
        assert isinstance(error, CertificateError)
        assert f"'{peer}' shows a certificate with fingerprint {impostors[peer].fingerprint[:19]}…" in str(error)
        assert "ask the peer for its fingerprint over another channel" in str(error)


def test_an_introduction_of_an_earlier_meeting(met, links, desk):
    """Signed and for the same mailbox, but of generation 1: refused in generation 2."""
    old = introductions(desk)
    desk.trick = lambda sender, frame: [old[sender]]
    desk.drop_run(RUN)
    for error in meet(links(generation=2)).values():
        assert isinstance(error, EnvelopeError)
        assert "of generation 1 arrived; wanted" in str(error)


def test_an_introduction_of_an_earlier_meeting_in_the_same_generation_leads_to_no_common_key(met, links, desk):
    """Even a server that forgot the generation gains nothing: nobody holds the key that follows."""
    old = introductions(desk)
    desk.trick = lambda sender, frame: [old[sender]] if frame.message.HasField("introduction") else [frame]
    desk.drop_run(RUN)
    ends = links()
    assert meet(ends) == {"ann": None, "bob": None}
    ends["ann"].send("bob", "opening-f", b"payload", header("ann"))
    with pytest.raises(EnvelopeError, match="was altered on its way"):
        ends["bob"].receive("ann", "opening-f", header("ann"))


def test_an_introduction_that_comes_twice(links, desk):
    desk.trick = lambda sender, frame: [frame, frame] if sender == "bob" else [frame]
    ends = links(wait=SECONDS)
    meet(ends)  # the copy may come before or after ann has what she waits for
    with pytest.raises(EnvelopeError, match="the relay"):
        ends["ann"].receive("bob", "opening-f", header("bob"))


def test_a_relay_that_drops_everything(links, desk):
    desk.trick = lambda sender, frame: []
    for name, error in meet(links(wait=SHORT_SECONDS)).items():
        peer = "bob" if name == "ann" else "ann"
        assert isinstance(error, PeerError)
        assert f"while waiting for introductions of {peer}: the relay at the neutral server sent nothing" in str(error)


# --- who may open and send what ---------------------------------------------------------------------------------------


def refused(exchange, name, *frames):
    """What the relay ends the stream with, after at most an `opened`."""
    stream = DuplexStream(exchange(name), "the relay")
    try:
        for frame in frames:
            stream.send(frame)
        for _ in range(2):
            assert stream.receive(SECONDS).message.WhichOneof("kind") == "opened"
    except PeerError as error:
        return str(error)
    finally:
        stream.close()
    pytest.fail("the relay refused nothing")


def opened(mailbox):
    return TensorFrame(Message(open=relay_pb2.OpenMailbox(mailbox=mailbox)))


def sealed(sender, receiver, mailbox):
    step = common_pb2.StepHeader(run=RUN, generation=1, sender=sender)
    header = relay_pb2.EnvelopeHeader(step=step, receiver=receiver, mailbox=mailbox)
    return TensorFrame(Message(envelope=relay_pb2.Envelope(header=header)), b"sealed")


class TestAnHonestRelay:
    @pytest.fixture
    def desk(self):
        return RelayDesk(lambda run: ("ann", "bob") if run == RUN else ())

    @pytest.mark.parametrize(
        ("name", "frames", "sentence"),
        [
            ("eve", [opened(RUN)], "'eve' takes no part in a run called 'trial'"),
            ("ann", [opened("other")], "'ann' takes no part in a run called 'other'"),
            ("ann", [sealed("ann", "bob", RUN)], "the first frame of 'ann' must open a mailbox"),
            ("ann", [opened(RUN), sealed("bob", "ann", RUN)], "'ann' sent a frame in the name of 'bob'"),
            ("eve", [opened("lobby"), sealed("eve", "bob", RUN)], "'eve' takes no part in a run called 'trial'"),
            ("ann", [opened(RUN), opened(RUN)], "'ann' sent open to the relay; it forwards introductions and"),
            ("ann", [opened(RUN), TensorFrame(Message())], "'ann' sent an empty frame to the relay"),
            ("ann", [TensorFrame(Message(), b"bare")], "the first frame of 'ann' must open a mailbox"),
        ],
    )
    def test_refuses(self, name, frames, sentence, exchange):
        assert sentence in refused(exchange, name, *frames)

    def test_refuses_an_introduction_in_anothers_name(self, exchange):
        forged = TensorFrame(Message(introduction=relay_pb2.Introduction(sender="bob", receiver="ann", mailbox=RUN)))
        assert "'ann' sent a frame in the name of 'bob'" in refused(exchange, "ann", opened(RUN), forged)

    def test_ends_the_mailboxes_of_an_earlier_generation(self, desk, links):
        ends = links()
        assert meet(ends) == {"ann": None, "bob": None}
        desk.drop_run(RUN)
        with pytest.raises(PeerError, match="the relay at the neutral server ended the stream"):
            ends["bob"].receive("ann", "opening-f", header("ann"))
        assert meet(links(generation=2)) == {"ann": None, "bob": None}

    def test_goes_on_for_the_others(self, exchange, links):
        refused(exchange, "eve", opened(RUN))
        assert meet(links()) == {"ann": None, "bob": None}


# --- a generation is used once at a party, too ----------------------------------------------------------------------


def test_a_party_refuses_a_generation_it_has_seen(exchange, parties, tmp_path):
    """A coordinator restored from an old backup would reuse masks: the party's own note on disk says no."""
    settings = PartySettings.model_validate(
        {
            "name": "ann",
            "coordinator": {"address": "127.0.0.1:1", "name": "coordinator"},
            "neutral_server": {"address": "127.0.0.1:1", "name": SERVER},
            "state_directory": tmp_path / "state",
            "tls": {"certificate": "x", "key": "x", "authority": "x"},
            "tables": {"wine": {"source": "builtin:wine"}},
            "policy": {"peers": {"bob": parties["bob"].fingerprint}, "columns": {"wine": ["alcohol"]}},
            "wait_seconds": SHORT_SECONDS,
        }
    )
    plan = plan_pb2.RunPlan(
        micro_batches=1,
        name="p",
        job=plan_pb2.JOB_KIND_SPLIT_NN,
        protocol=plan_pb2.FIRST_LAYER_PROTOCOL_MASKED_SUM,
        ring=plan_pb2.RingPlan(ring_bits=32, fractional_bits=16),
        network=plan_pb2.NetworkPlan(
            widths=[2],
            activations=["relu"],
            loss="binary",
            outputs=1,
            optimizer=plan_pb2.OptimizerPlan(name="sgd", learning_rate=0.1),
        ),
        parties=[
            plan_pb2.PartyPlan(name="ann", table="wine", columns=["alcohol"]),
            plan_pb2.PartyPlan(name="bob", table="wine", columns=["ash"], label="target"),
        ],
        epochs=1,
        batch_rows=8,
        test_fraction=0.2,
        barrier_every_epochs=1,
        cut_dtype=common_pb2.D_TYPE_FLOAT32,
    )

    def prepare(generation):
        session = PartySession(
            settings,
            parties["ann"],
            run=RUN,
            generation=generation,
            stubs={"relay": relay_pb2_grpc.RelayStub.__new__(relay_pb2_grpc.RelayStub)},
            meter=None,
            send_progress=lambda progress: None,
        )
        session._stubs["relay"].Exchange = exchange("ann")
        try:
            session.prepare(coordination_pb2.Prepare(plan=plan))
        except TertiumError as error:
            return error
        finally:
            session.close()
        return None

    first = prepare(3)
    assert isinstance(first, PeerError)  # nobody is there to meet
    assert not isinstance(first, StepError)
    for generation in (3, 2):
        again = prepare(generation)
        assert isinstance(again, StepError)
        assert f"generation {generation} of run 'trial' is not new here; the last one was 3" in str(again)
    assert not isinstance(prepare(4), StepError)
