"""`beaver`: Algorithm 1 of the P2N2 paper for n parties, with seeded shares.

X and Theta of every party are additively shared over Z_2^32 or Z_2^64 with f fractional bits; a share that is uniform is
a keystream of the pair and never travels.
 [1] once: <E> = <X> - <U> is sent to every peer, E = X - U is opened. U is drawn afresh for every run generation and
     never masks another X;
 [2] ahead of each step, while the party waits: all of <F> = <Theta> - <V> but the own block, and E_b <V> + <C>; V is
     fresh;
 [3] each step: Theta is shared again, <F> goes to every peer, F is opened;
 [4] <z1> = E_b <V> + <C> + (<U>_b [+ E_b at the first party]) F, re-masked with a zero-mask, goes to the neutral server.

|z1 - X Theta| <= D (e (max|X| + max|Theta|) + e^2) with e = 2^-(f+1) and D columns (fixed_point.product_error_bound): no
share is rounded, so that a run repeats bit for bit whatever the masks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernel.batch_order import RowIndices
from kernel.errors import StepError
from kernel.fixed_point import FixedPoint
from kernel.masks import ZeroMask
from kernel.randomness import Keystream, StreamPosition, derive_key
from kernel.ring import RingArray, load_ring_kernels, ring_dtype
from kernel.shares import owner_share, peer_share
from kernel.triples import SeededShares, finish_product, prepare_product
from kernel.wire.codec import decode_ring, encode_ring
from kernel.wire.tensor_frame import TensorFrame, pack_frame, unpack_frame
from party.dealer_client import DealerClient
from party.first_layer.ahead import Ahead
from party.first_layer.protocol import FirstLayerBlock
from party.membership import Membership
from party.peer_links import PeerLinks
from protos.v1 import common_pb2, relay_pb2

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class _Prepared:
    """A step before its weights are known [2]."""

    f_share: RingArray
    """<F> without this party's Theta: [columns, width]."""
    partial: RingArray
    """E_b <V> + <C>: [batch, width]."""
    factor: RingArray
    """What F is multiplied by: [batch, columns]."""
    pad: RingArray


class Beaver:
    """One party's side.

    Args:
      widths: encoded columns per party in the order of the plan.
      ring: of X and Theta, f fractional bits; share_ring: of their product, 2f.
    """

    def __init__(
        self,
        block: FirstLayerBlock,
        membership: Membership,
        widths: Sequence[int],
        *,
        ring: FixedPoint,
        share_ring: FixedPoint,
        links: PeerLinks,
        dealer: DealerClient,
        mask: ZeroMask,
    ) -> None:
        self._block, self._membership, self._ring, self._share_ring = block, membership, ring, share_ring
        self._links, self._dealer, self._mask = links, dealer, mask
        self._columns = sum(widths)
        starts = np.concatenate([[0], np.cumsum(widths)])
        self._parts = {
            name: slice(int(start), int(end))
            for name, start, end in zip(membership.names, starts[:-1], starts[1:], strict=True)
        }
        self._row_norm = float(np.abs(block.rows_in_memory()).sum(axis=1).max(initial=0.0))
        self._own_theta, self._foreign_theta = self._streams("share-theta")
        self._steps: Ahead[_Prepared] = Ahead(self._prepare)
        self._e: RingArray = np.empty((0, 0), ring_dtype(ring.ring_bits))
        self._factors = self._e
        self._seeded: SeededShares | None = None

    def begin(self) -> None:
        """Open E [1], in chunks that every party sends and receives in step."""
        load_ring_kernels(self._ring.ring_bits)
        seeded = self._seeded = SeededShares(self._dealer.enrol(), self._ring.ring_bits)
        rows, me = len(self._block.rows), self._membership.me
        position = StreamPosition(0, 0, common_pb2.PURPOSE_SET_UP)
        own, foreign = self._streams("share-x")
        mine = self._ring.encode(
            self._block.rows_in_memory().astype(np.float64), "encoded value of this party's columns"
        )
        e_share = np.empty((rows, self._columns), mine.dtype)
        for name, part in self._parts.items():
            if name == me:
                e_share[:, part] = owner_share(mine, own, position)
            else:
                shape = (rows, part.stop - part.start)
                e_share[:, part] = peer_share(shape, self._ring.ring_bits, foreign[name], position)
        u_share = seeded.u(rows, self._columns)
        e_share -= u_share
        opened = e_share.copy()
        chunk_rows = max(1, _CHUNK_BYTES // (e_share.itemsize * self._columns))
        for number, start in enumerate(range(0, rows, chunk_rows)):
            piece = slice(start, min(rows, start + chunk_rows))
            header = self._membership.header(0, number, common_pb2.PURPOSE_SET_UP)
            self._open_piece(e_share[piece], opened[piece], start, "opening-e", header)
        self._e = opened
        if self._membership.names[0] == me:
            u_share += opened
        self._factors = u_share

    def open_pass(self, epoch: int, purpose: int, batches: Sequence[RowIndices]) -> None:
        self._steps.open_pass(epoch, purpose, batches)
        self._dealer.open_pass(epoch, purpose)

    def make_ahead(self) -> None:
        self._steps.make_ahead()

    def close(self) -> None:
        self._dealer.close()

    def share(self, rows: RowIndices, batch: NDArray[np.float32], position: StreamPosition) -> RingArray:
        weights = self._block.weights
        self._check_range(batch, weights)
        prepared = self._steps.take(position)
        header = self._membership.header(position.epoch, position.step, position.purpose)
        f_share = prepared.f_share
        f_share[self._parts[self._membership.me]] += self._ring.encode(
            weights.astype(np.float64), "first-layer weight of this party"
        )
        f = f_share.copy()
        self._open_piece(f_share, f, 0, "opening-f", header)  # [3]
        share = finish_product(prepared.partial, prepared.factor, f)  # [4]
        correction = self._dealer.correction(header, share.shape)
        if correction is not None:
            share += correction
        share += prepared.pad
        return share

    def _prepare(self, position: StreamPosition, rows: RowIndices) -> _Prepared:
        """[2]: nothing here depends on the weights."""
        if self._seeded is None:
            raise StepError("a share was asked for before E was opened")
        width = self._block.weights.shape[1]
        v_share = self._seeded.v(self._columns, width, position)
        f_share = np.negative(v_share)
        for name, part in self._parts.items():
            if name != self._membership.me:
                self._foreign_theta[name].add_to(f_share[part], position)
        for stream in self._own_theta.values():
            stream.subtract_from(f_share[self._parts[self._membership.me]], position)
        c_share = self._seeded.c(len(rows), width, position)
        return _Prepared(
            f_share,
            prepare_product(self._e[rows], v_share, c_share),
            self._factors[rows],
            self._mask.pad(c_share.shape, self._ring.ring_bits, position),
        )

    def _streams(self, purpose: str) -> tuple[dict[str, Keystream], dict[str, Keystream]]:
        """Per peer, the keystream that is its share of this party's block, and that of this party's share of its block."""
        me, run, generation = self._membership.me, self._membership.run, self._membership.generation

        def of(owner: str | None) -> dict[str, Keystream]:
            return {
                peer: Keystream(derive_key(link.pairwise, run, generation, purpose, owner or peer))
                for peer, link in self._links.links.items()
            }

        return of(me), of(None)

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
        if not bound <= self._share_ring.limit:
            bound = float(np.abs(batch @ weights).max(initial=0.0))
        self._share_ring.check(bound, "z1 of this party's columns")
