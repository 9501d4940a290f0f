"""A discriminator as a barrier holds it, of one class: a party's own, or the shared one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.gan.nets import discriminate
from kernel.gan.spec import ImageShape, NetSpec
from party.defender import import_tensorflow

Scores = NDArray[np.float64]

_AT_ONCE = 1000


class StoredDiscriminator:
    """Imports TensorFlow when it is first asked.

    Args:
      state: of stacked models, under names that start with ``prefix``; model: which of them.
    """

    def __init__(
        self, net: NetSpec, image: ImageShape | None, state: Mapping[str, NDArray[Any]], prefix: str, model: int = 0
    ) -> None:
        self._net, self._image = net, image
        self._weights = {
            name: value[model : model + 1]
            for full, value in state.items()
            if full.startswith(prefix) and (name := full.removeprefix(prefix)).startswith(("kernel_", "bias_"))
        }

    def real(self, rows: NDArray[np.float32]) -> Scores:
        """A party's own: probability that each of float32[rows, columns] in [-1, 1] is real, float64[rows]."""
        return np.asarray(1 / (1 + np.exp(-self._logits(rows)[:, 0])))

    def origins(self, rows: NDArray[np.float32]) -> Scores:
        """The shared one: probability of every party as the rows' origin, float64[rows, parties]."""
        logits = self._logits(rows)
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))

    def _logits(self, rows: NDArray[np.float32]) -> Scores:
        import_tensorflow(0)
        import tensorflow as tf

        weights = {name: tf.constant(value) for name, value in self._weights.items()}
        parts = [rows[None, start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)]
        found = [discriminate(tf, self._net, weights, tf.constant(part), self._image)[0].numpy() for part in parts]
        return np.concatenate(found).astype(np.float64)
