"""`beaver`: Algorithm 1 of the P2N2 paper for n parties, with seeded shares.

X and Theta of every party are additively shared over Z_2^64 with f fractional bits; a share that is uniform is a
keystream of the pair and never travels.
 [1] once: <E> = <X> - <U> is sent to every peer, E = X - U is opened. U is drawn afresh for every run generation and
     never masks another X;
 [2] each step: Theta is shared again, <F> = <Theta> - <V> goes to every peer, F is opened; V is fresh;
 [3] <z1> = E_b F [first party] + E_b <V> + <U>_b F + <C>, re-masked with a zero-mask, goes to the neutral server.

|z1 - X Theta| <= D (e (max|X| + max|Theta|) + e^2) with e = 2^-(f+1) and D columns (fixed_point.product_error_bound).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kernel.batch_order import RowIndices
from kernel.errors import StepError
from kernel.fixed_point import FixedPoint
from kernel.masks import ZeroMask
from kernel.randomness import Keystream, StreamPosition, derive_key
from kernel.ring import RingArray, load_ring_kernels
from kernel.shares import owner_share, peer_share
from kernel.triples import SeededShares, product_share
from kernel.wire.codec import decode_ring, encode_ring
from kernel.wire.tensor_frame import TensorFrame, pack_frame, unpack_frame
from party.dealer_client import DealerClient
from party.first_layer.masked_sum import PadsAhead
from party.first_layer.protocol import FirstLayerBlock
from party.membership import Membership
from party.peer_links import PeerLinks
from protos.v1 import common_pb2, relay_pb2

_CHUNK_BYTES = 1 << 20


class Beaver:
    """One party's side.

    Args:
      widths: encoded columns per party in the order of the plan.
      ring: 64 bits, f fractional bits, for X and Theta; their product has 2f.
    """

    def __init__(
        self,
        block: FirstLayerBlock,
        membership: Membership,
        widths: Sequence[int],
        *,
        ring: FixedPoint,
        links: PeerLinks,
        dealer: DealerClient,
        mask: ZeroMask,
    ) -> None:
        self._block, self._membership, self._widths, self._ring = block, membership, list(widths), ring
        self._product_ring = FixedPoint(ring.ring_bits, 2 * ring.fractional_bits, addends=len(membership.names))
        self._links, self._dealer = links, dealer
        self._pads = PadsAhead(mask, block.weights.shape[1], ring.ring_bits)
        self._columns = sum(widths)
        self._first = membership.names[0] == membership.me
        self._row_norm = float(np.abs(block.rows_in_memory()).sum(axis=1).max(initial=0.0))
        self._used: set[StreamPosition] = set()
        self._e_and_u: RingArray = np.empty((0, 0), np.uint64)
        self._seeded: SeededShares | None = None

    def begin(self) -> None:
        """Open E [1], in chunks that every party sends and receives in step."""
        load_ring_kernels(64)
        seeded = self._seeded = SeededShares(self._dealer.enrol())
        rows = len(self._block.rows)
        mine = self._ring.encode(
            self._block.rows_in_memory().astype(np.float64), "encoded value of this party's columns"
        )
        position = StreamPosition(0, 0, common_pb2.PURPOSE_SET_UP)
        x_share = self._share_of_all(mine, "share-x", position)
        u_share = seeded.u(rows, self._columns)
        e_share = x_share - u_share
        opened = e_share.copy()
        chunk_rows = max(1, _CHUNK_BYTES // (8 * self._columns))
        for number, start in enumerate(range(0, rows, chunk_rows)):
            piece = slice(start, min(rows, start + chunk_rows))
            self._open_piece(
                e_share[piece],
                opened[piece],
                start,
                "opening-e",
                self._membership.header(0, number, common_pb2.PURPOSE_SET_UP),
            )
        self._e_and_u = np.concatenate([opened, u_share], axis=1)

    def open_pass(self, epoch: int, purpose: int, batch_rows: list[int]) -> None:
        self._pads.open_pass(epoch, purpose, batch_rows)
        self._dealer.open_pass(epoch, purpose)

    def make_ahead(self) -> None:
        self._pads.make_ahead()

    def close(self) -> None:
        self._dealer.close()

    def share(self, rows: RowIndices, batch: NDArray[np.float32], position: StreamPosition) -> RingArray:
        if self._seeded is None:
            raise StepError("a share was asked for before E was opened")
        if position in self._used:
            raise StepError(f"the triple of step {position.step} was used before; a triple is used once")
        self._used.add(position)
        weights = self._block.weights
        self._check_range(batch, weights)
        header = self._membership.header(position.epoch, position.step, position.purpose)
        theta_share = self._share_of_all(
            self._ring.encode(weights.astype(np.float64), "first-layer weight of this party"),
            "share-theta",
            position,
        )
        v_share = self._seeded.v(self._columns, weights.shape[1], position)
        f_share = theta_share - v_share
        f = f_share.copy()
        self._open_piece(f_share, f, 0, "opening-f", header)  # [2]
        c_share = self._seeded.c(len(rows), weights.shape[1], position)
        correction = self._dealer.correction(header, c_share.shape)
        if correction is not None:
            c_share += correction
        share = product_share(self._e_and_u[rows], f, v_share, c_share, first=self._first)  # [3]
        share += self._pads.take(position)
        return share

    def _share_of_all(self, mine: RingArray, purpose: str, position: StreamPosition) -> RingArray:
        """This party's share of all parties' blocks: its own minus the peers' keystreams, and keystreams for the rest.

        Blocks of X lie side by side (split by columns), blocks of Theta one above the other.
        """
        blocks = []
        for name, width in zip(self._membership.names, self._widths, strict=True):
            if name == self._membership.me:
                peers = {peer: self._keystream(peer, purpose, self._membership.me) for peer in self._links.links}
                blocks.append(owner_share(mine, peers, position))
            else:
                shape = (len(mine), width) if purpose == "share-x" else (width, mine.shape[1])
                blocks.append(peer_share(shape, 64, self._keystream(name, purpose, name), position))
        return np.concatenate(blocks, axis=1 if purpose == "share-x" else 0)

    def _keystream(self, peer: str, purpose: str, owner: str) -> Keystream:
        return Keystream(
            derive_key(
                self._links.links[peer].pairwise, self._membership.run, self._membership.generation, purpose, owner
            )
        )

    def _open_piece(
        self, share: RingArray, total: RingArray, first_row: int, topic: str, header: common_pb2.StepHeader
    ) -> None:
        """Send ``share`` to every peer and add theirs to ``total``: reveals the masked value to all parties."""
        words, payload = encode_ring(share, self._ring.fractional_bits)
        opening = pack_frame(TensorFrame(relay_pb2.Opening(words=words, first_row=first_row), payload))
        for peer in self._links.links:
            self._links.send(peer, topic, opening, header)
        for peer in self._links.links:
            theirs = unpack_frame(relay_pb2.Opening.FromString, self._links.receive(peer, topic, header))
            if theirs.message.first_row != first_row:
                raise StepError(f"{peer!r} opened rows from {theirs.message.first_row}; wanted rows from {first_row}")
            total += decode_ring(
                theirs.message.words,
                theirs.payload,
                ring_bits=self._ring.ring_bits,
                fractional_bits=self._ring.fractional_bits,
                shape=share.shape,
                what=f"{topic} of {peer!r}",
            )

    def _check_range(self, batch: NDArray[np.float32], weights: NDArray[np.float32]) -> None:
        """|X_i Theta_i| fits: by the rows' largest L1 norm where that is enough, by the product itself where not."""
        bound = self._row_norm * float(np.abs(weights).max(initial=0.0))
        if not bound <= self._product_ring.limit:
            bound = float(np.abs(batch @ weights).max(initial=0.0))
        self._product_ring.check(bound, "z1 of this party's columns (two factors: twice the plan's f)")
