"""A network on what the ridge leaves over finds more where the cut is narrow and rows lie on no plane."""

import numpy as np
from split_network import train_views

from party.assessment.background import draw_background
from party.assessment.inverse_models import InverseMlp, InverseRidge, PaperAttacker, directions
from party.assessment.judge import Judge


def test_on_digits_through_eight_units_the_network_beats_ridge_and_paper(digits):
    rows, labels = digits
    server = train_views([rows[:, :32], rows[:, 32:]], labels, epochs=2, batch_rows=64)[0]
    background = draw_background(rows, labels, 0.4, 0)
    judge = Judge(rows, labels, background, at_most=1000, seed=0)
    ridge, network, paper = (
        attack(server, background).evaluate(judge).scores for attack in (InverseRidge, InverseMlp, PaperAttacker)
    )
    assert network["r2"].low > ridge["r2"].high
    assert network["re_identification"].value > ridge["re_identification"].value
    assert network["r2"].value > paper["r2"].value > 0


def test_directions_and_lengths_are_the_gradient():
    gradients = np.random.default_rng(1).normal(size=(2, 5, 3)).astype(np.float32)
    gradients[0, 0] = 0
    found = directions(gradients)
    np.testing.assert_allclose(found[..., :3] * np.exp(found[..., 3:]), gradients, rtol=1e-5)
    assert np.all(np.isfinite(found))
