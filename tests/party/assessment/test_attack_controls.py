"""Every attack's positive control succeeds and its negative one is at chance, on tables that scikit-learn ships.

Positive controls are free of noise: their thresholds are far from what was measured (R2 1.00, AUC 1.00; the paper's
attacker 0.85, because it stops after a fixed number of steps). Negative controls of rows: re-identification of m judged
rows is binomial(m, 0.01), bounded at four deviations above (failure probability below 1e-4 each). Negative controls
of labels: the AUC of scores that are independent of labels has variance (m + n + 1) / (12 m n); four deviations, 1e-4.
For a party the chance is what the same attacker makes of its own columns, and noise may add nothing to it.
"""

from dataclasses import replace

import numpy as np
import pytest

from party.assessment.background import draw_background
from party.assessment.controls import positive_view
from party.assessment.evaluator import ATTACKS, evaluate_attacks
from party.assessment.inverse_models import InverseRidge, StackedMlp
from party.assessment.judge import Judge
from party.assessment.view import View

PAPER_R2 = 0.7
OTHER_R2 = 0.95
DIRECTIONS_R2 = 0.8  # a gradient's direction is no linear function of it


@pytest.fixture(autouse=True)
def small_networks(small_recipe):
    """A network starts at its ridge, so its controls hold whatever its size."""


def noise_views(rows, labels, width, split):
    """Views with every array there is; what is in them does not matter to the controls."""
    generator = np.random.default_rng(9)
    n, epochs = len(rows), 4
    numbers = np.arange(n)

    def seen(size):
        return generator.normal(size=(epochs, n, size)).astype(np.float32)

    def own(block):
        weights = generator.normal(size=(block.shape[1], width)).astype(np.float32)
        return {"own_rows": block, "own_weights": weights, "h1": seen(width), "cut_gradient": seen(width)}

    names = ("z1", "h1", "h_last", "head_gradient", "cut_gradient")
    return [
        View(role="neutral-server", name="s", rows=numbers, **{name: seen(width) for name in names}),
        View(role="label-holder", name="a", rows=numbers, h_last=seen(width), **own(rows[:, :split])),
        View(role="feature-holder", name="b", rows=numbers, **own(rows[:, split:])),
        View(role="predictions", name="p", rows=numbers, outputs=seen(2)[0]),
    ]


def check(results, labels):
    assert {result.attack for result in results} <= {attack.name for attack in ATTACKS}
    for result in results:
        name, positive, negative = result.key, result.positive_control.value, result.negative_control
        if result.target == "labels":
            ones = max(int(np.sum(labels == 1)) - result.leaked_rows, 20)  # the rarest class among rows not leaked
            rest = negative.n - ones
            assert positive > 0.99, name
            assert abs(negative.value - 0.5) < 4 * np.sqrt((ones + rest + 1) / (12 * ones * rest)), name
        elif result.target == "peer block":
            if result.measure == "r2":
                assert positive > (DIRECTIONS_R2 if result.role == "feature-holder" else OTHER_R2), name
                assert negative.value < result.baseline.value + 0.05, name
        elif result.measure == "r2":
            assert positive > (PAPER_R2 if result.attack == "paper_attacker" else OTHER_R2), name
            assert negative.value < 0.02, name
        elif result.measure == "re_identification":
            assert positive > 0.95, name
            assert negative.value < 0.01 + 4 * np.sqrt(0.01 * 0.99 / negative.n), name


def test_two_classes_and_columns_of_a_table(breast_cancer):
    rows, labels = breast_cancer
    views = noise_views(rows, labels, 6, 15)
    results = evaluate_attacks(views, rows, labels, "binary", effort="quick", leaked_fraction=0.4, seed=0)
    check(results, labels)
    in_every_view = {attack.name for attack in ATTACKS} - {"label_summed"}  # these views hold no sum over rows
    assert {result.attack for result in results} == in_every_view
    for result in results:  # what was attacked is noise as well
        if result.target == "rows" and result.measure == "r2":
            assert result.score.value < 0.02


def test_ten_classes_and_pixels(digits):
    rows, labels = digits
    views = [view for view in noise_views(rows, labels, 10, 32) if view.role in ("neutral-server", "predictions")]
    results = evaluate_attacks(
        views, rows, labels, "multiclass", effort="quick", leaked_fraction=0.3, seed=0, image_shape=(8, 8)
    )
    check(results, labels)
    similar = [result for result in results if result.measure == "ssim"]
    assert len(similar) == 7
    for result in similar:
        assert result.positive_control.value > 0.9
        assert result.negative_control.value < result.baseline.value


def test_with_a_defender_controls_are_of_both_arrays(breast_cancer):
    """Each array of the positive control tells half the columns: R2 above 0.95 needs both."""
    rows, labels = breast_cancer
    view = noise_views(rows, labels, 6, 15)[0]
    gradient = np.random.default_rng(2).normal(size=view.z1.shape).astype(np.float32)
    results = evaluate_attacks(
        [replace(view, defender_gradient=gradient)],
        rows,
        labels,
        "binary",
        effort="quick",
        leaked_fraction=0.4,
        seed=0,
    )
    check(results, labels)
    assert {one.attack for one in results if one.role == "neutral-server" and one.target == "rows"} == {
        "inverse_ridge",
        "inverse_mlp",
        "stacked_ridge",
        "stacked_mlp",
        "paper_attacker",
        "gram",
    }
    for attack in (InverseRidge, StackedMlp):
        assert attack.reads(replace(view, defender_gradient=gradient)) == ("z1", "defender_gradient")


@pytest.mark.parametrize("missing", ["z1", "defender_gradient"])
def test_a_reader_of_one_array_fails_the_positive_control_of_two(breast_cancer, missing):
    rows, labels = breast_cancer
    view = noise_views(rows, labels, 6, 15)[0]
    view = replace(view, defender_gradient=view.z1)
    made = positive_view(view, ("z1", "defender_gradient"), "rows", rows, labels, 0)
    noise = np.random.default_rng(2).normal(size=made.z1.shape).astype(np.float32)
    background = draw_background(rows, labels, 0.4, 0)
    judge = Judge(rows, labels, background, at_most=1000, seed=0)
    whole, half = (InverseRidge(one, background) for one in (made, replace(made, **{missing: noise})))
    assert whole.evaluate(judge).scores["r2"].value > OTHER_R2
    assert half.evaluate(judge).scores["r2"].value < 0.9


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_refuses_a_view_that_lacks_what_it_reads(attack):
    from kernel.errors import TertiumError

    empty = View(role="neutral-server", name="s", rows=np.arange(8))
    background = draw_background(np.zeros((8, 2), np.float32), np.zeros(8), 0.5, 0)
    assert attack.reads(empty) == ()
    with pytest.raises(TertiumError, match=attack.name):
        attack(empty, background)
