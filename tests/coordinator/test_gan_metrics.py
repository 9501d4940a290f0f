"""coordinator.gan_metrics: scores, attacks and nets of a GAN run, worked out by hand from its events."""

import pytest
from gan_runs import gan_plan_toml

from coordinator.gan_metrics import gan_attacks, gan_network, gan_scores
from coordinator.job_plan import parse_job_plan


def classifier(source, party, value, n):
    return {
        "event": "classifier",
        "source": source,
        "party": party,
        "accuracy": {"value": value, "low": 0.0, "high": 1.0, "n": n},
    }


def membership(party, accuracy):
    return {"event": "membership", "party": party, "by": "own", "classes": {"0": {"accuracy": accuracy}}}


def test_accuracies_are_means_over_held_out_rows_with_the_interval_of_one_partys():
    """90 of 100 and 20 of 50 are 110 of 150; Wilson of 100 rows by hand: (0.7333 + 0.0192 ± 0.0875) of 1 + 1.96²/100."""
    found = gan_scores([classifier("all", "a", 0.9, 100), classifier("all", "b", 0.4, 50)])
    assert found.keys() == {"accuracy.all"}
    assert (found["accuracy.all"]["value"], found["accuracy.all"]["n"]) == (pytest.approx(110 / 150), 100)
    assert found["accuracy.all"]["low"] == pytest.approx(0.6391, abs=5e-4)
    assert found["accuracy.all"]["high"] == pytest.approx(0.8106, abs=5e-4)


def test_two_parties_that_hold_out_the_same_rows_know_no_more_than_one():
    alone = gan_scores([classifier("all", "a", 0.9, 1000)])["accuracy.all"]
    both = gan_scores([classifier("all", "a", 0.9, 1000), classifier("all", "b", 0.9, 1000)])["accuracy.all"]
    assert both == alone


def test_a_classifier_tried_again_counts_once_as_it_was_last():
    found = gan_scores([classifier("a", "a", 0.1, 10), classifier("a", "a", 0.9, 10)])
    assert (found["accuracy.a"]["value"], found["accuracy.a"]["n"]) == (0.9, 10)


def test_without_evaluation_there_are_no_scores_and_no_attacks():
    assert (gan_scores([]), gan_attacks([])) == ({}, {})


def test_a_local_runs_attacks_stand_beside_each_partys_own():
    local = {
        "event": "gan_attacks",
        "attacks": {"membership": {"max": {"a": {}}}, "membership_controls": {"noise": {}}},
    }
    found = gan_attacks([membership("a", 0.2), membership("a", 0.3), membership("b", 0.4), local])
    own = {"a": {"0": {"accuracy": 0.3}}, "b": {"0": {"accuracy": 0.4}}}
    assert found == {"membership": {"own": own, "max": {"a": {}}}, "membership_controls": {"noise": {}}}
    assert local["attacks"].keys() == {"membership", "membership_controls"}


def test_nets_and_schedule():
    plan = parse_job_plan(gan_plan_toml("p", mode="updates", steps_per_round=2))
    groups = [{"classes": [0], "steps": {"a": 4, "b": 4}}]
    found = gan_network(plan, [{"event": "schedule", "policy": "equal_steps", "groups": groups}])
    assert (found["latent"], found["generator"], found["steps"], found["groups"]) == (8, [16], "equal_steps", groups)
    assert (found["shared"]["mode"], found["shared"]["steps_per_round"]) == ("updates", 2)
    assert found["shared"]["discriminator"] == [16, 8]  # the parties' own, without a word
    assert "shared" not in gan_network(parse_job_plan(gan_plan_toml("p", job="gan")), [])
