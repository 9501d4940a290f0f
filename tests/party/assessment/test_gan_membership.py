"""The membership attack: tables worked by hand, an overfitted discriminator that must be caught, noise that must not."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import BadInputError, RowsError
from kernel.metrics.scores import proportion
from party.assessment.decoder import DecoderRecipe, fit_decoder
from party.assessment.gan_membership import (
    Membership,
    combine,
    draw_members,
    membership,
    pooled,
    score_histogram,
    shared_scores,
)


@pytest.mark.parametrize(
    ("members", "others", "accuracy", "area"),
    [
        ([0.9, 0.8], [0.1, 0.2, 0.3], 1.0, 1.0),
        ([0.1, 0.2], [0.9, 0.8, 0.7], 0.0, 0.0),
        # called: 0.9 and 0.8; one of the two is a member; pairs won: 0.9 beats 3, 0.2 beats 1
        ([0.9, 0.2], [0.8, 0.5, 0.1], 0.5, 4 / 6),
        # called: 0.9 and one of three that tie at 0.5, one of which is a member
        ([0.9, 0.5], [0.5, 0.5, 0.1], (1 + 1 / 3) / 2, (3 + 2) / 6),
        # all alike: two places among five rows, two of them members
        ([0.5, 0.5], [0.5, 0.5, 0.5], 2 / 5, 0.5),
        # as many places as the tie has rows: no place is shared
        ([0.5, 0.5], [0.5, 0.1], (2 / 3 * 2) / 2, 0.75),
    ],
)
def test_by_hand(members, others, accuracy, area):
    found = membership(members, others)
    assert found.accuracy == pytest.approx(accuracy)
    assert found.auc == pytest.approx(area)
    assert found.chance == len(members) / (len(members) + len(others))
    assert (found.members, found.non_members) == (len(members), len(others))
    assert found.low <= found.accuracy <= found.high


def test_the_interval_is_wilsons_over_members():
    found = membership([0.9, 0.2], [0.8, 0.5, 0.1])
    wanted = proportion(1, 2)
    assert (found.low, found.high) == (wanted.low, wanted.high)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=3), st.lists(st.integers(0, 4), min_size=1, max_size=3))
def test_ties_share_places_as_blind_breaking_does_on_average(members, others):
    """The mean over every order of the rows, of which the first |members| by descending score are called."""
    rows = [(score, 1) for score in members] + [(score, 0) for score in others]
    shares = [
        sum(member for _, member in sorted(order, key=lambda row: -row[0])[: len(members)]) / len(members)
        for order in itertools.permutations(rows)
    ]
    assert membership(members, others).accuracy == pytest.approx(np.mean(shares))


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=20))
def test_only_the_order_counts(scores):
    half = len(scores) // 2
    values = np.array(scores, np.float64)
    moved = np.tanh(values / 20)
    assert membership(values[:half], values[half:]) == membership(moved[:half], moved[half:])


def test_what_it_refuses():
    with pytest.raises(RowsError, match="scores of members are empty"):
        membership([], [0.5])
    with pytest.raises(RowsError, match="scores of others are empty"):
        membership([0.5], [])
    with pytest.raises(BadInputError, match="1 of 2 scores of members are NaN"):
        membership([0.5, np.nan], [0.5])
    with pytest.raises(BadInputError, match="no class was attacked"):
        pooled([])
    with pytest.raises(BadInputError, match=r"\[2, 3\] rows"):
        combine([np.zeros(2, "f4"), np.zeros(3, "f4")], "max")
    with pytest.raises(BadInputError, match=r"\[\] rows"):
        combine([], "mean")


def test_pooled_by_hand():
    one, two = membership([0.9, 0.2], [0.8, 0.1]), membership([0.9] * 6, [0.1] * 2)
    wanted = proportion(7, 8)
    area = (one.auc * 2 + 1.0 * 6) / 8
    assert pooled([one, two]) == Membership(
        7 / 8, wanted.low, wanted.high, (0.5 * 2 + 0.75 * 6) / 8, pytest.approx(area), 8, 4
    )


def test_combining_by_hand():
    scores = [np.array([0.1, 0.6]), np.array([0.3, 0.2])]
    assert np.allclose(combine(scores, "max"), [0.3, 0.6])
    assert np.allclose(combine(scores, "mean"), [0.2, 0.4])
    found = shared_scores(np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]]), own=1)
    assert np.allclose(found["shared_max"], [0.7, 0.6])
    assert np.allclose(found["shared_own"], [0.2, 0.3])


def test_members_are_drawn_by_class_and_seed():
    drawn = draw_members(1000, 200, seed=3, label=4)
    assert len(np.unique(drawn)) == 200
    assert drawn.min() >= 0
    assert drawn.max() < 1000
    assert np.array_equal(drawn, np.sort(drawn))
    assert np.array_equal(drawn, draw_members(1000, 200, seed=3, label=4))
    assert not np.array_equal(drawn, draw_members(1000, 200, seed=3, label=5))
    assert not np.array_equal(drawn, draw_members(1000, 200, seed=4, label=4))
    assert np.array_equal(draw_members(5, 200, seed=0, label=0), np.arange(5))


def test_histogram_by_hand():
    counts = score_histogram([0.0, 0.019, 0.02, 0.5, 1.0])
    assert len(counts) == 50
    assert {place: count for place, count in enumerate(counts) if count} == {0: 2, 1: 1, 25: 1, 49: 1}


def test_a_discriminator_that_memorised_is_caught():
    """Positive control: members were learned as real against other rows of the same distribution as fakes, to the bone."""
    rows = np.random.default_rng(5).normal(size=(400, 100)).astype(np.float32)
    members, fakes, others = rows[:50], rows[50:200], rows[200:]
    targets = np.repeat([[1.0], [0.0]], [50, 150], axis=0).astype(np.float32)
    recipe = DecoderRecipe(widths=(128,), epochs=60, held_out=0)
    net = fit_decoder(np.concatenate([members, fakes]), targets, recipe, seed=0)
    found = membership(net(members)[:, 0], net(others)[:, 0])
    assert found.chance == 0.2
    assert found.low > 0.45
    assert found.auc > 0.85


def test_noise_is_not_taken_for_knowledge():
    """Negative control. 400 attacks with random scores on 50 of 250 rows: the interval misses chance in at most 5 % of them
    (the claim is that it is conservative); more than 20 + 5 standard deviations of 4.4 = 42 misses would be by accident with
    probability below 1e-6. The mean of 400 accuracies, each with standard deviation sqrt(0.2 * 0.8 * 0.8 / 50) = 0.0506, lies
    within 0.0127 of chance but with probability 6e-7."""
    generator = np.random.default_rng(6)
    found = [membership(generator.random(50), generator.random(200)) for _ in range(400)]
    assert sum(not one.low <= one.chance <= one.high for one in found) <= 42
    assert np.mean([one.accuracy for one in found]) == pytest.approx(0.2, abs=0.0127)


def test_the_interval_covers_where_there_is_something_to_find():
    """600 attacks on 100 members with scores of N(1, 1) among 400 of N(0, 1): what they reach on average is inside the interval
    in 95 % or more; fewer than 543 (570 less 5 standard deviations of 5.3) would be by accident with probability below 1e-6."""
    generator = np.random.default_rng(7)
    found = [membership(generator.normal(1, 1, 100), generator.normal(0, 1, 400)) for _ in range(600)]
    centre = np.mean([one.accuracy for one in found])
    assert centre > 0.4
    assert sum(one.low <= centre <= one.high for one in found) >= 543
