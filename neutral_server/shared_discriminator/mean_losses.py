"""Mean losses of nets over the steps since somebody last asked."""

import numpy as np
from numpy.typing import NDArray

from protos.v1 import common_pb2


class MeanLosses:
    def __init__(self) -> None:
        self._sums: dict[tuple[str, int], tuple[NDArray[np.float64], int]] = {}

    def add(self, net: str, group: int, losses: NDArray[np.float64]) -> None:
        """A step's losses, float64[models]."""
        total, steps = self._sums.get((net, group), (np.zeros(len(losses)), 0))
        self._sums[net, group] = total + losses, steps + 1

    def take(self) -> list[common_pb2.NetLoss]:
        """Per net, group and model; counting starts again."""
        found = [
            common_pb2.NetLoss(net=net, group=group, model=model, loss=loss)
            for (net, group), (total, steps) in self._sums.items()
            for model, loss in enumerate(total / steps)
        ]
        self._sums.clear()
        return found
