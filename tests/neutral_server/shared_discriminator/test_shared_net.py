"""neutral_server.shared_discriminator.net against Keras layers and Keras's Adam on the same fakes; loading gives the same bits."""

import numpy as np
import pytest

from kernel.errors import BadInputError
from kernel.gan.nets import discriminator_shapes, unflatten
from kernel.gan.spec import AdamSpec, ImageShape, NetSpec
from neutral_server.shared_discriminator.net import SharedDiscriminator

ADAM, COLUMNS, BATCH, PARTIES, SEED = AdamSpec(0.01, 0.5), 16, 6, 3, 7
DENSE, CONVOLUTIONAL = NetSpec("dense", (8, 5)), NetSpec("convolutional", (3, 4))
IMAGE = ImageShape(4, 4)
PLACES = (0, 2)
"""Who takes the steps here: not everybody, so that a place is not a position."""


def shared(net=DENSE, groups=(2, 1), image=None, parties=PARTIES, seed=SEED):
    return SharedDiscriminator(net, ADAM, COLUMNS, image, groups, parties, seed)


def step(models, number):
    generator = np.random.default_rng([models, number])
    fakes = [np.tanh(generator.normal(place, 1, (models, BATCH, COLUMNS))).astype(np.float32) for place in PLACES]
    others = {0: 2, 2: 0}
    wrong = np.array([[[others[place]] * BATCH for place in PLACES]] * models, np.int32)
    return fakes, wrong


def plain_model(keras, net, weights):
    """One class's shared discriminator as anybody would write it."""
    layers = [keras.Input((COLUMNS,))]
    if net.kind == "convolutional":
        layers.append(keras.layers.Reshape((IMAGE.height, IMAGE.width, 1)))
        for channels in net.widths:
            layers += [keras.layers.Conv2D(channels, 5, strides=2, padding="same"), keras.layers.LeakyReLU(0.2)]
        layers.append(keras.layers.Flatten())
    else:
        for width in net.widths:
            layers += [keras.layers.Dense(width), keras.layers.LeakyReLU(0.2)]
    model = keras.Sequential([*layers, keras.layers.Dense(PARTIES)])
    model.set_weights(list(weights.values()))
    return model


@pytest.mark.parametrize(("net", "image"), [(DENSE, None), (CONVOLUTIONAL, IMAGE)], ids=["dense", "convolutional"])
@pytest.mark.parametrize("models", [1, 2])
def test_it_learns_and_pulls_as_plain_keras(net, image, models):
    import keras
    import tensorflow as tf

    ours = shared(net, (models,), image)
    shapes = discriminator_shapes(net, COLUMNS, image, PARTIES)
    start = unflatten(ours.weights(0), shapes)
    plain = [plain_model(keras, net, {name: value[k] for name, value in start.items()}) for k in range(models)]
    optimizers = [keras.optimizers.Adam(ADAM.learning_rate, beta_1=ADAM.beta_1) for _ in plain]
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    true = np.repeat(PLACES, BATCH)
    for number in range(4):
        fakes, wrong = step(models, number)
        learned = ours.learn(0, fakes, PLACES, wrong)
        for k, (model, optimizer) in enumerate(zip(plain, optimizers, strict=True)):
            rows = np.concatenate([one[k] for one in fakes])
            with tf.GradientTape() as tape:
                loss = entropy(true, model(rows))
            optimizer.apply_gradients(
                zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
            )
            assert learned.loss[k] == pytest.approx(float(loss), rel=1e-5)
            pulls = []
            for place, (own, told) in enumerate(zip(fakes, wrong[k], strict=True)):
                inputs = tf.constant(own[k])
                with tf.GradientTape() as tape:
                    tape.watch(inputs)
                    pulls.append(entropy(told, model(inputs)))
                gradient = tape.gradient(pulls[-1], inputs).numpy()
                np.testing.assert_allclose(learned.gradients[place][k], gradient, rtol=2e-4, atol=1e-7)
            assert learned.origin_loss[k] == pytest.approx(float(np.mean(pulls)), rel=1e-5)
    for k, model in enumerate(plain):
        flat = np.concatenate([value.ravel() for value in model.get_weights()])
        np.testing.assert_allclose(ours.weights(0)[k], flat, rtol=1e-4, atol=1e-6)


def test_it_learns_to_tell_origins_and_groups_do_not_touch_each_other():
    ours, before = shared(), shared().weights(1)
    fakes, _ = step(2, 0)
    losses = [ours.learn(0, fakes, PLACES, None).loss for _ in range(60)]
    assert losses[0] == pytest.approx(np.log(PARTIES), rel=0.05)
    assert (losses[-1] < 0.1).all()
    assert np.array_equal(ours.weights(1), before)


def test_compiling_ahead_moves_nothing_and_leaves_nothing_to_compile():
    ours, state = shared(), shared().state()
    ours.warm_up([(2, 2), (1, 2)], BATCH, pull_only=False)
    ours.warm_up_moves([2, 1])
    assert all(np.array_equal(value, state[name]) for name, value in ours.state().items())
    traces = [function.experimental_get_tracing_count() for function in ours._compiled]
    assert min(traces) >= 2
    for group, models in enumerate((2, 1)):
        fakes, wrong = step(models, 0)
        ours.learn(group, fakes, PLACES, wrong)
        ours.learn(group, fakes, PLACES, None)
        ours.apply(group, np.ones((models, ours.parameters), np.float32))
    assert [function.experimental_get_tracing_count() for function in ours._compiled] == traces


def test_a_loaded_state_goes_on_with_the_same_bits():
    whole, first = shared(), shared()
    fakes, wrong = step(2, 0)
    whole.learn(0, fakes, PLACES, wrong)
    first.learn(0, fakes, PLACES, wrong)
    resumed = shared(seed=SEED + 1)
    resumed.load(first.state())
    fakes, wrong = step(2, 1)
    one, other = (net.learn(0, fakes, PLACES, wrong) for net in (whole, resumed))
    assert all(map(np.array_equal, one.gradients, other.gradients))
    for name, value in whole.state().items():
        assert np.array_equal(value, resumed.state()[name])


def test_the_start_follows_from_seed_group_and_model():
    one, other = shared(), shared(seed=SEED + 1)
    assert np.array_equal(one.weights(0), shared().weights(0))
    rows = [*one.weights(0), *one.weights(1), *other.weights(0), *other.weights(1)]
    assert len({row.tobytes() for row in rows}) == len(rows)


def test_a_state_of_other_nets_is_refused():
    with pytest.raises(BadInputError, match="the saved state of the shared discriminator"):
        shared().load(shared(parties=2).state())
    with pytest.raises(BadInputError, match=r"lacks \[.*group-1"):
        shared().load(shared(groups=(2,)).state())
