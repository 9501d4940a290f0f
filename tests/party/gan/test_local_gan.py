"""party.gan.local_gan: its steps against Keras's train_on_batch, against each other, one model against many, and resumed."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_gans import DENSE

from kernel.errors import BadInputError, StepError
from kernel.gan.losses import generator_losses, origin_losses
from kernel.gan.nets import discriminate, generate
from kernel.gan.spec import NetSpec
from party.gan.local_gan import LocalGan, initial_gan

CLASSES, COLUMNS, ROWS, LATENT = (3, 5, 8), 16, 8, 7
SECRET = b"key"


def made(spec, image, classes=CLASSES):
    return LocalGan(spec, COLUMNS, image, initial_gan(spec, COLUMNS, image, classes, SECRET, "ann"))


def draws(step, models=3):
    """(latent, real, origin gradient) of a step; model i's are the same however many there are."""
    rng = [np.random.default_rng([step, model]) for model in range(models)]
    latent = np.stack([one.standard_normal((ROWS, LATENT), np.float32) for one in rng])
    real = np.stack([one.uniform(-1, 1, (ROWS, COLUMNS)).astype(np.float32) for one in rng])
    pull = np.stack([one.normal(0, 0.1, (ROWS, COLUMNS)).astype(np.float32) for one in rng])
    return latent, real, pull


def assert_same_state(found, wanted):
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def keras_nets(spec, start, model):
    """The nets of one class in Keras, compiled as the original does it, and its combined model of frozen discriminator and G."""

    def net(widths, inputs, last):
        hidden = [one for width in widths[:-1] for one in (keras.layers.Dense(width), keras.layers.LeakyReLU(0.2))]
        return keras.Sequential([keras.Input((inputs,)), *hidden, keras.layers.Dense(widths[-1], activation=last)])

    def adam():
        return keras.optimizers.Adam(2e-4, beta_1=0.5)

    generator = net((*spec.generator.widths, COLUMNS), LATENT, "tanh")
    discriminator = net((*spec.discriminator.widths, 1), COLUMNS, "sigmoid")
    for name, one in (("generator", generator), ("discriminator", discriminator)):
        one.set_weights([value[model] for key, value in start.items() if key.startswith(f"{name}.")])
    discriminator.compile(optimizer=adam(), loss="binary_crossentropy")
    judge = keras.models.clone_model(discriminator)
    judge.trainable = False
    noise = keras.Input((LATENT,))
    combined = keras.Model(noise, judge(generator(noise)))
    combined.compile(optimizer=adam(), loss="binary_crossentropy")
    return generator, discriminator, judge, combined


@pytest.mark.parametrize("widths", [(9, 5), (512, 512)], ids=["narrow", "wide enough for XLA"])
def test_steps_are_those_of_kerass_train_on_batch(image, widths):
    """Five steps of the original's loop for one of three stacked classes: fakes first, D on [real; fakes], G against the new D."""
    spec = replace(DENSE, discriminator=NetSpec("dense", widths))
    # convolutions are held against Keras's in test_gan_nets, and step by the same code
    start = initial_gan(spec, COLUMNS, image, CLASSES, SECRET, "ann")
    gan, model = LocalGan(spec, COLUMNS, image, start), 1
    generator, discriminator, judge, combined = keras_nets(spec, start, model)
    for step in range(5):
        latent, real, _ = draws(step)
        fakes = generator.predict_on_batch(latent[model])
        targets = np.concatenate([np.full((ROWS, 1), 0.95), np.zeros((ROWS, 1))])
        wanted_d = discriminator.train_on_batch(np.concatenate([real[model], fakes]), targets)
        judge.set_weights(discriminator.get_weights())
        combined.reset_metrics()
        discriminator.reset_metrics()
        wanted_g = combined.train_on_batch(latent[model], np.ones((ROWS, 1)))
        found_g, found_d = gan.step(latent, real)
        assert found_d[model] == pytest.approx(float(wanted_d), abs=1e-5)
        assert found_g[model] == pytest.approx(float(wanted_g), abs=1e-5)
    state = gan.state()
    for name, net in (("generator", generator), ("discriminator", discriminator)):
        keys = [key for key in start if key.startswith(f"{name}.")]
        for key, value in zip(keys, net.get_weights(), strict=True):
            np.testing.assert_allclose(state[key][model], value, atol=1e-5, err_msg=key)
            assert np.abs(state[key][model] - start[key][model]).max() > 5e-4  # five moves of about 2e-4 each


def test_a_step_is_its_three_parts(spec, image):
    whole, parts = made(spec, image), made(spec, image)
    for step in range(3):
        latent, real, _ = draws(step)
        found_g, found_d = whole.step(latent, real)
        fakes = parts.make_fakes(latent)
        np.testing.assert_allclose(parts.step_discriminator(real, fakes), found_d, rtol=1e-6)
        np.testing.assert_allclose(parts.step_generator(latent, None), found_g, rtol=1e-6)
    for name, value in whole.state().items():
        np.testing.assert_allclose(parts.state()[name], value, rtol=1e-4, atol=1e-7, err_msg=name)


def weights_in(state, net):
    names = [name for name in state if name.startswith(f"{net}.") and name.split(".")[1].startswith(("kernel", "bias"))]
    return {name.removeprefix(f"{net}."): tf.constant(state[name]) for name in names}


@pytest.mark.parametrize("pays", [True, False])
def test_a_generator_moves_by_the_gradient_of_its_whole_loss(spec, image, pays):
    """With the origin loss's gradient at the fakes handed in, G's gradient is that of BCE + lambda * CE by one tape, against
    the discriminator as it is after its move.

    The gradient is read off Adam's momentum after its first move: (1 - 0.5) g.
    """
    weight, wrong = 1.7, tf.constant(np.random.default_rng(1).integers(0, 3, (len(CLASSES), ROWS)), tf.int32)
    shared = tf.constant(np.random.default_rng(2).normal(size=(COLUMNS, 3)).astype(np.float32))
    gan, (latent, real, _) = made(spec, image), draws(0)

    def origin(fakes):
        return tf.reduce_sum(origin_losses(tf, tf.tanh(fakes) @ shared, wrong))

    fakes = gan.make_fakes(latent)
    gan.step_discriminator(real, fakes)
    before = gan.state()
    g, d = weights_in(before, "generator"), weights_in(before, "discriminator")
    with tf.GradientTape() as tape:
        tape.watch(list(g.values()))
        made_again = generate(tf, spec.generator, g, tf.constant(latent), image)
        bce = generator_losses(tf, discriminate(tf, spec.discriminator, d, made_again, image))
        loss = tf.reduce_sum(bce) + (weight * origin(made_again) if pays else 0.0)
    wanted = dict(zip(g, tape.gradient(loss, list(g.values())), strict=True))
    sent = tf.constant(fakes)
    with tf.GradientTape() as tape:
        tape.watch(sent)
        paid = origin(sent)
    found = gan.step_generator(latent, weight * tape.gradient(paid, sent).numpy() if pays else None)
    np.testing.assert_allclose(found, bce, rtol=1e-5)
    after = gan.state()
    for name, gradient in wanted.items():
        scale = np.abs(gradient).max()
        assert scale > 0
        np.testing.assert_allclose(2 * after[f"generator.momentum.{name}"], gradient, atol=2e-5 * scale, err_msg=name)
    for name in d:
        np.testing.assert_array_equal(after[f"discriminator.{name}"], before[f"discriminator.{name}"])


def test_a_step_is_taken_in_order_and_on_its_own_fakes(spec, image):
    gan, (latent, real, pull) = made(spec, image), draws(0)
    with pytest.raises(StepError, match="latent noise"):
        gan.step_generator(latent, pull)
    fakes = gan.make_fakes(latent)
    with pytest.raises(StepError, match="other fakes"):
        gan.step_discriminator(real, -fakes)
    gan.step_discriminator(real, fakes)
    with pytest.raises(StepError, match="other fakes"):
        gan.step_discriminator(real, fakes)
    with pytest.raises(StepError, match="latent noise"):
        gan.step_generator(-latent, pull)
    assert gan.state()["generator.step"].tolist() == [0, 0, 0]


def test_a_net_that_diverged_is_told_by_its_losses(spec, image):
    """Not by an error of another name: who trains says which net it was (trainer.py)."""
    gan, (latent, real, _) = made(spec, image), draws(0)
    state = gan.state()
    state["generator.kernel_0"][1] = np.nan
    gan.load(state)
    discriminator = gan.step_discriminator(real, gan.make_fakes(latent))
    generator = gan.step_generator(latent, None)
    assert np.isfinite(discriminator).tolist() == np.isfinite(generator).tolist() == [True, False, True]


def test_stacked_models_are_single_ones(spec, image):
    """A class trains as it would alone, up to the rounding of a batched product."""
    together = made(spec, image)
    alone = [made(spec, image, [label]) for label in CLASSES]
    for step in range(3):
        latent, real, pull = draws(step)
        fakes = together.make_fakes(latent)
        together.step_discriminator(real, fakes)
        losses = together.step_generator(latent, pull)
        for model, one in enumerate(alone):
            part = slice(model, model + 1)
            own = one.make_fakes(latent[part])
            np.testing.assert_allclose(own, fakes[part], atol=1e-6)
            one.step_discriminator(real[part], own)
            np.testing.assert_allclose(one.step_generator(latent[part], pull[part]), losses[part], rtol=1e-5)
    for name, value in together.state().items():
        found = np.concatenate([one.state()[name] for one in alone])
        np.testing.assert_allclose(found, value, rtol=1e-3, atol=1e-6, err_msg=name)
    for model, one in enumerate(alone):
        np.testing.assert_allclose(one.sample(0, latent[0]), together.sample(model, latent[0]), atol=1e-5)
        np.testing.assert_allclose(one.score(0, real[0]), together.score(model, real[0]), atol=1e-5)


def test_samples_and_scores_are_the_models_own(spec, image):
    gan, (latent, real, _) = made(spec, image), draws(0)
    fakes = gan.make_fakes(latent)
    for model in range(gan.models):
        np.testing.assert_allclose(gan.sample(model, latent[model]), fakes[model], atol=1e-6)
        score = gan.score(model, real[model])
        assert score.shape == (ROWS,)
        assert ((score > 0) & (score < 1)).all()
    assert np.abs(gan.score(0, real[0]) - gan.score(1, real[0])).max() > 1e-6


def test_a_resumed_gan_goes_on_to_the_same_bits(spec, image):
    """Into a fresh object, from other weights: all that training depends on is in the state."""
    gan = made(spec, image)
    gan.step(*draws(0)[:2])
    saved = gan.state()
    resumed = LocalGan(spec, COLUMNS, image, initial_gan(spec, COLUMNS, image, CLASSES, b"another", "bob"))
    resumed.load(saved)
    assert_same_state(resumed.state(), saved)
    for step in range(1, 4):
        latent, real, pull = draws(step)
        for one in (gan, resumed):
            one.step(latent, real)
            one.step_discriminator(real, one.make_fakes(latent))
            one.step_generator(latent, pull)
    assert_same_state(resumed.state(), gan.state())
    assert resumed.state()["generator.step"].tolist() == [7, 7, 7]


def test_a_class_can_be_cut_out_of_a_state(spec, image):
    gan = made(spec, image)
    gan.step(*draws(0)[:2])
    cut = {name: value[1:2] for name, value in gan.state().items()}
    alone = made(spec, image, [CLASSES[1]])
    alone.load(cut)
    latent = draws(1)[0]
    np.testing.assert_allclose(alone.make_fakes(latent[1:2]), gan.make_fakes(latent)[1:2], atol=1e-6)


def test_a_state_of_other_nets_changes_nothing(spec, image):
    gan = made(spec, image)
    before = gan.state()
    uneven = before | {"generator.step": np.array([1, 2, 2])}
    for state, words in ((made(spec, image, [3]).state(), "of shape"), (uneven, "steps")):
        with pytest.raises(BadInputError, match=words):
            gan.load(state)
    assert_same_state(gan.state(), before)


def test_groups_of_equal_shapes_share_compiled_functions(spec, image):
    """Ten groups must not be traced ten times."""
    for label in range(3):
        made(spec, image, [label]).step(*draws(0, 1)[:2])
    compiled = made(spec, image)._compiled.step
    before = compiled.experimental_get_tracing_count()
    made(spec, image, [9]).step(*draws(0, 1)[:2])
    assert compiled.experimental_get_tracing_count() == before > 0


def test_a_start_depends_on_secret_seed_party_and_class_alone(spec, image):
    def start(classes, secret=SECRET, me="ann", of=spec):
        return initial_gan(of, COLUMNS, image, classes, secret, me)

    whole = start(CLASSES)
    for model, label in enumerate(CLASSES):
        assert_same_state(
            {name: value[model] for name, value in whole.items()},
            {name: value[0] for name, value in start([label]).items()},
        )
    kernel = "generator.kernel_0"
    others = [
        start([3], b"other"),
        start([3], me="bob"),
        start([5]),
        start([3], of=type(spec)(**{**vars(spec), "seed": 12})),
    ]
    for other in others:
        assert np.abs(other[kernel][0] - whole[kernel][0]).max() > 0.01
