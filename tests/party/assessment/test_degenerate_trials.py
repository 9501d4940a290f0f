"""Tables on which something cannot be measured: it costs its own line, with the reason, and nothing else."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from kernel.errors import BadInputError
from party.assessment import run_attacks, trial
from party.assessment.attack import Skipped
from party.assessment.evaluator import evaluate_attacks
from party.assessment.gram import Gram, Prior
from party.assessment.inverse_models import InverseRidge
from party.assessment.run_views import RecordedViews
from party.assessment.trial import Sizes, Trial, stratified
from party.assessment.view import View


@pytest.fixture(autouse=True)
def small_networks(small_recipe):
    """What a network reaches is not asked here."""


@pytest.fixture
def small_controls(monkeypatch):
    monkeypatch.setitem(trial.SIZES, "quick", Sizes(leaked=5000, judged=2000, control_leaked=20, control_others=120))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def server(targets, **more):
    z1 = np.stack(
        [targets @ normal(targets.shape[1], 3, seed=k) + 0.1 * normal(len(targets), 3, seed=9) for k in (1, 2)]
    )
    head = normal(2, len(targets), 2, seed=3)
    names = {"z1": z1, "head_gradient": head, "cut_gradient": 0.1 * z1} | more
    return View(role="neutral-server", name="s", rows=np.arange(len(targets)), **names)


def holder(targets, own, name="b"):
    gradient = normal(2, len(targets), 3, seed=5)
    return View(role="feature-holder", name=name, rows=np.arange(len(targets)), cut_gradient=gradient, own_rows=own)


def attacked(views, targets, labels, **more):
    skipped: list[Skipped] = []
    options = {"effort": "quick", "leaked_fraction": 0.1, "seed": 0, "skipped": skipped} | more
    return evaluate_attacks(views, targets, labels, "binary", **options), skipped


def positives(n, *rows):
    labels = np.zeros(n, np.int64)
    labels[list(rows)] = 1
    return labels


def test_a_draw_leaves_out_no_class():
    # Of 100 rows 97 and 3: of 20 the shares are 19 (19.4) and 0 (0.6), and the rare class has all its three.
    classes = positives(100, 7, 50, 99)
    drawn = stratified(np.arange(100), classes, 20, np.random.default_rng(0))
    assert (len(drawn), len(set(drawn.tolist())), int(classes[drawn].sum())) == (22, 22, 3)
    assert {7, 50, 99} <= set(drawn.tolist())
    # 60 and 40 of 200 rows in a row list of their own: ten of a class at least, its share where that is more.
    rows = np.arange(100, 300)
    classes = np.concatenate([np.full(100, 7), np.zeros(188, np.int64), np.ones(12, np.int64)])
    drawn = stratified(rows, classes, 50, np.random.default_rng(0))
    assert np.array_equal(np.unique(classes[drawn], return_counts=True), [[0, 1], [47, 10]])
    # Thirty classes of four rows: two of each are 60.
    classes = np.arange(120) % 30
    drawn = stratified(np.arange(120), classes, 60, np.random.default_rng(0))
    assert np.unique(classes[drawn], return_counts=True)[1].tolist() == [2] * 30


def test_few_rows_are_all_drawn():
    rows = np.array([3, 5, 9])
    np.testing.assert_array_equal(stratified(rows, np.zeros(10, np.int64), 3, np.random.default_rng(0)), rows)


def test_a_rare_class_is_in_the_controls(small_controls):
    targets = normal(2000, 3)
    labels = positives(2000, *range(0, 2000, 200))  # ten of 2,000
    results, skipped = attacked([server(targets)], targets, labels, seed=4)
    aucs = [one for one in results if one.measure == "auc"]
    assert {one.attack for one in aucs} == {"label_norm", "label_direction", "label_ridge", "label_line"}
    assert skipped == []


def test_no_label_is_told_where_one_class_is_left_and_rows_are_attacked_all_the_same():
    targets = normal(300, 4)
    for labels, words in (
        (positives(300, 5), "all rows that did not leak are of one class"),
        (positives(300), "one class"),
    ):
        leaked = Trial.draw(server(targets), targets, labels, 0.1, "quick", 0, None).background.rows
        labels = labels if not labels.any() else positives(300, int(leaked[0]))
        results, skipped = attacked([server(targets), holder(targets, targets[:, :2])], targets, labels)
        assert [(one.role, one.attack, words in one.sentence) for one in skipped] == [
            ("neutral-server", "", True),
            ("feature-holder", "", True),
        ]
        assert {one.target for one in results} == {"rows", "peer block"}


def test_a_label_of_which_one_class_leaked_is_attacked_and_the_note_says_so():
    targets = normal(300, 4)
    leaked = Trial.draw(server(targets), targets, positives(300), 0.1, "quick", 0, None).background.rows
    labels = positives(300, *np.setdiff1d(np.arange(300), leaked)[:40])
    error = 0.1 - labels[:, None]
    view = server(targets, head_gradient=np.stack([error * [1.0, 2.0]] * 2).astype(np.float32))
    results, skipped = attacked([view], targets, labels)
    norm = next(one for one in results if one.attack == "label_norm")
    assert norm.score.value == 1  # 0.9 against 0.1: the rare class is where lengths are rare
    assert "rows of 1 of 2 classes leaked" in norm.note
    assert skipped == []


def test_rows_that_are_all_alike_cost_the_measures_of_their_differences():
    targets = np.ones((300, 4), np.float32)
    results, skipped = attacked([server(targets)], targets, positives(300, *range(150)))
    assert [one.sentence for one in skipped] == [
        "R² was not measured: the rows to be judged are all alike in these columns, so there is nothing to explain"
    ]
    found = {one.measure: one.score.value for one in results if one.attack == "gram"}
    assert found == {"re_identification": pytest.approx(0.01), "mse": pytest.approx(0, abs=1e-12)}


def test_a_measure_that_the_controls_lack_is_named(small_controls):
    targets, labels = normal(600, 3), positives(600, *range(300))
    drawn = Trial.draw(server(targets), targets, labels, 0.1, "quick", 0, None)
    apart = np.setdiff1d(drawn.judge.rows, drawn.control("quick", 0, None).view.rows)[:6]
    targets[:, 2] = 0
    targets[apart, 2] = 1  # the only column of the others: six ones, none of them in the control
    results, skipped = attacked([holder(targets, targets[:, :2])], targets, labels)
    ridge = [one.measure for one in results if one.attack == "inverse_ridge"]
    assert ridge == ["mse", "re_identification"]
    assert ("feature-holder", "inverse_ridge") in {(one.role, one.attack) for one in skipped}
    assert all(one.sentence.startswith("R² is not told, for its controls lack it") for one in skipped)


def test_an_attack_that_fails_costs_one_line_and_no_value_is_told(monkeypatch):
    def fails(self, rows):
        raise KeyError("4711")

    targets, labels = normal(300, 4), positives(300, *range(150))
    whole, none = attacked([server(targets)], targets, labels)
    assert none == []
    monkeypatch.setattr(Gram, "recover", fails)
    results, skipped = attacked([server(targets)], targets, labels)
    assert [(one.attack, one.measure, one.score) for one in results] == [
        (one.attack, one.measure, one.score) for one in whole if one.attack != "gram"
    ]
    ((role, attack, sentence),) = [(one.role, one.attack, one.sentence) for one in skipped]
    assert (role, attack) == ("neutral-server", "gram")
    assert "KeyError" in sentence
    assert "4711" not in sentence
    with pytest.raises(KeyError):
        attacked([server(targets)], targets, labels, skipped=None)


def test_a_view_that_diverged_costs_the_attacks_that_read_it():
    targets, labels = normal(300, 4), positives(300, *range(150))
    gradients = normal(2, 300, 2)
    gradients[1] = np.nan
    results, skipped = attacked([server(targets, head_gradient=gradients)], targets, labels)
    assert {one.target for one in results} == {"rows"}
    assert {one.attack for one in skipped} == {"label_norm", "label_direction", "label_ridge", "label_line"}
    assert all("not finite" in one.sentence for one in skipped)


def test_a_party_that_has_every_column_is_still_after_the_label():
    targets, labels = normal(300, 4), positives(300, *range(150))
    results, skipped = attacked([holder(targets, targets)], targets, labels)
    assert {one.target for one in results} == {"labels"}
    assert ["none of others to recover" in one.sentence for one in skipped] == [True]


def test_an_equation_that_never_moves_tells_nothing():
    """Row ~ N(0, 1), one equation 2 = row + N(0, 1): mean 1, variance 1/2; the second equation is taken out."""
    prior = Prior(np.zeros(1), np.eye(1))
    found = prior.given(np.ones((1, 2)), np.array([[2.0, 100.0]]), np.array([1.0, np.inf]))
    assert found.rows[0, 0] == pytest.approx(1)
    assert found.expected_error == pytest.approx(0.5)


def recorded(targets, trained, predictions=None):
    weights = normal(2, 3)
    party = replace(holder(targets, targets[:, :2]), h1=normal(2, len(targets), 3), own_weights=weights)
    views = (server(targets), party)
    return RecordedViews(views, predictions, np.arange(len(targets)), (1, 2), 2, {}, trained)


def test_weights_of_another_epoch_are_not_used():
    targets = normal(40, 4)
    skipped: list[Skipped] = []
    assert run_attacks.views_of_one_time(recorded(targets, 2), skipped)[1].own_weights is not None
    assert skipped == []
    party = run_attacks.views_of_one_time(recorded(targets, 5), skipped)[1]
    assert (party.own_weights, party.own_part) == (None, None)
    assert InverseRidge.reads(party) == ("cut_gradient",)
    ((role, attack, sentence),) = [(one.role, one.attack, one.sentence) for one in skipped]
    assert (role, attack) == ("feature-holder b", "peer_block")
    assert "ends with epoch 2, and the party's weights are of epoch 5" in sentence


def test_predictions_that_cannot_be_attacked_cost_no_other_line():
    targets = normal(3, 4)
    files = SimpleNamespace(
        targets=lambda rows: targets[rows],
        labels=positives(3, 1),
        spec=SimpleNamespace(loss="binary"),
        plan=SimpleNamespace(network=SimpleNamespace(seed=0)),
    )
    view = View(role="predictions", name="p", rows=np.arange(3), outputs=normal(3, 1))
    for predictions, words in ((None, "no evaluation"), (view, "an attack needs four rows")):
        skipped: list[Skipped] = []
        results = run_attacks._on_predictions(files, recorded(targets, 2, predictions), "quick", 0.5, None, skipped)
        assert results == []
        assert [(one.role, words in one.sentence) for one in skipped] == [("predictions", True)]


def test_where_nothing_could_be_attacked_the_reason_is_an_error(monkeypatch, tmp_path):
    targets = normal(40, 4)
    files = SimpleNamespace(
        targets=lambda rows: targets[rows],
        labels=positives(40, 1),
        spec=SimpleNamespace(loss="binary"),
        plan=SimpleNamespace(network=SimpleNamespace(seed=0)),
        parties=(),
    )
    empty = View(role="neutral-server", name="s", rows=np.arange(40))
    found = RecordedViews((empty,), None, np.arange(40), (1, 2), 2, {}, 2)
    monkeypatch.setattr(run_attacks, "read_views", lambda *_, **__: found)
    monkeypatch.setattr(run_attacks, "image_shape", lambda _: None)
    with pytest.raises(BadInputError, match="no attack could be run: predictions were not attacked"):
        run_attacks.attack_run(files, tmp_path, tmp_path / "out", effort="quick", leaked_fraction=0.1)
