"""Views, backgrounds and stacks: shapes that are held to, and what is drawn."""

import numpy as np
import pytest

from kernel.errors import BadInputError
from party.assessment.background import draw_background
from party.assessment.stack import epoch_groups, moving_epochs, stacked
from party.assessment.view import View

ROWS = np.arange(6, dtype=np.int64)


def test_a_view_of_some_rows_cuts_every_array_and_nothing_else():
    z1 = np.arange(2 * 6 * 3, dtype=np.float32).reshape(2, 6, 3)
    own = np.arange(12, dtype=np.float32).reshape(6, 2)
    weights = np.ones((2, 3), np.float32)
    view = View(role="neutral-server", name="s", rows=ROWS + 10, z1=z1, own_rows=own, own_weights=weights)
    cut = view.restricted(np.array([1, 4]))
    np.testing.assert_array_equal(cut.rows, [11, 14])
    np.testing.assert_array_equal(cut.z1, z1[:, [1, 4]])
    np.testing.assert_array_equal(cut.own_rows, own[[1, 4]])
    assert cut.own_weights is weights
    assert cut.h1 is None


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"role": "dealer"}, "dealer"),
        ({"z1": np.zeros((2, 5, 3), np.float32)}, r"z1 .*\(2, 5, 3\).* 6 rows"),
        ({"z1": np.zeros((6, 3), np.float32)}, "epochs, rows, width"),
        ({"cut_gradient": np.zeros((0, 6, 3), np.float32)}, "cut_gradient"),
        ({"defender_gradient": np.zeros((2, 5, 3), np.float32)}, "defender_gradient"),
        ({"outputs": np.zeros((5, 1), np.float32)}, "outputs"),
    ],
)
def test_what_does_not_fit_is_refused(arrays, said):
    with pytest.raises(BadInputError, match=said):
        View(**({"role": "neutral-server", "name": "s", "rows": ROWS} | arrays))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_leaked_fraction_must_leave_rows_on_both_sides(fraction):
    with pytest.raises(BadInputError, match="leaked_fraction"):
        draw_background(np.zeros((10, 2), np.float32), np.zeros(10), fraction, 0)


def test_the_leak_is_of_the_size_asked_and_holds_the_rows_it_names():
    targets = np.arange(40, dtype=np.float32).reshape(20, 2)
    labels = np.arange(20) % 3
    background = draw_background(targets, labels, 0.3, 7)
    assert len(background.rows) == 6
    assert len(np.unique(background.rows)) == 6
    np.testing.assert_array_equal(background.targets, targets[background.rows])
    np.testing.assert_array_equal(background.labels, labels[background.rows])
    assert background.classes == 3
    assert len(draw_background(targets, labels, 0.3, 7, at_most=4).rows) == 4
    assert len(draw_background(targets, labels, 0.001, 7).rows) == 2
    assert len(draw_background(targets, labels, 0.999, 7).rows) == 18


def test_too_few_rows_are_refused():
    with pytest.raises(BadInputError, match="3 rows"):
        draw_background(np.zeros((3, 2), np.float32), np.zeros(3), 0.5, 0)


def test_a_stack_keeps_epochs_while_there_is_room_and_means_of_groups_beyond():
    values = np.arange(4 * 2 * 3, dtype=np.float32).reshape(4, 2, 3)
    np.testing.assert_array_equal(stacked(values, 12), np.concatenate(list(values), axis=1))
    halves = np.concatenate([values[:2].mean(axis=0), values[2:].mean(axis=0)], axis=1)
    np.testing.assert_array_equal(stacked(values, 6), halves)
    np.testing.assert_array_equal(stacked(values, 1), values.mean(axis=0))


def test_groups_cover_all_epochs_in_order():
    for epochs in range(1, 30):
        groups = epoch_groups(epochs, 3, 21)
        assert [number for group in groups for number in range(group.start, group.stop)] == list(range(epochs))
        assert len(groups) == min(epochs, 7)


def test_epochs_that_repeat_add_no_columns():
    generator = np.random.default_rng(3)
    moving = generator.standard_normal((2, 50, 4)).astype(np.float32)
    repeated = np.concatenate([moving, moving[-1:], moving[-1:] + np.float32(1e-5)])
    assert moving_epochs(repeated) == [0, 3]
    assert np.array_equal(stacked(repeated, 100), np.concatenate([moving[0], repeated[-1]], axis=1))
    assert np.array_equal(stacked(repeated[1:], 100), repeated[-1])
    assert moving_epochs(np.zeros((3, 5, 2), np.float32)) == [2]
