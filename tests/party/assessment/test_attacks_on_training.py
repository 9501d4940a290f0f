"""The attacks on an unprotected split training in memory: what is known to leak is found."""

import json

import numpy as np
import pytest
from split_network import train_views

from kernel.errors import BadInputError
from party.assessment.background import draw_background
from party.assessment.equality_solving import EqualitySolving, logits
from party.assessment.evaluator import evaluate_attacks
from party.assessment.gram import Gram
from party.assessment.inverse_models import InverseRidge, StackedRidge
from party.assessment.judge import Judge
from party.assessment.label_inference import LabelDirection, LabelNorm, LabelRidge, orientation
from party.assessment.peer_block import PeerBlock, others_part
from party.assessment.view import View


@pytest.fixture(autouse=True)
def small_networks(small_recipe):
    """These tests are not about how well a network is fitted."""


def r2(attack, judge):
    return attack.evaluate(judge).scores["r2"].value


@pytest.fixture(scope="module")
def full_batch(breast_cancer):
    rows, labels = breast_cancer
    return train_views([rows[:, :15], rows[:, 15:]], labels, epochs=40, reveal_h1=True)


@pytest.fixture(scope="module")
def mini_batch(breast_cancer):
    rows, labels = breast_cancer
    return train_views([rows[:, :15], rows[:, 15:]], labels, epochs=10, batch_rows=64)


def trial(rows, labels, leaked):
    background = draw_background(rows, labels, leaked / len(rows), 0)
    return background, Judge(rows, labels, background, at_most=1000, seed=0)


def test_the_stack_of_epochs_tells_more_than_the_last_one_and_the_gram_equations_more_still(breast_cancer, full_batch):
    """The project's own first measurement: width 8, 60 known rows, 40 epochs."""
    background, judge = trial(*breast_cancer, 60)
    single, stack, gram = (
        r2(attack(full_batch[0], background), judge) for attack in (InverseRidge, StackedRidge, Gram)
    )
    assert single < 0.8
    assert stack > 0.9
    assert gram > 0.99


def test_gram_equations_solve_rows_from_fewer_known_rows_than_columns(breast_cancer, full_batch):
    background, judge = trial(*breast_cancer, 20)
    assert r2(Gram(full_batch[0], background), judge) > r2(StackedRidge(full_batch[0], background), judge) + 0.05


def test_gram_with_gradients_of_another_run_falls_back_on_what_known_rows_tell(breast_cancer, full_batch):
    from dataclasses import replace

    background, judge = trial(*breast_cancer, 60)
    noise = np.random.default_rng(0).normal(size=full_batch[0].cut_gradient.shape).astype(np.float32)
    assert r2(Gram(replace(full_batch[0], cut_gradient=noise), background), judge) > 0.9


@pytest.mark.parametrize("attack", [LabelDirection, LabelRidge])
@pytest.mark.parametrize("role", [0, 2])
def test_raw_gradients_give_the_labels_to_server_and_feature_holder(breast_cancer, mini_batch, attack, role):
    background, judge = trial(*breast_cancer, 30)
    assert attack(mini_batch[role], background).evaluate(judge).scores["auc"].value > 0.99


def test_the_norm_gives_the_rare_label(breast_cancer):
    rows, labels = breast_cancer
    rare = np.concatenate([np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)[:30]])
    rows, labels = rows[rare], 1 - labels[rare]
    server = train_views([rows], labels, epochs=3, batch_rows=64)[0]
    background, judge = trial(rows, labels, 60)
    assert LabelNorm(server, background).evaluate(judge).scores["auc"].value > 0.95


def test_where_one_class_leaked_the_other_is_sought_where_scores_are_rare():
    scores = np.concatenate([np.zeros(90), np.full(10, 5.0)])
    leaked = np.array([0.0, 0.1, -0.1])
    assert orientation(leaked, np.zeros(3, np.int64), scores) > 0
    assert orientation(leaked, np.ones(3, np.int64), scores) < 0
    assert orientation(leaked, np.array([0, 1, 0]), scores) > 0
    assert orientation(leaked, np.array([0, 0, 1]), scores) < 0


def test_a_party_that_gets_h1_learns_the_others_columns_and_own_columns_are_not_called_a_leak(
    breast_cancer, full_batch
):
    rows, labels = breast_cancer
    background, judge = trial(rows[:, :15], labels, 200)
    attack = PeerBlock(full_batch[2], background)
    alone = attack.baseline(judge)["r2"].value
    assert 0.5 < alone < 0.85  # columns of this table are correlated
    assert r2(attack, judge) > alone + 0.1


@pytest.mark.parametrize(
    "act",
    [lambda z: z, np.tanh, lambda z: 1 / (1 + np.exp(-z)), lambda z: np.maximum(z, 0)],
    ids=["identity", "tanh", "sigmoid", "relu"],
)
def test_the_others_part_of_z1_is_what_is_left_of_h1(act):
    generator = np.random.default_rng(1)
    own, others = generator.normal(size=(2, 50, 3))
    found = others_part(act(own + others).astype(np.float32), own.astype(np.float32))
    if found.shape[1] == 6:  # ReLU
        on = own + others > 0
        np.testing.assert_array_equal(found[:, 3:], on)
        others, found = np.where(on, others, 0), found[:, :3]
    np.testing.assert_allclose(found, others, atol=2e-3)


@pytest.mark.parametrize("link", ["logits", "softmax"])
def test_equality_solving_is_exact_for_a_linear_model_with_an_output_more_than_columns(link):
    generator = np.random.default_rng(2)
    rows = generator.normal(size=(300, 6)).astype(np.float32)
    outputs = 0.5 * rows @ generator.normal(size=(6, 7)) + 1
    if link == "softmax":
        outputs = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    view = View(role="predictions", name="p", rows=np.arange(300), outputs=outputs.astype(np.float32))
    background, judge = trial(rows, np.zeros(300, np.int64), 100)
    assert r2(EqualitySolving(view, background), judge) > 0.999


def test_logits_of_probabilities_are_undone_and_logits_are_left_alone():
    values = np.array([[-2.0], [0.5], [3.0]], np.float32)
    np.testing.assert_array_equal(logits(values), values)
    np.testing.assert_allclose(logits((1 / (1 + np.exp(-values))).astype(np.float32)), values, rtol=1e-5)


def test_results_of_a_whole_training_are_complete_and_print_as_json(breast_cancer, mini_batch):
    rows, labels = breast_cancer
    results = evaluate_attacks(mini_batch, rows, labels, "binary", effort="quick", leaked_fraction=0.3, seed=0)
    documents = {}
    for result in results:
        documents |= result.document()
        assert result.score.low <= result.score.value <= result.score.high
        assert result.leaked_rows == 171
        assert result.note
    assert len(documents) == len(results)
    entry = json.loads(json.dumps(documents))["neutral-server.stacked_ridge.r2"]
    assert set(entry) >= {"value", "low", "high", "n", "baseline", "positive_control", "negative_control", "note"}
    assert entry["epochs_seen"] == 10
    again = evaluate_attacks(mini_batch, rows, labels, "binary", effort="quick", leaked_fraction=0.3, seed=0)
    assert [result.score for result in again] == [result.score for result in results]


def test_several_feature_holders_have_names_and_labels_are_attacked_once(breast_cancer):
    rows, labels = breast_cancer
    views = train_views([rows[:, :10], rows[:, 10:20], rows[:, 20:]], labels, epochs=2, batch_rows=200)
    results = evaluate_attacks(views[2:], rows, labels, "binary", effort="quick", leaked_fraction=0.3, seed=0)
    assert {result.role for result in results} == {"feature-holder party-b", "feature-holder party-c"}
    assert len([result for result in results if result.attack == "label_direction"]) == 1
    assert all(result.target == "peer block" for result in results if result.role.endswith("party-c"))


def test_labels_of_a_regression_are_not_attacked(breast_cancer, mini_batch):
    rows, _ = breast_cancer
    results = evaluate_attacks(
        mini_batch[:1], rows, np.linspace(-1, 1, len(rows)), "regression", effort="quick", leaked_fraction=0.3, seed=0
    )
    assert {result.target for result in results} == {"rows"}


def test_bad_input_is_told_in_a_sentence(breast_cancer, mini_batch):
    rows, labels = breast_cancer

    def run(views=mini_batch, targets=rows, fraction=0.3):
        return evaluate_attacks(views, targets, labels, "binary", effort="quick", leaked_fraction=fraction, seed=0)

    with pytest.raises(BadInputError, match="no transcript"):
        run(views=[])
    with pytest.raises(BadInputError, match="leaked_fraction is 0"):
        run(fraction=0)
    with pytest.raises(BadInputError, match="500 rows of truth"):
        run(targets=rows[:500])
    with pytest.raises(BadInputError, match="same rows"):
        run(views=[mini_batch[0], mini_batch[1].restricted(np.arange(100))])
