"""The shared discriminator of privGAN (Mukherjee et al. 2021): which party made this fake? One for each class, stacked in groups.

    1. P learns: one Adam move on the mean over a step's fakes of CE(P(fake), true origin), all parties' fakes alike
    2. for each party, at the moved weights: d(mean over its own batch of CE(P(fake), wrong origin)) / d its fakes

One compiled call does 1, or 1 and 2; it is compiled for each number of parties and of stacked models before the run begins
(``warm_up``), and serves every group of that many models. No real row ever comes near it.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernel.gan.adam import adam_step
from kernel.gan.losses import origin_losses
from kernel.gan.nets import (
    compiled,
    discriminate,
    discriminator_shapes,
    flatten,
    initial_weights,
    parameters,
    unflatten,
)
from kernel.gan.spec import AdamSpec, ImageShape, NetSpec
from kernel.optimizers import SLOTS, check_state

_WEIGHTS = 0x6A21


@dataclass(frozen=True)
class Learned:
    """Of one step: losses per model, before the move and (of wrong origins, over all parties) after it, and each party's gradient."""

    loss: NDArray[np.float64]
    origin_loss: NDArray[np.float64] | None = None
    gradients: tuple[NDArray[np.float32], ...] = ()
    """In the order of the fakes, each float32[models, batch, columns]."""


@dataclass(frozen=True)
class _Stacked:
    """The variables of one group; every one but ``step`` has a leading models axis."""

    weights: dict[str, Any]
    slots: dict[str, list[Any]]
    step: Any

    def named(self) -> dict[str, Any]:
        slots = {
            f"{slot}.{name}": value
            for slot, values in self.slots.items()
            for name, value in zip(self.weights, values, strict=True)
        }
        return {**self.weights, **slots, "step": self.step}


class SharedDiscriminator:
    """Weights, Adam's slots and compiled functions of all groups.

    Not safe for use from several threads at once.

    Guarantees: the same calls on the same machine with as many threads give the same bits.
    """

    def __init__(
        self,
        net: NetSpec,
        adam: AdamSpec,
        columns: int,
        image: ImageShape | None,
        groups: Sequence[int],
        parties: int,
        seed: int,
    ) -> None:
        """Starts from the seed; imports TensorFlow (seconds, the first time).

        Args:
          groups: stacked models of each group; parties: of the plan, each an origin; seed: experiment seed.

        Raises:
          SettingsError: a convolutional net on rows that are no image.
        """
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import tensorflow as tf

        self._tf, self._columns = tf, columns
        self._shapes = discriminator_shapes(net, columns, image, parties)
        self.parameters = parameters(self._shapes)
        self._groups = [
            self._stacked(
                [
                    initial_weights(self._shapes, np.random.default_rng([_WEIGHTS, seed, group, model]))
                    for model in range(models)
                ]
            )
            for group, models in enumerate(groups)
        ]
        self._compiled = _compile(net, adam, image, tuple(self._shapes))

    def warm_up(self, sizes: Iterable[tuple[int, int]], batch_rows: int, *, pull_only: bool) -> None:
        """Compiles ``learn`` for every size, so that no step waits for it; no weight moves.

        Args:
          sizes: (stacked models, parties that send fakes); pull_only: ``learn`` will always be told wrong origins.
        """
        for models, parties in sorted(set(sizes)):
            scratch = self._scratch(models)
            fakes = [np.zeros((models, batch_rows, self._columns), np.float32)] * parties
            wrong = np.zeros((models, parties, batch_rows), np.int32)
            self._run_learn(scratch, fakes, range(parties), wrong)
            if not pull_only:
                self._run_learn(scratch, fakes, range(parties), None)

    def warm_up_moves(self, models: Iterable[int]) -> None:
        """As ``warm_up``, of ``apply``."""
        for number in sorted(set(models)):
            self._run_move(self._scratch(number), np.zeros((number, self.parameters), np.float32))

    def learn(
        self,
        group: int,
        fakes: Sequence[NDArray[np.float32]],
        places: Sequence[int],
        wrong: NDArray[np.int32] | None,
    ) -> Learned:
        """One step of a group.

        Args:
          fakes: of each party that takes it, float32[models, batch, columns] in [-1, 1]; places: the parties', their origins.
          wrong: origins each row's generator wants to be taken for, int32[models, parties that take it, batch]; None: generators
            do not pay yet.
        """
        return self._run_learn(self._groups[group], fakes, places, wrong)

    def apply(self, group: int, gradient: NDArray[np.float32]) -> None:
        """Move a group by a gradient of its weights, float32[models, parameters]."""
        self._run_move(self._groups[group], gradient)

    def weights(self, group: int) -> NDArray[np.float32]:
        """Of a group, float32[models, parameters] in the order of ``discriminator_shapes``."""
        return flatten({name: variable.numpy() for name, variable in self._groups[group].weights.items()})

    def state(self) -> dict[str, NDArray[Any]]:
        """Copies of all that ``load`` needs: "group-<g>.<name>" of weights, Adam's slots and its step."""
        return {name: np.array(variable.numpy()) for name, variable in self._named().items()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Takes over what ``state`` returned.

        Raises:
          BadInputError: the state belongs to other nets or groups; nothing has changed.
        """
        named = self._named()
        check_state(state, {name: tuple(one.shape) for name, one in named.items()}, "shared discriminator")
        for name, variable in named.items():
            variable.assign(np.asarray(state[name], variable.dtype.as_numpy_dtype))

    def _named(self) -> dict[str, Any]:
        return {
            f"group-{group}.{name}": variable
            for group, stacked in enumerate(self._groups)
            for name, variable in stacked.named().items()
        }

    def _stacked(self, models: Sequence[Mapping[str, NDArray[Any]]]) -> _Stacked:
        tf = self._tf
        weights = {name: tf.Variable(np.stack([model[name] for model in models])) for name in self._shapes}
        slots = {slot: [tf.Variable(tf.zeros_like(one)) for one in weights.values()] for slot in SLOTS["adam"]}
        return _Stacked(weights, slots, tf.Variable(0, dtype=tf.int64))

    def _scratch(self, models: int) -> _Stacked:
        """Weights to compile with: the functions take a group's variables as arguments."""
        return self._stacked([{name: np.zeros(shape, np.float32) for name, shape in self._shapes.items()}] * models)

    def _run_learn(
        self,
        stacked: _Stacked,
        fakes: Sequence[NDArray[np.float32]],
        places: Sequence[int],
        wrong: NDArray[np.int32] | None,
    ) -> Learned:
        tf = self._tf
        rows = [tf.constant(one) for one in fakes]
        origins = tf.constant(list(places), tf.int32)
        if wrong is None:
            loss = self._compiled.learn(stacked.weights, stacked.slots, stacked.step, rows, origins)
            return Learned(_reals(loss))
        told = tf.constant(wrong.reshape(len(wrong), -1))
        loss, origin_loss, gradients = self._compiled.learn_and_pull(
            stacked.weights, stacked.slots, stacked.step, rows, origins, told
        )
        return Learned(_reals(loss), _reals(origin_loss), tuple(one.numpy() for one in gradients))

    def _run_move(self, stacked: _Stacked, gradient: NDArray[np.float32]) -> None:
        gradients = [self._tf.constant(one) for one in unflatten(gradient, self._shapes).values()]
        self._compiled.move(stacked.weights, stacked.slots, stacked.step, gradients)


class _Compiled(NamedTuple):
    learn: Any
    learn_and_pull: Any
    move: Any


@lru_cache(maxsize=8)  # of the nets a server trains one after the other, resumed runs among them
def _compile(net: NetSpec, adam: AdamSpec, image: ImageShape | None, names: tuple[str, ...]) -> _Compiled:
    """Functions of a group's variables: ``weights`` and ``slots`` by ``names``, in that order."""
    import tensorflow as tf

    def move(weights: Any, slots: Any, step: Any, gradients: Any) -> None:
        ordered = [weights[name] for name in names]
        adam_step(tf, adam, ordered, gradients, slots["momentum"], slots["velocity"], step)

    def learn(weights: Any, slots: Any, step: Any, fakes: Any, places: Any) -> Any:
        rows, ordered = tf.concat(fakes, axis=1), [weights[name] for name in names]
        origins = tf.tile(tf.repeat(places, fakes[0].shape[1])[tf.newaxis], [rows.shape[0], 1])
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(ordered)
            losses = origin_losses(tf, discriminate(tf, net, weights, rows, image), origins)
            total = tf.reduce_sum(losses)
        move(weights, slots, step, tape.gradient(total, ordered))
        return losses

    def learn_and_pull(weights: Any, slots: Any, step: Any, fakes: Any, places: Any, wrong: Any) -> Any:
        losses = learn(weights, slots, step, fakes, places)
        rows = tf.concat(fakes, axis=1)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(rows)
            origin = origin_losses(tf, discriminate(tf, net, weights, rows, image), wrong)
            total = tf.reduce_sum(origin) * float(len(fakes))  # a mean over one party's rows, not over all
        return losses, origin, tf.split(tape.gradient(total, rows), len(fakes), axis=1)

    return _Compiled(*(compiled(tf, net, body) for body in (learn, learn_and_pull, move)))


def _reals(losses: Any) -> NDArray[np.float64]:
    return np.asarray(losses.numpy(), np.float64)
