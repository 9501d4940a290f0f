"""The dealer: a service of the coordinator that issues Beaver triples. It sees no opening and no share of a result.

Never the neutral server (which sees z1) and never a party (which sees openings): either could solve for X.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kernel.batch_order import RowIndices, batches
from kernel.errors import StepError
from kernel.fixed_point import FixedPoint
from kernel.randomness import SecretKey, SecureRandomness, StreamPosition
from kernel.ring import RingArray, load_ring_kernels
from kernel.secret.correlations import CorrelationDealer
from kernel.secret.recipe import step_recipe
from kernel.secret.spec import SecretSpec
from kernel.triples import TripleDealer
from kernel.wire.codec import encode_ring
from kernel.wire.server import require
from kernel.wire.tensor_frame import TensorFrame
from protos.v1 import common_pb2, dealing_pb2, dealing_pb2_grpc

RowOrder = Callable[[common_pb2.Purpose, int], RowIndices]
"""(purpose, epoch) -> rows in the order of the pass."""


@dataclass
class Deal:
    """Randomness of one run generation."""

    run: str
    generation: int
    seeds: dict[str, SecretKey]
    batch_rows: int
    row_order: RowOrder
    correction: Callable[[RowIndices, StreamPosition], RingArray]
    """Rows of X in a step -> words for the correction holder."""
    word_bits: int
    """Fractional bits written beside them."""
    dealt: set[tuple[int, int]]

    @property
    def correction_holder(self) -> str:
        return max(self.seeds)


class Dealer:
    """One deal at a time, in memory only: a new generation draws new seeds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deal: Deal | None = None

    def open(
        self,
        run: str,
        generation: int,
        parties: Sequence[str],
        *,
        rows: int,
        columns: int,
        width: int,
        batch_rows: int,
        ring: FixedPoint,
        row_order: RowOrder,
        layers: SecretSpec | None = None,
    ) -> None:
        """Draw seeds for a generation; what was dealt before is forgotten.

        Args:
          ring: of the factors; the triples are of the same words.
          layers: on shares; None where only the first layer's product is.
        """
        load_ring_kernels(ring.ring_bits)
        randomness = SecureRandomness()
        seeds = {party: randomness.key() for party in parties}
        correction = (
            TripleDealer(seeds, rows, columns, width, ring.ring_bits).correction
            if layers is None
            else _correlations(CorrelationDealer(list(seeds.values()), rows, columns), layers)
        )
        with self._lock:
            self._deal = Deal(
                run, generation, seeds, batch_rows, row_order, correction, 2 * ring.fractional_bits, set()
            )

    def close(self) -> None:
        with self._lock:
            self._deal = None

    def current(self, run: str, generation: int) -> Deal:
        """The live deal.

        Raises:
          StepError: triples were asked for another generation.
        """
        deal = self._deal
        if deal is None or (deal.run, deal.generation) != (run, generation):
            raise StepError(f"no triples are dealt for generation {generation} of run {run!r}")
        return deal

    def open_pass(self, deal: Deal, purpose: common_pb2.Purpose, epoch: int) -> RowIndices:
        """Rows of a pass; each pass is dealt once.

        Raises:
          StepError: a second time.
        """
        with self._lock:
            if (purpose, epoch) in deal.dealt:
                raise StepError(
                    f"the triples of epoch {epoch} were dealt before; a triple is used once: resume in a new generation"
                )
            deal.dealt.add((purpose, epoch))
        return deal.row_order(purpose, epoch)


class DealingService(dealing_pb2_grpc.DealingServicer):
    def __init__(self, name: str, dealer: Dealer) -> None:
        self._name, self._dealer = name, dealer

    def Enrol(self, request: dealing_pb2.EnrolRequest, context: Any) -> dealing_pb2.EnrolReply:
        party = require(context, "party").name
        deal = self._dealer.current(request.run, request.generation)
        if party not in deal.seeds:
            raise StepError(f"{party!r} takes no part in run {request.run!r}")
        return dealing_pb2.EnrolReply(seed=deal.seeds[party], correction_holder=deal.correction_holder)

    def Corrections(
        self, request: dealing_pb2.CorrectionsRequest, context: Any
    ) -> Iterator[TensorFrame[dealing_pb2.Correction]]:
        party = require(context, "party").name
        deal = self._dealer.current(request.run, request.generation)
        if party != deal.correction_holder:
            raise StepError(f"{party!r} asked for corrections; they are for {deal.correction_holder!r}")
        purpose: common_pb2.Purpose = request.purpose
        order = self._dealer.open_pass(deal, purpose, request.epoch)
        for step, rows in enumerate(batches(order, deal.batch_rows)):
            words = deal.correction(rows, StreamPosition(request.epoch, step, purpose))
            header = common_pb2.StepHeader(
                run=deal.run,
                generation=deal.generation,
                epoch=request.epoch,
                step=step,
                purpose=purpose,
                sender=self._name,
            )
            message, payload = encode_ring(words, deal.word_bits)
            yield TensorFrame(dealing_pb2.Correction(header=header, words=message), payload)


def _correlations(dealer: CorrelationDealer, layers: SecretSpec) -> Callable[[RowIndices, StreamPosition], RingArray]:
    def correction(rows: RowIndices, position: StreamPosition) -> RingArray:
        training = position.purpose == common_pb2.PURPOSE_TRAIN
        return dealer.correction(step_recipe(layers, len(rows), training=training), rows, position)

    return correction
