"""The neutral server's readers use the defenders' summed gradient beside z1, and only where there is one.

Views are made by hand, with rows x of independent normal columns, so that R2 without a view is 0 and a noise-free linear
image as wide as x has columns gives 1.
"""

from dataclasses import replace

import numpy as np
import pytest

from party.assessment.background import draw_background
from party.assessment.inverse_models import InverseMlp, InverseRidge, PaperAttacker, StackedMlp, StackedRidge
from party.assessment.judge import Judge
from party.assessment.ridge import fit_ridge, standardised
from party.assessment.stack import LIMITS, stacked
from party.assessment.view import View

ROWS, COLUMNS, EPOCHS = 600, 8, 3
READERS = (InverseRidge, InverseMlp, StackedRidge, StackedMlp)


@pytest.fixture(autouse=True)
def small_networks(small_recipe):
    """A network starts at its ridge."""


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(size=(ROWS, COLUMNS)).astype(np.float32)


@pytest.fixture(scope="module")
def trial(rows):
    labels = np.arange(ROWS) % 2
    background = draw_background(rows, labels, 0.4, 0)
    return background, Judge(rows, labels, background, at_most=ROWS, seed=0)


def noise(seed, width=COLUMNS):
    return np.random.default_rng([5, seed]).normal(size=(EPOCHS, ROWS, width)).astype(np.float32)


def images(rows, seed):
    """Of every epoch another linear map of all columns, on the scale of a defender's gradients."""
    maps = np.random.default_rng([6, seed]).normal(size=(EPOCHS, rows.shape[1], COLUMNS))
    return np.float32(1e-3) * np.stack([rows @ one for one in maps]).astype(np.float32)


def server(**arrays):
    return View(role="neutral-server", name="s", rows=np.arange(ROWS), **arrays)


def r2(reader, view, trial):
    background, judge = trial
    return reader(view, background).evaluate(judge).scores["r2"].value


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_rows_are_recovered_from_the_gradient_where_z1_is_noise(reader, rows, trial):
    view = server(z1=noise(1), defender_gradient=images(rows, 1))
    assert r2(reader, view, trial) > 0.99
    assert r2(reader, replace(view, defender_gradient=None), trial) < 0.05


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_gradient_of_noise_does_not_hide_z1(reader, rows, trial):
    view = server(z1=images(rows, 1), defender_gradient=1000 * noise(1))
    assert r2(reader, view, trial) > 0.99


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_each_tells_half_and_both_together_all(reader, rows, trial):
    half = COLUMNS // 2
    view = server(z1=images(rows[:, :half], 1), defender_gradient=images(rows[:, half:], 2))
    assert r2(reader, view, trial) > 0.99
    assert 0.4 < r2(reader, replace(view, defender_gradient=None), trial) < 0.6


def test_where_z1_is_noisy_the_gradient_counts_for_more(rows, trial):
    """Two looks at the same columns, one with noise as large as itself: what is found is what the better look gives."""
    z1, gradient = 1000 * images(rows, 1) + 3 * noise(1), images(rows, 2) + np.float32(3e-4) * noise(2)
    both = r2(InverseRidge, server(z1=z1, defender_gradient=gradient), trial)
    assert both > r2(InverseRidge, server(z1=z1), trial) + 0.2
    assert both > r2(InverseRidge, server(z1=gradient), trial) - 0.01


def test_the_stack_keeps_as_many_values_of_a_row_as_without(rows, trial):
    """Side by side, each has half of what a ridge is given; alone, all."""
    background, _ = trial
    many = np.tile(images(rows, 1), (40, 1, 1))  # 120 epochs of 8: 960 values, of which 512 are kept
    reader = StackedRidge(server(z1=many, defender_gradient=many), background)
    assert reader.best_features().shape[1] <= LIMITS["quick"]


def test_without_a_defender_the_reader_is_the_plain_ridge_to_the_bit(rows, trial):
    background, judge = trial
    z1 = images(rows, 1) + np.float32(1e-3) * noise(1)
    for reader, seen in ((InverseRidge, z1[-1]), (StackedRidge, stacked(z1, LIMITS["quick"]))):
        features = standardised(seen, background.rows)
        plain = fit_ridge(features[background.rows], background.targets)(features[judge.rows])
        attacker = reader(server(z1=z1), background)
        assert reader.reads(server(z1=z1)) == ("z1",)
        np.testing.assert_array_equal(attacker.recover(judge.rows), attacker.plausible(plain))


def test_the_papers_attacker_and_parties_read_what_they_did(rows):
    view = server(z1=noise(1), h1=noise(2), defender_gradient=noise(3))
    assert PaperAttacker.reads(view) == ("h1",)
    assert InverseRidge.reads(replace(view, role="label-holder", h_last=noise(4))) == ("h_last",)
    assert InverseRidge.reads(replace(view, role="feature-holder", cut_gradient=noise(4))) == ("cut_gradient",)
