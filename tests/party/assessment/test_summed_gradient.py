"""The gradient of a party's own weights, X^T (dL/dz_1): each row's where a step has no more rows than columns, and most over many steps.

Rows are independent of labels here, so that own columns tell nothing: all that is found is in the sums.
"""

import numpy as np
import pytest

from kernel.batch_order import batches
from party.assessment.attack import OWN_COLUMNS
from party.assessment.background import draw_background
from party.assessment.evaluator import evaluate_attacks
from party.assessment.judge import Judge
from party.assessment.label_inference import LabelDirection, LabelNorm, LabelSummed
from party.assessment.summed_gradient import corrected
from party.assessment.view import View

ROWS, COLUMNS, WIDTH = 600, 10, 4


@pytest.fixture(scope="module")
def table():
    generator = np.random.default_rng(11)
    return generator.normal(size=(ROWS, COLUMNS)).astype(np.float32), (generator.random(ROWS) < 0.4).astype(np.int64)


def solved(rows, gradients, batch_rows, seed=0):
    """[epochs, n, width] as a party solves for them, told rows^T G of each step and nothing else."""
    generator = np.random.default_rng(seed)
    known, found = np.zeros(gradients.shape[1:]), []
    for gradient in gradients:
        for batch in batches(generator.permutation(len(rows)), batch_rows):
            summed = rows[batch].T.astype(np.float64) @ gradient[batch]
            known[batch] = corrected(known[batch], rows[batch], summed)
        found.append(known.astype(np.float32).copy())
    return np.stack(found)


def gradients_of(labels, epochs, seed=1):
    """(p - y) w with p alike for all rows, as plain split learning sends it; w turns slowly."""
    generator = np.random.default_rng(seed)
    start, turn = generator.normal(size=(2, WIDTH))
    return np.stack([np.outer(0.4 - labels, start + 0.01 * epoch * turn) for epoch in range(epochs)])


def auc(rows, labels, values, attack=LabelSummed):
    view = View(role="feature-holder", name="party-b", rows=np.arange(len(rows)), solved_gradient=values, own_rows=rows)
    background = draw_background(rows, labels, 0.1, 0)
    judge = Judge(rows, labels, background, at_most=100, seed=0)
    attacker = attack(view, background)
    return attacker.evaluate(judge).scores["auc"], attacker.baseline(judge)["auc"]


def test_no_more_rows_than_columns_give_each_rows_gradient():
    generator = np.random.default_rng(2)
    rows, gradient = generator.normal(size=(8, 10)).astype(np.float32), generator.normal(size=(8, 3))
    summed = rows.T.astype(np.float64) @ gradient
    assert np.abs(corrected(np.zeros((8, 3)), rows, summed) - gradient).max() < 1e-9
    assert np.abs(corrected(generator.normal(size=(8, 3)), rows, summed) - gradient).max() < 1e-9


def test_more_rows_fulfil_the_equations_and_move_least():
    """The move is in the span of the columns, so orthogonal to every other solution's difference from it."""
    generator = np.random.default_rng(3)
    rows, gradient = generator.normal(size=(30, 5)).astype(np.float32), generator.normal(size=(30, 2))
    known = generator.normal(size=(30, 2))
    transposed = rows.T.astype(np.float64)
    found = corrected(known, rows, transposed @ gradient)
    assert np.abs(transposed @ (found - gradient)).max() < 1e-9
    assert np.abs((found - gradient).T @ (found - known)).max() < 1e-9
    assert np.linalg.norm(found - known) < np.linalg.norm(gradient - known)


def test_a_tiny_batch_gives_every_label(table):
    """Positive control, one epoch: 8 rows a step, 10 columns."""
    rows, labels = table
    score, baseline = auc(rows, labels, solved(rows, gradients_of(labels, 1), 8))
    assert score.value == 1.0
    assert baseline.low < 0.5 < baseline.high


def test_steps_that_mix_rows_anew_are_put_together(table):
    """60 rows a step, 10 columns: a step's equations are a sixth of its unknowns; what is left unknown shrinks in every epoch."""
    rows, labels = table
    few, _ = auc(rows, labels, solved(rows, gradients_of(labels, 1), 60))
    many, baseline = auc(rows, labels, solved(rows, gradients_of(labels, 30), 60))
    assert few.value < 0.85
    assert many.value > 0.98
    assert baseline.high < few.low


def test_sums_of_noise_tell_nothing_beyond_own_columns(table):
    rows, labels = table
    noise = np.random.default_rng(4).normal(size=(10, ROWS, WIDTH))
    score, _ = auc(rows, labels, solved(rows, noise, 60))
    assert score.low < 0.5 < score.high


def test_own_columns_are_the_baseline(breast_cancer):
    """Columns that go with the label tell it without any gradient: what a sum adds is counted from there, with its controls."""
    rows, labels = breast_cancer
    own = rows[:, :15]
    view = View(
        role="feature-holder",
        name="party-b",
        rows=np.arange(len(rows)),
        solved_gradient=solved(own, gradients_of(labels, 4), 57),
        own_rows=own,
    )
    results = evaluate_attacks([view], rows, labels, "binary", effort="quick", leaked_fraction=0.1, seed=0)
    (found,) = [one for one in results if one.attack == "label_summed"]
    assert LabelSummed.baseline_kind == OWN_COLUMNS
    assert found.baseline.value > 0.9
    assert found.positive_control.value > 0.99
    assert abs(found.negative_control.value - found.baseline.value) < 0.05
    assert "its own columns and the leaked labels alone" in found.note


def test_a_share_is_read_as_if_it_were_the_gradient_by_every_feature_holder(table):
    """Uniform words decoded: two holders, four readers each; and an open gradient by one of them only, which is everybody's."""
    rows, labels = table
    generator = np.random.default_rng(6)

    def holder(name, **arrays):
        return View(role="feature-holder", name=name, rows=np.arange(ROWS), own_rows=rows[:, :5], **arrays)

    shares = [(generator.integers(-(2**63), 2**63, (3, ROWS, WIDTH)) * 2.0**-27).astype(np.float32) for _ in range(2)]
    views = [holder(f"party-{place}", gradient_share=one) for place, one in enumerate(shares)]
    results = [
        one
        for one in evaluate_attacks(views, rows, labels, "binary", effort="quick", leaked_fraction=0.1, seed=0)
        if one.target == "labels"
    ]
    assert [one.role for one in results] == ["feature-holder party-0"] * 4 + ["feature-holder party-1"] * 4
    for one in results:
        assert one.score.low < 0.5 < one.score.high
        assert one.positive_control.value > 0.9
    bare = [holder(f"party-{place}", cut_gradient=gradients_of(labels, 3).astype(np.float32)) for place in range(2)]
    told = evaluate_attacks(bare, rows, labels, "binary", effort="quick", leaked_fraction=0.1, seed=0)
    assert {one.role for one in told if one.target == "labels"} == {"feature-holder party-0"}


def test_an_open_gradient_is_read_before_a_share():
    gradient = np.ones((1, 4, 2), np.float32)
    view = View(role="feature-holder", name="b", rows=np.arange(4), cut_gradient=gradient, gradient_share=gradient)
    assert LabelNorm.reads(view) == LabelDirection.reads(view) == ("cut_gradient",)
    assert LabelSummed.reads(view) == ()


@pytest.mark.parametrize(("layers", "words"), [(1, "one layer is"), (2, "2 layers are")])
def test_layers_before_the_cut_take_the_gram_equations_away_by_name(table, layers, words):
    rows, labels = table
    generator = np.random.default_rng(7)
    view = View(
        role="neutral-server",
        name="neutral-server",
        rows=np.arange(ROWS),
        z1=np.stack([np.square(rows @ generator.normal(size=(COLUMNS, 6))) for _ in range(2)]).astype(np.float32),
        cut_gradient=generator.normal(size=(2, ROWS, 6)).astype(np.float32),
        layers_before=layers,
    )
    skipped = []
    results = evaluate_attacks(
        [view], rows, labels, "regression", effort="quick", leaked_fraction=0.1, seed=0, skipped=skipped
    )
    assert "gram" not in {one.attack for one in results}
    assert [one.sentence for one in skipped if one.attack == "gram"] == [
        f"its equations are of a first layer that the neutral server sees; here {words} on shares before the cut"
    ]
    linear = next(one for one in results if one.attack == "inverse_ridge")
    assert f"no linear map of the records: {words} on shares before it" in linear.note
