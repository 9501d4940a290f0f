"""The original privGAN loop: all generators, discriminators and rows in one process, as its authors published it in Keras.

Mukherjee et al. 2021, the training loop of their code (a step; n generators, n discriminators, one shared discriminator):
 [1] shared latent noise; every generator's fakes
 [2] each discriminator's ``train_on_batch`` on [real; fakes], labels real_label and 0
 [3] the shared discriminator's ``train_on_batch`` on all fakes with their true origins
 [4] ``train_on_batch`` of a combined model, latent noise -> what the frozen discriminators and the frozen shared one say of every
     generator's fakes: targets 1 and, drawn per row, a wrong origin
It is what a privGAN run's epoch is timed against, so it is given all that costs nothing: models are compiled once and never
frozen anew in the loop, fakes come from ``predict_on_batch`` (``predict``, as published, costs several times as much), a
generator stands once in the combined model, no model has the optimizer of another. The original's pre-training of the
shared discriminator on pooled real rows is left out.

It needs every party's rows in one place: no federation can run it. Dense nets only.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import SettingsError
from kernel.gan.nets import LEAKY_SLOPE
from kernel.gan.spec import AdamSpec, GanSpec
from party.baseline.keras_model import import_keras
from party.baseline.plain_network import Restored

Rows = NDArray[np.float32]
Weights = Mapping[str, NDArray[Any]]


class OriginalPrivgan:
    """The models of one class.

    Attributes:
      generators, discriminators: Keras models, by place of the party in the plan; shared: the shared discriminator.
    """

    def __init__(
        self, spec: GanSpec, columns: int, gans: Sequence[Weights], shared: Weights, *, xla: bool = False
    ) -> None:
        """Builds and compiles everything; nothing has moved yet.

        Args:
          gans: per party ``generator.kernel_0`` … and ``discriminator.bias_2`` … of one class, each with a first axis of 1
            (``party.gan.local_gan.initial_gan``); shared: ``kernel_0`` … of one model.
          xla: Keras's ``jit_compile``, which is off by default on a CPU.

        Raises:
          SettingsError: convolutional nets, or no shared discriminator.
        """
        if spec.generator.kind != "dense" or spec.shared is None:
            raise SettingsError(
                "the original privGAN loop is here for dense nets and plans with a shared discriminator"
            )
        keras, self._spec = import_keras(), spec
        parties = len(gans)
        generator_widths = (*spec.generator.widths, columns)
        self.generators = [_net(keras, spec.latent, generator_widths, "tanh", _of(one, "generator.")) for one in gans]
        discriminator_widths = (*spec.discriminator.widths, 1)
        self.discriminators = [
            _net(keras, columns, discriminator_widths, "sigmoid", _of(one, "discriminator.")) for one in gans
        ]
        self.shared = _net(keras, columns, (*spec.shared.net.widths, parties), "softmax", list(shared.values()))
        batch = spec.batch_rows
        self._targets = np.repeat(np.array([spec.real_label, 0.0], np.float32), batch)
        self._origins = np.repeat(np.arange(parties, dtype=np.int32), batch)
        self._ones = [np.ones(batch, np.float32)] * parties
        for model in self.discriminators:
            _compile(keras, model, spec.adam, "binary_crossentropy", xla=xla)
            _freeze_traced(model, np.zeros((2 * batch, columns), np.float32), self._targets)
        _compile(keras, self.shared, spec.adam, "sparse_categorical_crossentropy", xla=xla)
        _freeze_traced(self.shared, np.zeros((parties * batch, columns), np.float32), self._origins)
        latent = keras.Input((spec.latent,))
        fakes = [generator(latent) for generator in self.generators]
        judged = [model(one) for model, one in zip(self.discriminators, fakes, strict=True)]
        self._combined = keras.Model(latent, judged + [self.shared(one) for one in fakes])
        losses = ["binary_crossentropy"] * parties + ["sparse_categorical_crossentropy"] * parties
        weights = [1.0] * parties + [spec.shared.weight] * parties
        _compile(keras, self._combined, spec.adam, losses, loss_weights=weights, xla=xla)

    def step(self, latent: Rows, real: Sequence[Rows], wrong: Sequence[NDArray[np.int32]]) -> None:
        """One step in which generators pay.

        Args:
          latent: float32[batch, latent]; real: per party float32[batch, columns]; wrong: per party int32[batch].
        """
        fakes = [model.predict_on_batch(latent) for model in self.generators]  # [1]
        for model, rows, made in zip(self.discriminators, real, fakes, strict=True):
            model.train_on_batch(np.concatenate([rows, made]), self._targets)  # [2]
        self.shared.train_on_batch(np.concatenate(fakes), self._origins)  # [3]
        self._combined.train_on_batch(latent, [*self._ones, *wrong])  # [4]


def _net(keras: Any, inputs: int, widths: Sequence[int], last: str, weights: Sequence[NDArray[Any]]) -> Any:
    layers: list[Any] = []
    for width in widths[:-1]:
        layers += [keras.layers.Dense(width, kernel_initializer="zeros"), keras.layers.LeakyReLU(LEAKY_SLOPE)]
    layers.append(keras.layers.Dense(widths[-1], activation=last, kernel_initializer="zeros"))
    model = keras.Sequential([keras.Input((inputs,)), *layers])
    model.set_weights(weights)
    return model


def _of(gan: Weights, net: str) -> list[NDArray[Any]]:
    return [value[0] for name, value in gan.items() if name.startswith(net)]


def _compile(keras: Any, model: Any, adam: AdamSpec, loss: Any, *, xla: bool, **options: Any) -> None:
    optimizer = keras.optimizers.Adam(adam.learning_rate, beta_1=adam.beta_1, beta_2=adam.beta_2, epsilon=adam.epsilon)
    model.compile(optimizer=optimizer, loss=loss, jit_compile=True if xla else "auto", **options)
    model.optimizer.build(model.trainable_variables)


def _freeze_traced(model: Any, inputs: Rows, targets: NDArray[Any]) -> None:
    """Its ``train_on_batch`` is traced while it is trainable and stays so; what is built on it later sees it frozen."""
    with Restored(model):
        model.train_on_batch(inputs, targets)
    model.trainable = False
