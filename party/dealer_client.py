"""A party's line to the dealer: its seed once, and the corrections of a pass where this party is the one to add them."""

from typing import Any

import grpc

from kernel.errors import StepError, WireError
from kernel.fixed_point import FixedPoint
from kernel.randomness import SecretKey
from kernel.ring import RingArray
from kernel.wire.codec import decode_ring
from kernel.wire.failures import error_of_rpc
from kernel.wire.stream import InboundStream
from kernel.wire.tensor_frame import TensorFrame
from protos.v1 import common_pb2, dealing_pb2

_PREFETCH = 1
"""Corrections waiting here; more would take the link from the step that is due."""


class DealerClient:
    """Dealer of one run generation; ``ring`` is that of the shares of z1."""

    def __init__(self, stub: Any, *, me: str, run: str, generation: int, ring: FixedPoint, wait_seconds: float) -> None:
        self._stub, self._me, self._run, self._generation = stub, me, run, generation
        self._ring, self._wait = ring, wait_seconds
        self._holds_corrections = False
        self._corrections: InboundStream[TensorFrame[dealing_pb2.Correction]] | None = None

    def enrol(self) -> SecretKey:
        """This party's dealer seed."""
        request = dealing_pb2.EnrolRequest(run=self._run, generation=self._generation)
        try:
            reply = self._stub.Enrol(request, timeout=self._wait)
        except grpc.RpcError as error:
            raise error_of_rpc(error, "the dealer") from error
        if len(reply.seed) != 32:
            raise WireError(f"the dealer sent a seed of {len(reply.seed)} bytes, wanted 32")
        self._holds_corrections = reply.correction_holder == self._me
        return SecretKey(reply.seed)

    def open_pass(self, epoch: int, purpose: int) -> None:
        """Start fetching corrections; they arrive ahead of need."""
        self.close()
        if self._holds_corrections:
            request = dealing_pb2.CorrectionsRequest(
                run=self._run,
                generation=self._generation,
                epoch=epoch,
                purpose=common_pb2.Purpose.Name(purpose),
            )
            self._corrections = InboundStream(self._stub.Corrections(request), "the dealer", prefetch=_PREFETCH)

    def correction(self, header: common_pb2.StepHeader, shape: tuple[int, ...]) -> RingArray | None:
        """The correction of the step that is due, words like a share's; None where another party adds it.

        Raises:
          StepError: the dealer is at another step.
        """
        if not self._holds_corrections:
            return None
        corrections = self._corrections
        if corrections is None:
            raise StepError("the line to the dealer is closed; resume the run")
        frame = corrections.receive(self._wait)
        found = frame.message.header
        if (found.run, found.generation, found.epoch, found.step, found.purpose) != (
            header.run, header.generation, header.epoch, header.step, header.purpose,
        ):  # fmt: skip
            raise StepError(
                f"the dealer sent the triple of epoch {found.epoch} step {found.step}; due is epoch {header.epoch} step {header.step}"
            )
        return decode_ring(
            frame.message.words,
            frame.payload,
            ring_bits=self._ring.ring_bits,
            fractional_bits=self._ring.fractional_bits,
            shape=shape,
            what="a triple's correction",
        )

    def close(self) -> None:
        if self._corrections is not None:
            self._corrections.close()
            self._corrections = None
