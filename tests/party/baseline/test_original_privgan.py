"""party.baseline.original_privgan: the published loop is what parties and neutral server do together, weight by weight."""

from dataclasses import replace

import numpy as np
import pytest
from small_gans import CONVOLUTIONAL, DENSE

from kernel.errors import SettingsError
from kernel.gan.nets import discriminator_shapes, flatten, unflatten
from neutral_server.shared_discriminator.net import SharedDiscriminator
from party.baseline.original_privgan import OriginalPrivgan
from party.gan.local_gan import LocalGan, initial_gan

COLUMNS, PARTIES, STEPS = 16, ("ann", "bob", "cem"), 4


def test_the_original_loop_is_the_federations():
    """Three parties, four paying steps of mode fakes, lambda 0.7: all weights alike up to float32's rounding."""
    spec = replace(DENSE, shared=replace(DENSE.shared, weight=0.7))
    starts = [initial_gan(spec, COLUMNS, None, [3], b"key", name) for name in PARTIES]
    gans = [LocalGan(spec, COLUMNS, None, start) for start in starts]
    server = SharedDiscriminator(spec.shared.net, spec.adam, COLUMNS, None, [1], len(PARTIES), seed=5)
    shapes = discriminator_shapes(spec.shared.net, COLUMNS, None, len(PARTIES))
    shared = {name: value[0] for name, value in unflatten(server.weights(0), shapes).items()}
    original = OriginalPrivgan(spec, COLUMNS, starts, shared)
    for step in range(STEPS):
        rng = np.random.default_rng(step)
        latent = rng.standard_normal((spec.batch_rows, spec.latent), np.float32)
        real = rng.uniform(-1, 1, (len(PARTIES), spec.batch_rows, COLUMNS)).astype(np.float32)
        wrong = np.stack([(place + rng.integers(1, 3, spec.batch_rows)) % 3 for place in range(3)]).astype(np.int32)
        original.step(latent, list(real), list(wrong))
        fakes = [gan.make_fakes(latent[None]) for gan in gans]
        learned = server.learn(0, fakes, range(3), wrong[None])
        for gan, rows, made, gradient in zip(gans, real, fakes, learned.gradients, strict=True):
            gan.step_discriminator(rows[None], made)
            gan.step_generator(latent[None], np.float32(0.7) * gradient)
    np.testing.assert_allclose(flatten_keras(original.shared), server.weights(0)[0], atol=2e-5)
    for gan, start, *models in zip(gans, starts, original.generators, original.discriminators, strict=True):
        for net, model in zip(("generator.", "discriminator."), models, strict=True):
            names = [name for name in start if name.startswith(net)]
            found, began = ({name: one[name] for name in names} for one in (gan.state(), start))
            np.testing.assert_allclose(flatten_keras(model), flatten(found)[0], atol=2e-5)
            assert np.abs(flatten(found) - flatten(began)).max() > 3 * spec.adam.learning_rate


def flatten_keras(model):
    return np.concatenate([value.ravel() for value in model.get_weights()])


def test_convolutional_nets_are_refused():
    starts = [initial_gan(DENSE, COLUMNS, None, [3], b"key", name) for name in PARTIES]
    with pytest.raises(SettingsError, match="dense"):
        OriginalPrivgan(CONVOLUTIONAL, COLUMNS, starts, {})
