"""party.gan.trainer: which steps, in which order, with which draws; nets and exchange write down what is asked of them."""

from dataclasses import replace

import numpy as np
import pytest
from small_gans import DENSE

from kernel.errors import TertiumError
from kernel.gan.schedule import Group, drawn_rows, latent_noise
from kernel.phases import PhaseClock
from party.gan.trainer import EpochLosses, GanTrainer

BATCH, SEED = DENSE.batch_rows, 21
ROWS = {label: np.random.default_rng(label).uniform(-1, 1, (5 + label, 16)).astype("f4") for label in (1, 2, 4)}
GROUPS = (Group((1, 2), (3, 1)), Group((4,), (2, 2)), Group((5,), (0, 4)))
"""The first party's third step with classes 1 and 2, and its second, are its own; it has nothing of class 5."""


class Nets:
    """Losses count the calls: the generator of model m loses (calls + m), the discriminator a hundred times that."""

    def __init__(self, log, number, models):
        self.log, self.number, self.models, self.calls = log, number, models, 0

    def _losses(self):
        self.calls += 1
        return np.arange(self.models) + float(self.calls)

    def make_fakes(self, latent):
        self.log.append(("fakes", self.number, latent))
        return np.zeros((self.models, BATCH, 16), np.float32)

    def step_discriminator(self, real, fakes):
        self.log.append(("discriminator", self.number, real))
        return 100 * self._losses()

    def step_generator(self, latent, gradient):
        self.calls -= 1
        self.log.append(("generator", self.number, latent, gradient))
        return self._losses()

    def step(self, latent, real):
        self.log.append(("own step", self.number, latent, real))
        losses = self._losses()
        return losses, 100 * losses


class Exchange:
    def __init__(self, log):
        self.log = log

    def open_epoch(self, epoch, seed):
        self.log.append(("open", epoch, seed))

    def send(self, group, step, fakes):
        self.log.append(("send", group, step))

    def origin_gradient(self, fakes):
        self.log.append(("origin gradient",))
        return np.full(fakes.shape, 2, np.float32)

    def close_epoch(self):
        self.log.append(("close",))


def trainer(log, *, penalty_after=0, warm_up=0, weight=0.5, exchange=True):
    shared = replace(DENSE.shared, weight=weight, penalty_after_epochs=penalty_after, warm_up_epochs=warm_up)
    spec = replace(DENSE, shared=shared if exchange else None)
    nets = {number: Nets(log, number, len(GROUPS[number].classes)) for number in (0, 1)}
    return GanTrainer("ann", 0, spec, GROUPS, nets, ROWS, Exchange(log) if exchange else None, PhaseClock())


def names(log):
    return [entry[:3] if entry[0] == "send" else entry[0] for entry in log]


EXCHANGED = ["fakes", "send", "discriminator", "origin gradient", "generator"]


def test_fakes_go_before_the_discriminator_learns_and_steps_with_others_come_first():
    log = []
    rows = trainer(log).train(1, SEED, lambda *progress: None)
    kinds = [kind if isinstance(kind, str) else kind[0] for kind in names(log)]
    assert kinds == ["open", *EXCHANGED * 3, "own step", "own step", "close"]
    assert [entry for entry in names(log) if entry[0] == "send"] == [("send", 0, 0), ("send", 1, 0), ("send", 1, 1)]
    assert [entry[1] for entry in log if entry[0] == "own step"] == [0, 0]
    assert rows == 3 * 2 * BATCH + 2 * BATCH


def test_every_draw_is_of_its_class_and_step():
    log = []
    trainer(log).train(1, SEED, lambda *progress: None)
    steps = {(0, 0): 0, (0, 1): 1, (0, 2): 2}
    own = [entry for entry in log if entry[0] == "own step"]
    for step, (_, number, latent, real) in enumerate(own, start=1):
        assert (number, step) in steps
        for model, label in enumerate(GROUPS[0].classes):
            np.testing.assert_array_equal(latent[model], latent_noise(SEED, label, step, BATCH, DENSE.latent))
            drawn = drawn_rows(SEED, label, step, 0, len(ROWS[label]), BATCH)
            np.testing.assert_array_equal(real[model], ROWS[label][drawn])
    second = [entry for entry in log if entry[0] == "discriminator"][2]
    np.testing.assert_array_equal(second[2][0], ROWS[4][drawn_rows(SEED, 4, 1, 0, len(ROWS[4]), BATCH)])
    made, moved = ([entry[2] for entry in log if entry[0] == kind] for kind in ("fakes", "generator"))
    np.testing.assert_array_equal(made[2], moved[2])  # the same noise for both


def test_the_origin_gradient_counts_with_its_weight_once_generators_pay():
    """Penalty after epoch 3, two epochs of warm-up: alone in epoch 1, unpaid in 2 and 3."""
    log = []
    made = trainer(log, penalty_after=3, warm_up=2)
    for epoch, wanted in (
        (1, ["own step"] * 5),
        (2, ["open", *[kind for kind in EXCHANGED if kind != "origin gradient"] * 3, *["own step"] * 2, "close"]),
        (4, ["open", *EXCHANGED * 3, *["own step"] * 2, "close"]),
    ):
        log.clear()
        made.train(epoch, SEED, lambda *progress: None)
        assert [entry[0] for entry in log] == wanted
        gradients = [entry[3] for entry in log if entry[0] == "generator"]
        assert all(gradient is None or (gradient == 1.0).all() for gradient in gradients)  # 0.5 * 2
        assert all((gradient is None) == (epoch == 2) for gradient in gradients)


def test_a_gan_without_others_takes_its_own_steps():
    log = []
    trainer(log, exchange=False).train(1, SEED, lambda *progress: None)
    assert [(entry[0], entry[1]) for entry in log] == [("own step", 0)] * 3 + [("own step", 1)] * 2


def test_losses_are_means_over_steps_by_net_group_and_model():
    made = trainer([], exchange=False)
    made.train(1, SEED, lambda *progress: None)
    found = {(one.net, one.group, one.model): one.loss for one in made.losses.messages()}
    assert found == {
        ("generator", 0, 0): 2, ("generator", 0, 1): 3, ("generator", 1, 0): 1.5,
        ("discriminator", 0, 0): 200, ("discriminator", 0, 1): 300, ("discriminator", 1, 0): 150,
    }  # fmt: skip
    assert made.losses.mean("generator") == (3 * 2 + 3 * 3 + 2 * 1.5) / 8
    assert made.losses.mean("origin") == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_named(bad):
    losses = EpochLosses("party-a", (Group((1, 2), (1,)), Group((0, 3), (1,))), 7)
    losses.add("generator", 1, 11, np.float64([1, 2]))
    with pytest.raises(
        TertiumError,
        match=r"the generator of class 3 at 'party-a' is not finite at epoch 7, step 12; lower nets\.learn",
    ):
        losses.add("generator", 1, 12, np.float64([1, bad]))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_fakes_that_are_not_finite_are_sent_to_nobody(bad):
    log = []
    made = trainer(log)
    fakes = np.zeros((2, BATCH, 16), np.float32)
    fakes[1, 3, 5] = bad
    made._nets[0].make_fakes = lambda latent: fakes
    with pytest.raises(
        TertiumError,
        match=r"an output of the generator of class 2 at 'ann' is not finite at epoch 4, step 0; lower nets\.learn",
    ):
        made.train(4, SEED, lambda *progress: None)
    assert names(log) == ["open"]


def test_progress_tells_steps_rows_and_the_generators_loss(monkeypatch):
    monkeypatch.setattr("party.gan.trainer.PROGRESS_SECONDS", 0.0)
    told = []
    trainer([], exchange=False).train(1, SEED, lambda *progress: told.append(progress))
    assert told[0] == (1, 5, 1.5, 2 * BATCH)
    assert told[-1] == (5, 5, 2.25, 8 * BATCH)
