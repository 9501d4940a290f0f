"""party.label_protection: the moments the noise must have, and what it hides from the attacks it is made for.

The key of the noise is fixed: a test passes always or never. Bounds fail for a fresh key with probability below 1e-6.
"""

import numpy as np
import pytest

from kernel.gaussian_noise import GaussianNoise
from kernel.metrics.scores import auc
from kernel.randomness import SecretKey, SecureRandomness
from party.label_protection import label_protection, marvell, max_norm
from party.marvell import optimal_noise


class FixedKey(SecureRandomness):
    def key(self):
        return SecretKey(bytes(range(1, 33)))


@pytest.fixture
def noise():
    return GaussianNoise(FixedKey())


def head_gradients(rows, share, width=8, seed=3):
    """Gradients as a label head makes them: (prediction - label) / rows times one direction; positives are rare and long."""
    generator = np.random.default_rng(seed)
    labels = (generator.random(rows) < share).astype(np.int64)
    predictions = generator.beta(1, 1 / share, rows)
    direction = generator.standard_normal(width)
    return ((predictions - labels)[:, None] * direction / rows).astype(np.float32), labels


def told(labels, scores):
    return auc(labels, scores).value


def norm_attack(gradient, labels):
    return told(labels, np.linalg.norm(gradient, axis=1))


def test_max_norm_makes_every_row_as_long_as_the_longest(noise):
    """Mean squared length over 40,000 copies of three rows: within 5 % (7 standard errors)."""
    rows = np.array([[3, 4, 0], [0.5, 0, 0], [0, 0, 0]], np.float32)
    sent = max_norm(np.tile(rows, (40_000, 1)), np.zeros(120_000), noise=noise).reshape(40_000, 3, 3)
    assert np.square(sent).sum(axis=2).mean(axis=0) == pytest.approx([25, 25, 25], rel=0.05)
    assert sent[:, :2].mean(axis=0)[0] == pytest.approx([3, 4, 0])
    assert sent[:, 1, 1:].any() == np.False_  # along itself
    assert sent.dtype == np.float32


def off_the_line(gradient, direction):
    """Of every row, the sine of its angle with the direction."""
    wide, unit = gradient.astype(np.float64), direction / np.linalg.norm(direction)
    return np.linalg.norm(wide - np.outer(wide @ unit, unit), axis=1) / np.linalg.norm(wide, axis=1)


@pytest.mark.parametrize("kind", ["max_norm", "marvell"])
def test_noise_leaves_no_row_off_the_line_of_the_gradients(noise, kind):
    """Whatever the key: gradients of one output are on one line, and so is what is sent of them, to float32."""
    gradient, labels = head_gradients(2_000, 0.1)
    direction = gradient[np.argmax(np.linalg.norm(gradient, axis=1))].astype(np.float64)
    gradient[:5] = 0  # rows the model is sure of
    sent = label_protection(kind, 10.0, noise)(gradient, labels)
    assert np.linalg.norm(sent, axis=1).min() > 0
    assert off_the_line(sent, direction).max() < 1e-6


def test_marvells_noise_stays_in_the_plane_of_gradients_that_span_one(noise):
    generator = np.random.default_rng(4)
    plane = generator.standard_normal((2, 8))
    labels = np.repeat([0, 1], 500)
    gradient = ((generator.standard_normal((1_000, 2)) + 2.0 * labels[:, None]) @ plane).astype(np.float32)
    sent = marvell(gradient, labels, power=10.0, noise=noise)
    sizes = np.linalg.svd(sent - gradient, compute_uv=False)
    assert sizes[1] > 0.01 * sizes[0]
    assert sizes[2] < 1e-6 * sizes[0]


def test_marvells_noise_on_a_line_has_the_variances_of_the_programme_in_one_dimension(noise):
    """Sample variances of 20,000 normals a class within 7 % (7 standard errors)."""
    gradient, labels = head_gradients(40_000, 0.5)
    unit = np.linalg.svd(gradient[:100])[2][0]
    raw = gradient.astype(np.float64) @ unit
    added = marvell(gradient, labels, power=4.0, noise=noise).astype(np.float64) @ unit - raw
    negative, positive = raw[labels == 0], raw[labels == 1]
    squared = (positive.mean() - negative.mean()) ** 2
    expected = optimal_noise(squared, negative.var(), positive.var(), 1, labels.mean(), 4.0 * squared)
    assert [added[labels == label].var() for label in (0, 1)] == pytest.approx(
        [one.along for one in expected], rel=0.07
    )


def test_max_norm_is_unbiased(noise):
    """The mean of 40,000 copies of a row is the row: a standard error is 5 / 200."""
    rows = np.tile(np.array([[5.0, 0.0], [0.0, 0.1]], np.float32), (40_000, 1))
    sent = max_norm(rows, np.zeros(80_000), noise=noise).reshape(40_000, 2, 2)
    assert np.abs(sent.mean(axis=0) - rows[:2]).max() < 0.13


def test_max_norm_hides_labels_from_the_norm_attack(noise):
    """Unprotected the norm tells frauds; protected it tells the other way at most: longest rows are no longer rare."""
    gradient, labels = head_gradients(20_000, 0.02)
    assert norm_attack(gradient, labels) > 0.99
    found = norm_attack(max_norm(gradient, labels, noise=noise), labels)
    assert found < 0.85


def test_marvell_hides_labels_from_norm_and_direction(noise):
    """At power 10; the direction is the mean of the positives. Positive control: without noise both read every label.

    That no third reading is left, rows on and off a line, is tests/party/assessment/test_label_line.py.
    """
    gradient, labels = head_gradients(20_000, 0.02)
    direction = gradient[labels == 1].mean(axis=0)
    assert told(labels, gradient @ direction) > 0.99
    sent = marvell(gradient, labels, power=10.0, noise=noise)
    assert norm_attack(sent, labels) < 0.65
    assert told(labels, sent @ direction) < 0.75


def test_marvells_noise_has_the_variances_of_the_programme_in_all_dimensions_that_rows_span(noise):
    """20,000 rows of each class with an isotropic spread of their own: sample variances within 5 %, means within 5 %."""
    generator = np.random.default_rng(8)
    labels = np.repeat([0, 1], 20_000)
    means, spreads = np.array([[0, 0, 0], [1.0, 0, 0]]), np.array([0.1, 0.4])
    gradient = (means[labels] + spreads[labels, None] * generator.standard_normal((40_000, 3))).astype(np.float32)
    added = marvell(gradient, labels, power=4.0, noise=noise) - gradient
    expected = optimal_noise(1.0, 0.01, 0.16, 3, 0.5, 4.0)
    for label, one in enumerate(expected):
        variances = added[labels == label].var(axis=0)
        assert variances == pytest.approx([one.along, one.across, one.across], rel=0.05, abs=1e-4)
        assert np.abs(added[labels == label].mean(axis=0)).max() < 0.1
    assert np.square(added).sum(axis=1).mean() == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize("label", [0, 1])
def test_marvell_over_rows_of_one_class_still_adds_noise(noise, label):
    """Mean squared length of the noise is power times |2 mean|^2, as if the classes mirrored each other: within 10 %."""
    gradient = np.tile(np.array([[0.3, 0.4]], np.float32), (5_000, 1))
    sent = marvell(gradient, np.full(5_000, label), power=2.0, noise=noise)
    assert np.square(sent - gradient).sum(axis=1).mean() == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize("kind", ["max_norm", "marvell"])
def test_a_gradient_of_zeros_stays(noise, kind):
    protect = label_protection(kind, 10.0, noise)
    zeros = np.zeros((4, 3), np.float32)
    assert np.array_equal(protect(zeros, np.array([0, 1, 0, 1])), zeros)


def test_protection_leaves_what_it_was_given_alone(noise):
    """The head moves by the clean gradient."""
    gradient, labels = head_gradients(100, 0.3)
    for kind in ("max_norm", "marvell"):
        before = gradient.copy()
        assert not np.array_equal(label_protection(kind, 10.0, noise)(gradient, labels), gradient)
        assert np.array_equal(gradient, before)


def test_none_is_none(noise):
    assert label_protection("none", 10.0, noise) is None
