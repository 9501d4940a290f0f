"""The classifier that judges synthetic rows: deterministic, learns what can be learned, and counts errors as errors."""

import numpy as np
import pytest

from kernel.errors import BadInputError, RowsError
from kernel.gan.spec import ImageShape
from kernel.metrics.scores import proportion
from party.assessment.gan_classifier import classifier_accuracy

IMAGE = ImageShape(8, 8)


def test_digits_as_images_and_as_rows(digits):
    """Test rows of scikit-learn's digits, each net; above what a constant answer gives by far, the same each time."""
    rows, labels = digits
    arguments = (rows[:600], labels[:600], rows[600:], labels[600:])
    image = classifier_accuracy(*arguments, IMAGE, epochs=6, seed=1)
    once = [classifier_accuracy(*arguments, IMAGE, epochs=1, seed=seed) for seed in (1, 1, 2)]
    assert once[0] == once[1] != once[2]
    assert image.n == 1197
    assert image.low > 0.8
    plain = classifier_accuracy(*arguments, None, epochs=10, seed=1)
    assert plain.low > 0.8
    assert plain != image
    wanted = proportion(image.value * 1197, 1197)
    assert (image.low, image.high) == pytest.approx((wanted.low, wanted.high))


def test_labels_may_be_any_integers_and_unseen_classes_are_errors(digits):
    rows, labels = digits
    few = np.isin(labels, [0, 1])
    rows, labels = rows[few], labels[few]
    strange = np.where(labels == 0, -7, 1000)
    found = classifier_accuracy(rows[:100], strange[:100], rows[100:], strange[100:], None, epochs=10)
    assert found.low > 0.9
    unseen = np.full(len(rows) - 100, 3)
    assert classifier_accuracy(rows[:100], strange[:100], rows[100:], unseen, None, epochs=1).value == 0


def test_one_class_to_learn_is_said_of_every_row(digits):
    rows, labels = digits
    zeros = rows[labels == 0]
    found = classifier_accuracy(zeros, np.zeros(len(zeros), np.int64), rows, labels, None, epochs=1)
    assert found.value == np.mean(labels == 0)


def test_shuffled_labels_teach_nothing(digits):
    """Negative control: with 1,197 test rows of ten classes, a tenth is right within 5 standard deviations of 0.9 %; three
    times a tenth is far outside."""
    rows, labels = digits
    shuffled = np.random.default_rng(0).permutation(labels[:600])
    assert classifier_accuracy(rows[:600], shuffled, rows[600:], labels[600:], None, epochs=5).high < 0.3


def test_what_it_refuses():
    rows, labels = np.zeros((4, 64), np.float32), np.zeros(4, np.int64)
    with pytest.raises(RowsError, match="no rows held out"):
        classifier_accuracy(rows, labels, rows[:0], labels[:0], IMAGE)
    with pytest.raises(BadInputError, match="no image of 8 x 8"):
        classifier_accuracy(rows[:, :63], labels, rows, labels, IMAGE)
    with pytest.raises(BadInputError, match="63 columns and held-out rows 64"):
        classifier_accuracy(rows[:, :63], labels, rows, labels, None)
    with pytest.raises(BadInputError, match=r"labels \(3,\)"):
        classifier_accuracy(rows, labels[:3], rows, labels, IMAGE)
    with pytest.raises(BadInputError, match="training diverged"):
        classifier_accuracy(np.full_like(rows, np.nan), labels, rows, labels, IMAGE)
