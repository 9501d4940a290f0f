"""A party's copy of the shared discriminators of a group, in mode updates: it judges fakes here, and never moves here.

The neutral server moves it by the sum of what all parties make of their fakes; the weights come back whole.
"""

import os
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernel.errors import SettingsError
from kernel.gan.losses import origin_losses
from kernel.gan.nets import compiled, discriminate, discriminator_shapes, parameters, unflatten
from kernel.gan.spec import GanSpec, ImageShape, NetSpec


class SharedCopy:
    """Weights that came from the neutral server, zero until then.

    Guarantees: the same calls on the same machine with as many threads give the same bits.
    """

    def __init__(self, spec: GanSpec, columns: int, image: ImageShape | None, models: int, parties: int) -> None:
        """Imports TensorFlow (seconds, the first time).

        Raises:
          SettingsError: the plan has no shared discriminator, or its net does not fit the rows.
        """
        if spec.shared is None:
            raise SettingsError("the plan has no shared discriminator to hold a copy of")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import tensorflow as tf

        self._shapes = discriminator_shapes(spec.shared.net, columns, image, parties)
        self.models, self.parameters = models, parameters(self._shapes)
        self._weights = {name: tf.Variable(tf.zeros([models, *shape])) for name, shape in self._shapes.items()}
        self._compiled = _compile(spec.shared.net, image)

    def load(self, weights: NDArray[np.float32]) -> None:
        """Takes over the server's weights, float32[models, parameters].

        Raises:
          SettingsError: another number of models or of parameters.
        """
        if len(weights) != self.models:
            raise SettingsError(f"weights of {len(weights)} models came, wanted {self.models}; run one plan everywhere")
        for name, value in unflatten(weights, self._shapes).items():
            self._weights[name].assign(value)

    def update(self, fakes: NDArray[np.float32], own: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """What a step's fakes teach: the mean loss of telling their true origin, and its gradient by the weights.

        Args:
          fakes: float32[models, batch, columns]; own: this party's place in the plan.

        Returns:
          float64[models] and float32[models, parameters].
        """
        losses, gradient = self._compiled.update(self._weights, fakes, np.int32(own))
        return np.asarray(losses.numpy(), np.float64), np.asarray(gradient.numpy(), np.float32)

    def origin_gradient(
        self, fakes: NDArray[np.float32], wrong: NDArray[np.int32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """The origin loss of fakes that want to pass for others', a mean over a model's batch, and its gradient by the fakes.

        Args:
          fakes: float32[models, batch, columns]; wrong: int32[models, batch].

        Returns:
          float64[models] and float32[models, batch, columns].
        """
        losses, gradient = self._compiled.origin_gradient(self._weights, fakes, wrong)
        return np.asarray(losses.numpy(), np.float64), np.asarray(gradient.numpy(), np.float32)


class _Compiled(NamedTuple):
    update: Any
    origin_gradient: Any


@cache
def _compile(net: NetSpec, image: ImageShape | None) -> _Compiled:
    import tensorflow as tf

    def update(weights: Any, fakes: Any, own: Any) -> Any:
        held = list(weights.values())
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(held)
            losses = origin_losses(tf, discriminate(tf, net, weights, fakes, image), tf.fill(tf.shape(fakes)[:2], own))
        models = fakes.shape[0]
        gradients = [tf.reshape(one, [models, -1]) for one in tape.gradient(losses, held)]
        return losses, tf.concat(gradients, axis=1)

    def origin_gradient(weights: Any, fakes: Any, wrong: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(fakes)
            losses = origin_losses(tf, discriminate(tf, net, weights, fakes, image), wrong)
        return losses, tape.gradient(losses, fakes)

    return _Compiled(*(compiled(tf, net, body) for body in (update, origin_gradient)))
