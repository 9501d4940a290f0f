"""The judge on tables worked by hand, and chance where a recovery knows nothing."""

import numpy as np
import pytest

from kernel.errors import BadInputError
from party.assessment.background import Background
from party.assessment.judge import Judge


def background(targets, rows, classes=None):
    rows = np.array(rows)
    classes = np.zeros(len(targets), np.int64) if classes is None else classes
    return Background(rows, targets[rows], classes[rows], int(classes.max()) + 1)


def test_errors_by_hand():
    # Judged rows (1, 0), (3, 0), (5, 6): mean (3, 2), sum of squares about it (4+0+4) + (4+4+16) = 32.
    targets = np.array([[9, 9], [1, 0], [3, 0], [5, 6], [7, 7]], np.float32)
    judge = Judge(targets, np.zeros(5, np.int64), background(targets, [0, 4]), at_most=10, seed=0)
    np.testing.assert_array_equal(judge.rows, [1, 2, 3])
    scores = judge.score(np.array([[1, 0], [3, 2], [5, 4]], np.float32))  # squares 0, 4, 4
    assert scores["mse"].value == pytest.approx(8 / 6)
    assert scores["r2"].value == pytest.approx(1 - 8 / 32)
    assert "re_identification" not in scores  # three rows, not a hundred
    assert "ssim" not in scores
    for score in scores.values():
        assert score.low <= score.value <= score.high
        assert score.n == 3


def test_the_baseline_is_the_mean_of_the_leaked_rows_and_class_means_stand_beside_it():
    # Leaked: class 0 has rows 0 and 2, mean 1; class 1 has row 10; all of them mean 4. Judged: 3 (class 0), 14 (class 1),
    # their mean 8.5 and squares about it 2 * 5.5^2 = 60.5. Squares from 4: 1, 100; from the class means: 4, 16.
    targets = np.array([[0], [2], [10], [3], [14]], np.float32)
    classes = np.array([0, 0, 1, 0, 1])
    known = background(targets, [0, 1, 2], classes)
    judge = Judge(targets, classes, known, at_most=10, seed=0)
    assert judge.baseline["mse"].value == pytest.approx(50.5)
    assert judge.baseline["r2"].value == pytest.approx(1 - 101 / 60.5)
    assert {name: score.value for name, score in judge.class_mean.items()} == {
        "mse": pytest.approx(10),
        "r2": pytest.approx(1 - 20 / 60.5),
    }
    assert set(judge.undefined) == {"re_identification"}
    assert judge.baseline["auc"].value == 0.5
    assert judge.baseline["re_identification"].value == 0.01


def table(n=400, columns=4, classes=2, seed=0):
    generator = np.random.default_rng(seed)
    numbers = np.arange(n) % classes
    return (generator.normal(size=(n, columns)) + 5 * numbers[:, None]).astype(np.float32), numbers


def test_an_exact_recovery_finds_every_row_and_another_row_s_finds_none():
    targets, classes = table()
    judge = Judge(targets, classes, background(targets, range(20), classes), at_most=1000, seed=0)
    assert judge.score(targets[judge.rows])["re_identification"].value == 1
    # Each row recovered as another of its class (190 of each, 99 drawn): the true row is not the nearest where the
    # other was drawn, and seldom where it was not.
    shifted = np.empty((380, 4), np.float32)
    for number in range(2):
        own = np.flatnonzero(classes[judge.rows] == number)
        shifted[own] = targets[judge.rows[np.roll(own, 1)]]
    assert judge.score(shifted)["re_identification"].value < 0.1


def test_a_recovery_that_knows_the_class_only_is_at_chance():
    """Failure probability below 1e-4: the count is binomial(3000, 0.01) or tighter, mean 30; 8 to 52 is 4 deviations."""
    targets, classes = table(n=3200, columns=3)
    judge = Judge(targets, classes, background(targets, range(200), classes), at_most=3000, seed=1)
    noise = np.random.default_rng(2).normal(size=(3000, 3)) + 5 * classes[judge.rows][:, None]
    found = judge.score(noise)["re_identification"]
    assert found.n == 3000
    assert 8 / 3000 < found.value < 52 / 3000


def test_rows_that_are_equal_share_the_find():
    # All rows of the class are the same: each of 100 is equally near, so a find is worth 1/100.
    targets = np.ones((150, 2), np.float32)
    targets[:2] = [[0, 0], [2, 2]]
    judge = Judge(targets, np.zeros(150, np.int64), background(targets, [0, 1]), at_most=50, seed=0)
    scores = judge.score(np.full((50, 2), 7, np.float32))
    assert scores["re_identification"].value == pytest.approx(0.01)
    assert "r2" not in scores  # rows that do not differ have no variance to explain
    assert set(judge.undefined) == {"r2"}
    assert judge.class_mean == {}  # one class leaked, so its mean is the baseline


def test_small_classes_are_left_out_and_when_all_are_small_everybody_is_one_class():
    targets, _ = table(n=320)
    classes = (np.arange(320) >= 250).astype(np.int64)
    judge = Judge(targets, classes, background(targets, range(20), classes), at_most=1000, seed=0)
    assert judge.score(targets[judge.rows])["re_identification"].n == 230
    many = np.arange(320) % 8
    judge = Judge(targets, many, background(targets, range(20), many), at_most=1000, seed=0)
    assert judge.score(targets[judge.rows])["re_identification"].n == 300


def test_images_get_structural_similarity_and_a_block_of_columns_does_not():
    images = np.random.default_rng(3).random((30, 49)).astype(np.float32)
    classes = np.zeros(30, np.int64)
    judge = Judge(images, classes, background(images, range(5)), at_most=50, seed=0, image_shape=(7, 7))
    assert judge.score(images[judge.rows])["ssim"].value == pytest.approx(1)
    half = images[:, :24]
    judge = Judge(half, classes, background(half, range(5)), at_most=50, seed=0, image_shape=(7, 7))
    assert "ssim" not in judge.score(half[judge.rows])


def test_labels_are_scored_on_all_rows_that_did_not_leak():
    targets, classes = table(n=40)
    judge = Judge(targets, classes, background(targets, [0, 1], classes), at_most=5, seed=0)
    assert len(judge.rows) == 5
    found = judge.score_labels(classes[judge.label_rows].astype(float))["auc"]
    assert (found.value, found.n) == (1, 38)


def test_a_recovery_must_be_finite_and_fit():
    targets, classes = table(n=40)
    judge = Judge(targets, classes, background(targets, [0, 1], classes), at_most=5, seed=0)
    for recovery in (np.zeros((4, 4)), np.full((5, 4), np.nan)):
        with pytest.raises(BadInputError, match="recovery"):
            judge.score(recovery)


def test_the_class_that_nobody_is_given_is_no_baseline():
    """A reader that tells the class and nothing else leaks what the class tells: R2 as of the class mean, baseline 0."""
    targets, classes = table(n=4000, columns=3)
    judge = Judge(targets, classes, background(targets, range(400), classes), at_most=2000, seed=0)
    told = np.tile(5.0 * classes[judge.rows][:, None], (1, 3))
    found = judge.score(told)["r2"].value
    # Within a class variance 1, between them 2.5^2: R2 = 6.25 / 7.25.
    assert found == pytest.approx(6.25 / 7.25, abs=0.02)
    assert judge.class_mean["r2"].value == pytest.approx(found, abs=0.01)
    assert abs(judge.baseline["r2"].value) < 0.01
