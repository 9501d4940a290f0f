"""Controls of the membership attack, computed as the attack is: one that must find members, and one that cannot."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.gan.adam import adam_step
from kernel.gan.losses import discriminator_losses
from kernel.gan.nets import discriminate, discriminator_shapes, initial_weights
from kernel.gan.spec import GanSpec, ImageShape
from party.assessment.gan_membership import Membership, membership
from party.assessment.stored_discriminator import StoredDiscriminator
from party.defender import import_tensorflow

_OVERFITTED, _NOISE = 0x6A34, 0x6A35
_STEPS = 400
_BATCH_ROWS = 64
_REAL_LABEL = 0.95
_LEARNT_BY_HEART = 0.12
"""Mean loss of a discriminator that tells all rows it learned from; with targets of 0.95 and 0 no loss is below 0.099."""
_LAST_STEPS = 10


def overfitted(
    spec: GanSpec,
    image: ImageShape | None,
    members: NDArray[np.float32],
    others: NDArray[np.float32],
    label: int,
) -> Membership:
    """Positive control: the plan's discriminator, trained until it knows its rows by heart, attacked.

    It learns the members as real, against half of the non-members as fakes: those of a generator as good as reality, from which
    real rows differ in nothing but that they were learned. The other half is attacked, which it never saw, with as many members at
    most. Imports TensorFlow.

    Args:
      members, others: float32[rows, columns] in [-1, 1]; two non-members or more.
      label: their class; draws follow from it and the plan's seed.
    """
    generator = np.random.default_rng([_OVERFITTED, spec.seed, label])
    others = others[generator.permutation(len(others))]
    fakes, unseen = others[: len(others) // 2], others[len(others) // 2 :]
    members = members[: len(unseen)]
    learned = StoredDiscriminator(spec.discriminator, image, _learn(spec, image, members, fakes, generator), "")
    return membership(learned.real(members), learned.real(unseen))


def noise(members: int, others: int, seed: int, label: int) -> Membership:
    """Negative control: scores that are drawn, for as many rows; its interval holds chance in 95 of 100 runs or more."""
    generator = np.random.default_rng([_NOISE, seed, label])
    return membership(generator.random(members), generator.random(others))


def _learn(
    spec: GanSpec,
    image: ImageShape | None,
    real: NDArray[np.float32],
    fakes: NDArray[np.float32],
    generator: np.random.Generator,
) -> dict[str, NDArray[Any]]:
    """Weights of one model, each with a leading axis of 1."""
    import_tensorflow(0)
    import tensorflow as tf

    start = initial_weights(discriminator_shapes(spec.discriminator, real.shape[1], image, 1), generator)
    weights = {name: tf.Variable(value[None]) for name, value in start.items()}
    held = list(weights.values())
    momentum, velocity = ([tf.Variable(tf.zeros_like(one)) for one in held] for _ in range(2))
    step = tf.Variable(0, dtype=tf.int64)

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def move(one: Any, other: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = discriminate(tf, spec.discriminator, weights, tf.concat([one, other], axis=1), image)
            loss = discriminator_losses(tf, logits[:, :_BATCH_ROWS], logits[:, _BATCH_ROWS:], _REAL_LABEL)
        adam_step(tf, spec.adam, held, tape.gradient(loss, held), momentum, velocity, step)
        return loss

    losses: list[float] = []
    while len(losses) < _STEPS and (len(losses) < _LAST_STEPS or np.mean(losses[-_LAST_STEPS:]) > _LEARNT_BY_HEART):
        one, other = (rows[generator.integers(0, len(rows), (1, _BATCH_ROWS))] for rows in (real, fakes))
        losses.append(float(move(tf.constant(one), tf.constant(other))[0]))
    return {name: value.numpy() for name, value in weights.items()}
