"""A party's generators and discriminators of a group of classes, stacked: no row and no weight of them leaves the party.

One step, numbered as in the original privGAN code (Mukherjee et al. 2021): fakes are made once, by the generator as it was,
 [1] fakes = G(latent)
 [2] the discriminator moves on [real; fakes], labels real_label and 0; as it is *now* it judges the fakes
 [3] the generator moves by what that says, mean BCE(D(G(z)), 1), and where it pays the origin loss by <gradient of that loss at
     the fakes, G(z)> besides
``step`` does all three in one compiled call, for steps that are exchanged with nobody; [1], [2] and [3] apart are for steps
whose fakes are judged elsewhere while [2] runs. They go through each net as often: [3] takes up where [1] and [2] ended, so all
that is left to do once an origin gradient came is the way back through the generator.

Nets of the paper (batch 256, one thread, CPU time of a step): one class at a time 182 ms, four classes stacked 240-260 ms a class.
Nets as narrow as the demo's (batch 32): ten classes one by one 96 ms, stacked 56 ms.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernel.errors import BadInputError, StepError
from kernel.gan.adam import adam_step
from kernel.gan.losses import discriminator_losses, generator_losses
from kernel.gan.nets import (
    Shapes,
    compiled,
    discriminate,
    discriminator_shapes,
    generate,
    generator_shapes,
    initial_weights,
)
from kernel.gan.spec import AdamSpec, GanSpec, ImageShape, NetSpec
from kernel.optimizers import check_state

NETS = ("generator", "discriminator")
_SLOTS = ("momentum", "velocity")


def initial_gan(
    spec: GanSpec, columns: int, image: ImageShape | None, classes: Sequence[int], secret: bytes, me: str
) -> dict[str, NDArray[Any]]:
    """Where a party's nets start: ``generator.kernel_0`` …, ``discriminator.bias_2`` …, each float32[classes, …].

    A class's start depends on the secret, the spec's seed, the party and the class alone, not on the classes beside it.

    Args:
      secret: the party's initialisation key; me: its name: nets of two parties differ even where their keys are the same.

    Raises:
      SettingsError: the nets do not fit the rows.
    """
    weights: dict[str, NDArray[Any]] = {}
    for net, shapes in _shapes(spec, columns, image).items():
        starts = [initial_weights(shapes, _start(secret, spec.seed, me, label, net)) for label in classes]
        weights |= {f"{net}.{name}": np.stack([start[name] for start in starts]) for name in shapes}
    return weights


class LocalGan:
    """The nets of a group, their Adam, and what moves them.

    Not safe for use from several threads at once.

    Guarantees: the same calls on the same machine with as many threads give the same bits.
    """

    def __init__(
        self, spec: GanSpec, columns: int, image: ImageShape | None, weights: Mapping[str, NDArray[Any]]
    ) -> None:
        """Starts from ``weights`` (see ``initial_gan``), Adam from zero; imports TensorFlow (seconds, the first time).

        Raises:
          SettingsError: the nets do not fit the rows. BadInputError: the weights do not fit the nets.
        """
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import tensorflow as tf

        self._shapes = _shapes(spec, columns, image)
        self.models = len(next(iter(weights.values())))
        wanted = {
            f"{net}.{name}": (self.models, *one) for net, all_ in self._shapes.items() for name, one in all_.items()
        }
        check_state(weights, wanted, "GAN")
        self._tf = tf
        self._kept: _Kept | None = None
        self._nets = {net: _Trained(tf, net, shapes, weights) for net, shapes in self._shapes.items()}
        self._compiled = _compile(spec.generator, spec.discriminator, spec.adam, spec.real_label, image)

    def make_fakes(self, latent: NDArray[np.float32]) -> NDArray[np.float32]:
        """[1]: float32[models, batch, latent] to float32[models, batch, columns] in [-1, 1]."""
        weights = self._nets["generator"].weights
        with self._tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(list(weights.values()))
            fakes = self._compiled.make_fakes(weights, latent)
        self._kept = _Kept(latent, fakes, tape)
        return np.asarray(fakes.numpy(), np.float32)

    def step_discriminator(self, real: NDArray[np.float32], fakes: NDArray[np.float32]) -> NDArray[np.float64]:
        """[2], on the fakes of [1] and as many real rows, float32[models, batch, columns].

        Returns:
          the mean loss before the move, float64[models].

        Raises:
          StepError: the fakes are not those of the last [1], or were judged before.
        """
        kept = self._kept
        if kept is None or kept.judged is not None or not np.array_equal(kept.fakes.numpy(), fakes, equal_nan=True):
            raise StepError(
                "the discriminator came with other fakes than the step's; they are made, judged and then paid for"
            )
        losses, *judged = self._compiled.step_discriminator(self._nets["discriminator"].arguments, real, kept.fakes)
        kept.judged = judged
        return _float64(losses)

    def step_generator(
        self, latent: NDArray[np.float32], origin_gradient: NDArray[np.float32] | None
    ) -> NDArray[np.float64]:
        """[3]; returns the mean of BCE(D(G(z)), 1) before the move, float64[models].

        Args:
          latent: that of [1].
          origin_gradient: of the origin loss at the fakes, times its weight, float32[models, batch, columns]; None: not paid.

        Raises:
          StepError: [1] and [2] were not of this latent noise.
        """
        kept, self._kept = self._kept, None
        if kept is None or kept.judged is None or not np.array_equal(kept.latent, latent):
            raise StepError("the generator came with other latent noise than the step's fakes were made and judged of")
        losses, gradient = kept.judged
        net = self._nets["generator"]
        paid = gradient if origin_gradient is None else gradient + origin_gradient
        self._compiled.move(net.arguments, kept.tape.gradient(kept.fakes, list(net.weights.values()), paid))
        return _float64(losses)

    def step(
        self, latent: NDArray[np.float32], real: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """[1] to [3] in one call, nothing paid; returns the losses of generators and discriminators, float64[models]."""
        found = self._compiled.step(
            self._nets["generator"].arguments, self._nets["discriminator"].arguments, latent, real
        )
        return _float64(found[0]), _float64(found[1])

    def sample(self, model: int, latent: NDArray[np.float32]) -> NDArray[np.float32]:
        """One model's rows for float32[rows, latent]: float32[rows, columns] in [-1, 1]."""
        return np.asarray(self._compiled.sample(self._nets["generator"].weights, model, latent).numpy(), np.float32)

    def score(self, model: int, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """One model's probability that a row is real, float32[rows], for float32[rows, columns] in [-1, 1]."""
        return np.asarray(self._compiled.score(self._nets["discriminator"].weights, model, rows).numpy(), np.float32)

    def state(self) -> dict[str, NDArray[Any]]:
        """Copies of all that ``load`` needs: ``generator.kernel_0``, ``generator.momentum.kernel_0``, ``generator.step`` ….

        Every array has the models as its first axis; steps are int64[models]: a class's part can be cut out.
        """
        arrays: dict[str, NDArray[Any]] = {}
        for net in self._nets.values():
            arrays |= {name: np.array(variable.numpy()) for name, variable in net.variables().items()}
            arrays[f"{net.name}.step"] = np.full(self.models, int(net.step.numpy()), np.int64)
        return arrays

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Takes over what ``state`` returned; drops a step under way.

        Raises:
          BadInputError: the state belongs to other nets, or its models took different numbers of steps; nothing has changed.
        """
        variables = {name: variable for net in self._nets.values() for name, variable in net.variables().items()}
        steps = {f"{net}.step": (self.models,) for net in NETS}
        check_state(state, {name: tuple(one.shape) for name, one in variables.items()} | steps, "GAN")
        for name in steps:
            if len(set(np.asarray(state[name]).tolist())) > 1:
                raise BadInputError(
                    f"the saved classes of a group took {np.asarray(state[name]).tolist()} steps; models that are trained "
                    "together have taken as many: load a state saved under the same plan"
                )
        self._kept = None
        for name, variable in variables.items():
            variable.assign(np.asarray(state[name], np.float32))
        for net in self._nets.values():
            net.step.assign(int(state[f"{net.name}.step"][0]))


class _Trained:
    """One stacked net's variables, in the order of its shapes."""

    def __init__(self, tf: Any, name: str, shapes: Shapes, weights: Mapping[str, NDArray[Any]]) -> None:
        self.name = name
        self.weights = {one: tf.Variable(np.asarray(weights[f"{name}.{one}"], np.float32)) for one in shapes}
        self.slots = [{one: tf.Variable(tf.zeros_like(held)) for one, held in self.weights.items()} for _ in _SLOTS]
        self.step = tf.Variable(0, dtype=tf.int64)

    @property
    def arguments(self) -> tuple[Any, ...]:
        return (self.weights, *self.slots, self.step)

    def variables(self) -> dict[str, Any]:
        """All but the step, by their names in a state."""
        found = {f"{self.name}.{one}": held for one, held in self.weights.items()}
        for slot, values in zip(_SLOTS, self.slots, strict=True):
            found |= {f"{self.name}.{slot}.{one}": held for one, held in values.items()}
        return found


@dataclass
class _Kept:
    """Of a step under way: what [3] takes up."""

    latent: NDArray[np.float32]
    fakes: Any
    tape: Any
    """Of the fakes by the generator's weights."""
    judged: Any = None
    """Of [2]: each model's BCE(D(fakes), 1) and its gradient by the fakes."""


class _Compiled(NamedTuple):
    make_fakes: Any
    step_discriminator: Any
    move: Any
    step: Any
    sample: Any
    score: Any


@cache
def _compile(
    generator: NetSpec,
    discriminator: NetSpec,
    adam: AdamSpec,
    real_label: float,
    image: ImageShape | None,
) -> _Compiled:
    """The functions of all groups: variables are arguments, so that each is traced once for as many models and rows."""
    import tensorflow as tf

    def make_fakes(weights: Any, latent: Any) -> Any:
        return generate(tf, generator, weights, latent, image)

    def judge(weights: Any, rows: Any) -> Any:
        return discriminate(tf, discriminator, weights, rows, image)

    def move(net: Any, gradients: Any) -> None:
        weights, momentum, velocity, step = net
        adam_step(tf, adam, list(weights.values()), gradients, list(momentum.values()), list(velocity.values()), step)

    def step_discriminator(net: Any, real: Any, fakes: Any) -> Any:
        weights, batch = net[0], real.shape[1]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(list(weights.values()))
            logits = judge(weights, tf.concat([real, fakes], axis=1))
            losses = discriminator_losses(tf, logits[:, :batch], logits[:, batch:], real_label)
        move(net, tape.gradient(losses, list(weights.values())))
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(fakes)
            passed = generator_losses(tf, judge(weights, fakes))
        return losses, passed, tape.gradient(passed, fakes)

    def step(net: Any, judges: Any, latent: Any, real: Any) -> Any:
        weights = list(net[0].values())
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            fakes = make_fakes(net[0], latent)
        judged, losses, gradient = step_discriminator(judges, real, fakes)
        move(net, tape.gradient(fakes, weights, gradient))
        return losses, judged

    def one_of(weights: Any, model: Any) -> Any:
        return {name: tf.gather(value, [model]) for name, value in weights.items()}

    def sample(weights: Any, model: Any, latent: Any) -> Any:
        return make_fakes(one_of(weights, model), latent[None])[0]

    def score(weights: Any, model: Any, rows: Any) -> Any:
        return tf.sigmoid(judge(one_of(weights, model), rows[None])[0, :, 0])

    training = [compiled(tf, discriminator, body) for body in (make_fakes, step_discriminator, move, step)]
    # any number of rows comes to these, and compiling for each costs more than it saves
    reading = [tf.function(body, autograph=False, reduce_retracing=True) for body in (sample, score)]
    return _Compiled(*training, *reading)


def _shapes(spec: GanSpec, columns: int, image: ImageShape | None) -> dict[str, Shapes]:
    return {
        "generator": generator_shapes(spec.generator, spec.latent, columns, image),
        "discriminator": discriminator_shapes(spec.discriminator, columns, image, 1),
    }


def _start(secret: bytes, seed: int, me: str, label: int, net: str) -> np.random.Generator:
    name = f"{seed}/{label}/{net}/{me}".encode()
    digest = hashlib.sha256(b"tertium gan start\x00" + len(secret).to_bytes(4, "big") + secret + name).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


def _float64(losses: Any) -> NDArray[np.float64]:
    return np.asarray(losses.numpy(), np.float64)
