"""The reader of rows on and off a line: what isotropic Marvell noise gave away, and noise on the line does not.

Seeds and the key of the noise are fixed: a test passes always or never. The AUC of scores that are independent of labels has
variance (m + n + 1) / (12 m n); a bound of four deviations fails for a fresh key with probability 1e-4.
"""

import math

import ml_dtypes
import numpy as np
import pytest

from kernel.gaussian_noise import GaussianNoise
from kernel.metrics.scores import auc
from kernel.randomness import SecretKey, SecureRandomness
from party.assessment.background import draw_background
from party.assessment.label_inference import LabelDirection, LabelLine, LabelNorm
from party.assessment.view import View
from party.label_protection import marvell
from party.marvell import optimal_noise

STEPS, ROWS, EPOCHS = 6, 300, 2


class FixedKey(SecureRandomness):
    def key(self):
        return SecretKey(bytes(range(2, 34)))


def on_the_line(gradient, labels, generator):
    return marvell(gradient, labels, power=10.0, noise=GaussianNoise(FixedKey()))


def isotropic(gradient, labels, generator):
    """Marvell as published: isotropic covariances in all of the width, whatever the gradients span."""
    wide, width = gradient.astype(np.float64), gradient.shape[1]
    groups = [wide[labels == label] for label in (0, 1)]
    apart = groups[1].mean(axis=0) - groups[0].mean(axis=0)
    squared, unit = apart @ apart, apart / np.linalg.norm(apart)
    u, v = (np.square(group - group.mean(axis=0)).mean() for group in groups)
    for label, one in enumerate(optimal_noise(squared, u, v, width, labels.mean(), 10.0 * squared)):
        across = math.sqrt(one.across) * generator.standard_normal((len(groups[label]), width))
        along = math.sqrt(one.along) * generator.standard_normal((len(groups[label]), 1)) - across @ unit[:, None]
        wide[labels == label] += across + along * unit
    return wide.astype(np.float32)


def server_view(protect, *, share, width=8, bfloat16=False):
    """The server's view of a binary head that moves between steps, and the labels."""
    generator = np.random.default_rng(5)
    labels = (generator.random(STEPS * ROWS) < share).astype(np.int64)
    seen = np.zeros((EPOCHS, len(labels), width), np.float32)
    head = generator.standard_normal(width)
    for epoch in range(EPOCHS):
        logits = math.log(share / (1 - share)) + generator.standard_normal(len(labels)) + 2 * labels
        error = 1 / (1 + np.exp(-logits)) - labels
        for rows in np.split(generator.permutation(len(labels)), STEPS):
            head += 0.02 * generator.standard_normal(width)
            raw = (error[rows, None] * head / len(rows)).astype(np.float32)
            sent = protect(raw, labels[rows], generator)
            seen[epoch, rows] = sent.astype(ml_dtypes.bfloat16) if bfloat16 else sent
    return View(role="neutral-server", name="s", rows=np.arange(len(labels)), head_gradient=seen), labels


def told(attack, view, labels):
    """AUC on the rows that did not leak, and the deviation that it has by chance."""
    background = draw_background(np.zeros((len(labels), 1), np.float32), labels, 0.2, 0)
    others = np.setdiff1d(np.arange(len(labels)), background.rows)
    ones = int(labels[others].sum())
    chance = math.sqrt((len(others) + 1) / (12 * ones * (len(others) - ones)))
    return auc(labels[others], attack(view, background).recover(others)).value, chance


@pytest.mark.parametrize("share", [0.05, 0.4])
@pytest.mark.parametrize("width", [2, 8])
def test_isotropic_noise_gives_every_label_to_who_looks_for_parallel_rows(share, width):
    view, labels = server_view(isotropic, share=share, width=width)
    assert told(LabelLine, view, labels)[0] > 0.99
    assert told(LabelDirection, view, labels)[0] < 0.8  # and to nobody who reads sizes and sides
    assert told(LabelNorm, view, labels)[0] < 0.7


def test_isotropic_noise_does_so_after_rounding_to_bfloat16():
    view, labels = server_view(isotropic, share=0.2, bfloat16=True)
    assert told(LabelLine, view, labels)[0] > 0.95


@pytest.mark.parametrize("share", [0.05, 0.4])
@pytest.mark.parametrize("width", [2, 8])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_noise_on_the_line_leaves_that_reader_at_chance(share, width, bfloat16):
    view, labels = server_view(on_the_line, share=share, width=width, bfloat16=bfloat16)
    found, chance = told(LabelLine, view, labels)
    assert abs(found - 0.5) < 4 * chance


def test_rows_of_zeros_have_no_direction_and_no_score():
    view, labels = server_view(isotropic, share=0.4)
    view.head_gradient[:, :7] = 0
    background = draw_background(np.zeros((len(labels), 1), np.float32), labels, 0.2, 0)
    scores = LabelLine(view, background).recover(np.arange(len(labels)))
    assert not scores[:7].any()
    assert np.isfinite(scores).all()


def test_a_width_of_one_is_a_line_and_three_classes_have_none():
    view, labels = server_view(lambda gradient, labels, generator: gradient, share=0.4, width=1)
    background = draw_background(np.zeros((len(labels), 1), np.float32), labels, 0.2, 0)
    assert LabelNorm.suits(view, background, "quick")
    assert not LabelLine.suits(view, background, "quick")
    wide, labels = server_view(lambda gradient, labels, generator: gradient, share=0.4)
    assert LabelLine.suits(wide, background, "quick")
    three = draw_background(np.zeros((len(labels), 1), np.float32), np.arange(len(labels)) % 3, 0.2, 0)
    assert not LabelLine.suits(wide, three, "quick")
