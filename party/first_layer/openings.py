"""Openings among the parties: everybody sends its share to everybody, and the sum is what all learn."""

import numpy as np

from kernel.errors import StepError
from kernel.fixed_point import FixedPoint
from kernel.ring import RingArray
from kernel.secret.step import Rounds
from kernel.wire.channel import OPENING_CHUNK_BYTES
from kernel.wire.codec import decode_ring, encode_ring
from kernel.wire.tensor_frame import TensorFrame, pack_frame, unpack_frame
from party.membership import Membership
from party.peer_links import PeerLinks
from protos.v1 import common_pb2, relay_pb2

_CHUNKS_IN_FLIGHT = 2
"""Chunks sent before the first peer's must be here: a link is idle in neither direction."""


class PeerOpenings:
    """One party's side, over the sealed links of one run generation; ``ring`` says what words travel."""

    def __init__(self, links: PeerLinks, membership: Membership, ring: FixedPoint) -> None:
        self._links, self._membership, self._ring = links, membership, ring

    def send(self, share: RingArray, topic: str, header: common_pb2.StepHeader, *, first_row: int = 0) -> None:
        """This party's share, to every peer."""
        for peer in self._links.links:
            self.send_to(peer, share, topic, header, first_row=first_row)

    def send_to(
        self, peer: str, share: RingArray, topic: str, header: common_pb2.StepHeader, *, first_row: int = 0
    ) -> None:
        self._links.send(peer, topic, self._packed(share, first_row), header)

    def add(self, total: RingArray, topic: str, header: common_pb2.StepHeader, *, first_row: int = 0) -> None:
        """Add every peer's share to ``total``, which holds this party's own: reveals the value to whoever gets all shares.

        Raises:
          StepError, WireError: a peer sent something else.
        """
        for peer in self._links.links:
            theirs = unpack_frame(relay_pb2.Opening.FromString, self._links.receive(peer, topic, header))
            if theirs.message.first_row != first_row:
                raise StepError(f"{peer!r} opened rows from {theirs.message.first_row}; wanted rows from {first_row}")
            total += decode_ring(
                theirs.message.words,
                theirs.payload,
                ring_bits=self._ring.ring_bits,
                fractional_bits=self._ring.fractional_bits,
                shape=total.shape,
                what=f"{topic} of {peer!r}",
            )

    def record_own(self, share: RingArray, topic: str, header: common_pb2.StepHeader) -> None:
        """For an evaluator, who sees what is revealed to this party and not what it computes."""
        if self._links.recorded:
            self._links.record_own(topic, self._packed(share), header)

    def open_in_chunks(self, share: RingArray, topic: str) -> RingArray:
        """The sum of all parties' shares of a large matrix at set-up, words [rows, columns]."""
        opened, rows = share.copy(), len(share)
        chunk_rows = max(1, OPENING_CHUNK_BYTES // (share.itemsize * share.shape[1]))
        pieces = [slice(start, min(rows, start + chunk_rows)) for start in range(0, rows, chunk_rows)]
        headers = [self._membership.header(0, number, common_pb2.PURPOSE_SET_UP) for number in range(len(pieces))]
        pairs = list(zip(pieces, headers, strict=True))
        for number, (piece, header) in enumerate(pairs):
            self.send(share[piece], topic, header, first_row=piece.start)
            if number >= _CHUNKS_IN_FLIGHT:
                due, due_header = pairs[number - _CHUNKS_IN_FLIGHT]
                self.add(opened[due], topic, due_header, first_row=due.start)
        for piece, header in pairs[-_CHUNKS_IN_FLIGHT:]:
            self.add(opened[piece], topic, header, first_row=piece.start)
        return opened

    def _packed(self, share: RingArray, first_row: int = 0) -> bytes:
        words, payload = encode_ring(share, self._ring.fractional_bits)
        return pack_frame(TensorFrame(relay_pb2.Opening(words=words, first_row=first_row), payload))


class StepOpenings:
    """The rounds of one step, numbered: every round is one envelope to every peer, with all its arrays one behind the other."""

    def __init__(self, openings: PeerOpenings, header: common_pb2.StepHeader) -> None:
        self._openings, self._header = openings, header
        self._round = 0

    def run(self, rounds: Rounds) -> None:
        """Carry a part of a step (kernel/secret/step.py) to its end."""
        shares = next(rounds, None)
        while shares is not None:
            self._round += 1
            topic, total = f"opening-{self._round}", np.concatenate([share.reshape(-1) for share in shares])
            self._openings.send(total, topic, self._header)
            self._openings.add(total, topic, self._header)
            ends = np.cumsum([share.size for share in shares])[:-1]
            opened = [part.reshape(share.shape) for part, share in zip(np.split(total, ends), shares, strict=True)]
            try:
                shares = rounds.send(opened)
            except StopIteration:
                return
