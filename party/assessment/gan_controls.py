"""Controls of the membership attack, computed as the attack is: one that must find members, and one that cannot."""

import numpy as np
from numpy.typing import NDArray

from kernel.gan.spec import GanSpec, ImageShape
from party.assessment.gan_membership import Membership, membership
from party.assessment.stored_discriminator import StoredDiscriminator

_OVERFITTED, _NOISE = 0x6A34, 0x6A35
_STEPS = 400
_BATCH_ROWS = 64
_LEARNT_BY_HEART = 0.12
"""Mean loss of a discriminator that tells all rows it learned from; the least there is with targets 0.95 and 0 is 0.099."""
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
    from party.gan.local_gan import LocalGan, initial_gan

    generator = np.random.default_rng([_OVERFITTED, spec.seed, label])
    others = others[generator.permutation(len(others))]
    fakes, unseen = others[: len(others) // 2], others[len(others) // 2 :]
    members, columns = members[: len(unseen)], members.shape[1]
    net = LocalGan(spec, columns, image, initial_gan(spec, columns, image, [label], b"control", "control"))
    losses: list[float] = []
    while len(losses) < _STEPS and (len(losses) < _LAST_STEPS or np.mean(losses[-_LAST_STEPS:]) > _LEARNT_BY_HEART):
        real, fake = (rows[generator.integers(0, len(rows), (1, _BATCH_ROWS))] for rows in (members, fakes))
        losses.append(float(net.step_discriminator(real, fake)[0]))
    learned = StoredDiscriminator(spec.discriminator, image, net.state(), "discriminator.")
    return membership(learned.real(members), learned.real(unseen))


def noise(members: int, others: int, seed: int, label: int) -> Membership:
    """Negative control: scores that are drawn, for as many rows; its interval holds chance in 95 of 100 runs or more."""
    generator = np.random.default_rng([_NOISE, seed, label])
    return membership(generator.random(members), generator.random(others))
