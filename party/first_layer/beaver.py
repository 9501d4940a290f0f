"""`beaver`: Algorithm 1 of the P2N2 paper for n parties, with seeded shares.

X and Theta of every party are additively shared over Z_2^32 or Z_2^64 with f fractional bits; a share that is uniform is
a keystream of the pair and never travels.
 [1] once: <E> = <X> - <U> is sent to every peer, E = X - U is opened. U is drawn afresh for every run generation and
     never masks another X;
 [2] ahead of each step, while the party waits: all of <F> = <Theta> - <V> but the own block, and E_b <V> + <C>; V is
     fresh;
 [3] each step: Theta is shared again, <F> goes to every peer, F is opened;
 [4] each piece of it: <z1> = E_b <V> + <C> + (<U>_b [+ E_b at the first party]) F, re-masked with a zero-mask, goes to the neutral server.

|z1 - X Theta| <= D (e (max|X| + max|Theta|) + e^2) with e = 2^-(f+1) and D columns (fixed_point.product_error_bound): no
share is rounded, so that a run repeats bit for bit whatever the masks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.batch_order import RowIndices
from kernel.errors import StepError
from kernel.fixed_point import FixedPoint, product_error_bound
from kernel.masks import ZeroMask
from kernel.randomness import Keystream, StreamPosition, derive_key
from kernel.ring import RingArray, load_ring_kernels, ring_dtype
from kernel.shares import owner_share, peer_share
from kernel.triples import SeededShares, finish_product, prepare_product
from party.dealer_client import DealerClient
from party.first_layer.ahead import Ahead
from party.first_layer.openings import PeerOpenings
from party.first_layer.protocol import FirstLayerBlock, OpenGradient
from party.first_layer.row_noise import RowNoise
from party.membership import Membership
from party.peer_links import PeerLinks
from protos.v1 import common_pb2


@dataclass(frozen=True)
class _Prepared:
    """A step before its weights are known [2]. Its arrays are parts of buffers that the next step overwrites."""

    f_share: RingArray
    """<F> without this party's Theta: [columns, width]."""
    partial: RingArray
    """E_b <V> + <C> + zero-mask, and noise where the plan asks for it: [batch, width]."""
    factor: RingArray
    """What F is multiplied by: [batch, columns]."""
    noise: float
    """Largest magnitude of the noise that is part of ``partial``; 0 without."""


class _Buffers:
    """Memory of a step, for batches of so many rows; allocated once a run."""

    def __init__(self, rows: int, columns: int, width: int, dtype: np.dtype[Any]) -> None:
        self.v, self.f_share = (np.empty((columns, width), dtype) for _ in range(2))
        self.partial = np.empty((rows, width), dtype)
        self.e, self.factor = (np.empty((rows, columns), dtype) for _ in range(2))


class Beaver(OpenGradient):
    """One party's side.

    Args:
      widths: encoded columns per party in the order of the plan.
      ring: of X and Theta, f fractional bits; share_ring: of their product, 2f.
      noise: this party's own, added to its share of the product.
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
        noise: RowNoise | None = None,
    ) -> None:
        super().__init__(block)
        self._membership, self._ring, self._share_ring = membership, ring, share_ring
        self._links, self._dealer, self._mask, self._noise = links, dealer, mask, noise
        self._openings = PeerOpenings(links, membership, ring)
        self._columns = sum(widths)
        self._parts = membership.columns_by_party(widths)
        magnitudes = np.abs(block.rows_in_memory())
        self._row_norm = float(magnitudes.sum(axis=1).max(initial=0.0))
        self._largest_cell = float(magnitudes.max(initial=0.0))
        self._own_theta, self._foreign_theta = self._streams("share-theta")
        self._steps: Ahead[_Prepared] = Ahead(self._prepare)
        self._e: RingArray = np.empty((0, 0), ring_dtype(ring.ring_bits))
        self._factors = self._e
        self._buffers = _Buffers(0, 0, 0, self._e.dtype)
        self._seeded: SeededShares | None = None
        self._open: _Prepared | None = None
        self._correction: RingArray | None = None

    def begin(self) -> None:
        """Open E [1], in chunks."""
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
        opened = self._openings.open_in_chunks(e_share, "opening-e")
        self._e = opened
        if self._membership.names[0] == me:
            u_share += opened
        self._factors = u_share

    def open_pass(self, epoch: int, purpose: int, batches: Sequence[RowIndices]) -> None:
        largest = max(len(rows) for rows in batches)
        if largest > len(self._buffers.partial):
            self._buffers = _Buffers(largest, self._columns, self._block.weights.shape[1], self._e.dtype)
        self._steps.open_pass(epoch, purpose, batches)
        self._dealer.open_pass(epoch, purpose)

    def make_ahead(self) -> None:
        self._steps.make_ahead()

    def close(self) -> None:
        self._dealer.close()

    def open_step(self, batch: NDArray[np.float32], position: StreamPosition) -> None:
        """Open F [3]: one opening serves all pieces of the step."""
        weights = self._block.weights
        prepared = self._steps.take(position)
        self._check_range(batch, weights, prepared.noise)
        header = self._membership.header(position.epoch, position.step, position.purpose)
        f_share = prepared.f_share
        f_share[self._parts[self._membership.me]] += self._ring.encode(
            weights.astype(np.float64), "first-layer weight of this party"
        )
        self._openings.send(f_share, "opening-f", header)  # [3]
        self._openings.add(f_share, "opening-f", header)
        self._open = prepared
        self._correction = self._dealer.correction(header, prepared.partial.shape)

    def share(self, piece: slice) -> RingArray:
        prepared = self._open
        if prepared is None:
            raise StepError("a share was asked for before F was opened")
        share = finish_product(prepared.partial[piece], prepared.factor[piece], prepared.f_share)  # [4]
        if self._correction is not None:
            share += self._correction[piece]
        return share

    def _prepare(self, position: StreamPosition, rows: RowIndices) -> _Prepared:
        """[2]: nothing here depends on the weights."""
        if self._seeded is None:
            raise StepError("a share was asked for before E was opened")
        buffers, batch = self._buffers, len(rows)
        v_share, f_share = buffers.v, buffers.f_share
        self._seeded.fill_v(v_share, position)
        np.negative(v_share, out=f_share)
        for name, part in self._parts.items():
            if name != self._membership.me:
                self._foreign_theta[name].add_to(f_share[part], position)
        for stream in self._own_theta.values():
            stream.subtract_from(f_share[self._parts[self._membership.me]], position)
        c_share = buffers.partial[:batch]
        self._seeded.fill_c(c_share, position)
        # mode="clip" spares take a copy of its own; the rows are this run's, within the table
        e = np.take(self._e, rows, axis=0, out=buffers.e[:batch], mode="clip")
        factor = np.take(self._factors, rows, axis=0, out=buffers.factor[:batch], mode="clip")
        partial = prepare_product(e, v_share, c_share)
        self._mask.apply(partial, position)
        largest = 0.0
        if self._noise is not None:
            noise = self._noise.draw(position, rows)
            largest = float(np.abs(noise).max(initial=0.0))
            partial += self._share_ring.encode(noise, "noise on z1 of this party's columns")
        return _Prepared(f_share, partial, factor, largest)

    def _streams(self, purpose: str) -> tuple[dict[str, Keystream], dict[str, Keystream]]:
        """Per peer, the keystream that is its share of this party's block, and that of this party's share of its block."""
        me, run, generation = self._membership.me, self._membership.run, self._membership.generation

        def of(owner: str | None) -> dict[str, Keystream]:
            return {
                peer: Keystream(derive_key(link.pairwise, run, generation, purpose, owner or peer))
                for peer, link in self._links.links.items()
            }

        return of(me), of(None)

    def _check_range(self, batch: NDArray[np.float32], weights: NDArray[np.float32], noise: float = 0.0) -> None:
        """|X_i Theta_i| and noise up to ``noise`` fit: by the rows' largest L1 norm where that is enough, by the product
        itself where not."""
        largest = float(np.abs(weights).max(initial=0.0))
        rounding = product_error_bound(len(weights), self._largest_cell, largest, self._ring.fractional_bits)
        bound = self._row_norm * largest + rounding + noise
        if not bound <= self._share_ring.limit:
            bound = float(np.abs(batch @ weights).max(initial=0.0)) + rounding + noise
        self._share_ring.check(bound, "z1 of this party's columns")
