"""The hot path at a party without a neutral server: every layer on shares, the label head too.

[1] the rounds of all layers, up to this party's share of the head's output y;
[2] training: 2^s dL/dy from the shares of y and of the labels, then down through the layers; nobody learns y, not even its loss;
[3] forward-only passes: every party sends the label holder its share of y, re-masked with a zero-mask: the holder alone learns the output.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.batch_order import RowIndices, batches
from kernel.phases import PhaseClock
from kernel.randomness import StreamPosition
from party.membership import Membership
from party.secret_stack.stack import SecretStack
from protos.v1 import common_pb2

_PROGRESS_SECONDS = 0.5
OnProgress = Callable[[int, int, float, int], None]


class SecretNetwork:
    """One party's loop over the steps of a pass.

    Args:
      labels: at the label holder 0 or 1, or class numbers, [rows]; empty where nothing is trained; None at the others.
    """

    def __init__(
        self, membership: Membership, stack: SecretStack, rows: NDArray[np.float32], labels: NDArray[Any] | None
    ) -> None:
        self._membership, self._stack, self._rows = membership, stack, rows
        self._targets = None if labels is None else _targets(labels, membership.network.outputs)
        self.phases = PhaseClock()

    def train(self, order: RowIndices, batch_rows: int, epoch: int, progress: OnProgress) -> float:
        """One epoch in ``order``; returns 0: nobody knows the loss."""
        self.phases.start()
        passed, reported, done = (
            self._open_pass(epoch, common_pb2.PURPOSE_TRAIN, order, batch_rows),
            time.monotonic(),
            0,
        )
        for step, rows in enumerate(passed):
            position = StreamPosition(epoch, step, common_pb2.PURPOSE_TRAIN)
            self._stack.open_step(self._rows[rows], position)
            self.phases.mark("forward")
            self._stack.update_from_labels(None if self._targets is None else self._targets[rows])
            self.phases.mark("backward")
            self._stack.make_ahead()
            self.phases.mark("make ahead")
            done += len(rows)
            if time.monotonic() - reported >= _PROGRESS_SECONDS:
                reported = time.monotonic()
                progress(step + 1, len(passed), 0.0, done)
        return 0.0

    def forward(
        self, order: RowIndices, batch_rows: int, epoch: int, purpose: common_pb2.Purpose
    ) -> NDArray[np.float32] | None:
        """A pass without updates; the label holder gets the head's outputs, float32[rows, outputs]."""
        outputs = []
        for step, rows in enumerate(self._open_pass(epoch, purpose, order, batch_rows)):
            self._stack.open_step(self._rows[rows], StreamPosition(epoch, step, purpose))
            outputs.append(self._stack.reveal_output())
            self._stack.make_ahead()
        return np.concatenate(outputs) if self._membership.holds_label else None

    def _open_pass(
        self, epoch: int, purpose: common_pb2.Purpose, order: RowIndices, batch_rows: int
    ) -> list[RowIndices]:
        passed = list(batches(order, batch_rows))
        self._stack.open_pass(epoch, purpose, passed)
        return passed


def _targets(labels: NDArray[Any], outputs: int) -> NDArray[np.float32]:
    """float32[rows, outputs]: 0 and 1, of several classes one column each."""
    if outputs == 1:
        return labels.astype(np.float32).reshape(-1, 1)
    one_hot: NDArray[np.bool_] = labels.reshape(-1, 1) == np.arange(outputs)
    return one_hot.astype(np.float32)
