"""The steps of one epoch and purpose as they were announced: which is due, which rows it has, what came and was answered."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kernel.errors import StepError
from kernel.wire.tensor_frame import TensorFrame
from neutral_server.reconstruction import StepShares
from protos.v1 import common_pb2, split_training_pb2

IN_FLIGHT = 8
"""Forward-only steps a party may be ahead of the slowest one."""

PURPOSE_NAMES = {
    common_pb2.PURPOSE_TRAIN: "training",
    common_pb2.PURPOSE_EVALUATE: "evaluation",
    common_pb2.PURPOSE_PREDICT: "prediction",
}

ServerFrame = TensorFrame[split_training_pb2.ServerFrame]


@dataclass
class MicroBatch:
    """What came of some rows of a step, and what was answered: a repeat gets the same answer."""

    rows: int
    shares: StepShares
    defender_shares: StepShares
    activation: ServerFrame | None = None
    first_activation: ServerFrame | None = None
    head_gradient: NDArray[np.float32] | None = None
    gradient: ServerFrame | None = None
    first_gradient: ServerFrame | None = None
    """Where the gradient is shared: what ends the step for the first party, ``gradient`` for the others."""

    def end_for(self, *, first: bool) -> ServerFrame:
        """What ends the step for a party, the first of the plan or another.

        Raises:
          StepError: it has not come to that.
        """
        end = self.first_gradient if first and self.first_gradient is not None else self.gradient
        if end is None:
            raise StepError("a step was to end before its gradient was there")
        return end


@dataclass
class AnnouncedPass:
    """Every frame is held to it: epoch, purpose, step, micro-batch.

    Args:
      sizes: rows of the micro-batches of each step; frozen: the first layer stays, nobody is sent dL/dz1.
    """

    epoch: int
    purpose: common_pb2.Purpose
    sizes: list[list[int]]
    frozen: bool = False
    due: int = 0
    steps: dict[int, list[MicroBatch]] = field(default_factory=dict)

    @property
    def training(self) -> bool:
        return self.purpose == common_pb2.PURPOSE_TRAIN

    @property
    def complete(self) -> bool:
        return self.due == len(self.sizes)

    def check(self, party: str, header: common_pb2.StepHeader) -> None:
        """Hold a party's header to what is due.

        Raises:
          StepError: another epoch or purpose, a step that is over or not yet due, a micro-batch the step has not.
        """
        if (header.epoch, header.purpose) != (self.epoch, self.purpose):
            raise StepError(
                f"{party!r} sent epoch {header.epoch} purpose {header.purpose}; "
                f"open is epoch {self.epoch} {PURPOSE_NAMES[self.purpose]}"
            )
        ahead = 0 if self.training else IN_FLIGHT
        if not max(0, self.due - 1) <= header.step <= min(self.due + ahead, len(self.sizes) - 1):
            raise StepError(f"{party!r} sent step {header.step}; due is step {self.due} of {len(self.sizes)}")
        pieces = len(self.sizes[header.step])
        if header.micro_batch >= pieces:
            raise StepError(
                f"{party!r} sent micro-batch {header.micro_batch} of step {header.step}, which has {pieces}"
            )

    def missing(self, label_holder: str) -> set[str]:
        """Who owes the step that is due something others wait for; nobody while nobody began it."""
        owed: set[str] = set()
        for piece in self.steps.get(self.due, []):
            owed.update(piece.shares.missing)
            if self.training and piece.activation is not None and piece.head_gradient is None:
                owed.add(label_holder)
            if piece.first_activation is not None:
                owed.update(piece.defender_shares.missing)
        return owed

    def end_step(self) -> None:
        """The next step is due; the last one stays, for a repeat."""
        self.due += 1
        self.steps.pop(self.due - 2, None)
