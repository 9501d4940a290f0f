"""kernel.gan.schedule: step tables worked by hand, rounds by their properties, draws by χ².

A χ² test of truly uniform draws falls below ``FAILURE`` with that probability; seeds are fixed, so that it passes for good.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest
from uniformity import FAILURE

from kernel.errors import BadInputError
from kernel.gan.schedule import (
    Group,
    Round,
    drawn_rows,
    epoch_steps,
    latent_noise,
    plan_groups,
    rounds,
    rows_per_class,
    sample_noise,
    wrong_origins,
)
from kernel.gan.spec import AdamSpec, EvaluationSpec, GanSpec, NetSpec

NET = NetSpec("dense", (4,))
SPEC = GanSpec(
    generator=NET,
    discriminator=NET,
    latent=3,
    adam=AdamSpec(2e-4, 0.5),
    real_label=0.95,
    batch_rows=10,
    steps="equal_steps",
    steps_per_epoch=0,
    classes_at_once=1,
    classes=(),
    seed=1,
    shared=None,
    evaluation=EvaluationSpec(10, 1, 5),
    preview_every_epochs=0,
)
PARTIES = ("ann", "bob", "eve")
ROWS = {"ann": {0: 95, 1: 40, 2: 7}, "bob": {0: 20, 1: 39, 2: 0}, "eve": {0: 5, 2: 13}}


@pytest.mark.parametrize(
    ("policy", "table"),
    [
        ({"steps": "equal_steps"}, {0: (10, 10, 10), 1: (4, 4, 0), 2: (2, 0, 2)}),
        ({"steps": "equal_steps", "steps_per_epoch": 3}, {0: (3, 3, 3), 1: (3, 3, 0), 2: (3, 0, 3)}),
        ({"steps": "proportional"}, {0: (10, 2, 1), 1: (4, 4, 0), 2: (1, 0, 2)}),
        ({"steps": "paper"}, {0: (4, 4, 4), 1: (3, 3, 0), 2: (1, 0, 1)}),  # 120/3, 79/2 and 20/2 rows in batches of 10
    ],
)
def test_steps_by_each_policy(policy, table):
    groups = plan_groups(replace(SPEC, **policy), PARTIES, ROWS)
    assert {group.classes: group.steps for group in groups} == {(label,): steps for label, steps in table.items()}
    assert epoch_steps(groups) == sum(max(steps) for steps in table.values())


def test_the_papers_policy_names_who_has_the_fewest_rows_instead_of_training_nothing():
    rows = {"ann": {7: 12}, "bob": {7: 4}, "eve": {}}
    with pytest.raises(BadInputError) as caught:
        plan_groups(replace(SPEC, steps="paper"), PARTIES, rows)
    for part in (
        "class 7 has 16 training rows at 2 parties",
        "'bob' the fewest, 4",
        "no step of 10 rows",
        "equal_steps",
    ):
        assert part in str(caught.value)
    assert plan_groups(SPEC, PARTIES, rows) == (Group((7,), (2, 2, 0)),)


def test_a_class_nobody_has_is_refused_by_name():
    with pytest.raises(BadInputError, match="no party has a training row of class 5"):
        plan_groups(replace(SPEC, classes=(0, 5)), PARTIES, ROWS)
    assert [group.classes for group in plan_groups(replace(SPEC, classes=(2, 0)), PARTIES, ROWS)] == [(0,), (2,)]


def test_only_classes_with_the_same_steps_at_every_party_are_stacked():
    rows = {"ann": dict.fromkeys(range(5), 20) | {1: 30}, "bob": dict.fromkeys(range(5), 20) | {4: 0}, "eve": {}}
    groups = plan_groups(replace(SPEC, classes_at_once=2), PARTIES, rows)
    assert groups == (
        Group((0, 2), (2, 2, 0)),
        Group((1,), (3, 3, 0)),
        Group((3,), (2, 2, 0)),
        Group((4,), (2, 0, 0)),
    )


def test_who_takes_which_step():
    group = Group((0,), (3, 0, 5, 4))
    assert [group.participants(step) for step in range(5)] == [(0, 2, 3)] * 3 + [(2, 3), (2,)]
    assert (group.longest, group.exchanged()) == (5, 4)
    assert Group((0,), (6,)).exchanged() == 0


@pytest.mark.parametrize(
    ("steps", "per_round", "wanted"),
    [
        ((2, 2), 1, [(0, 1, (0, 1)), (1, 2, (0, 1))]),
        ((5, 5), 2, [(0, 2, (0, 1)), (2, 4, (0, 1)), (4, 5, (0, 1))]),
        ((5, 3, 7), 2, [(0, 2, (0, 1, 2)), (2, 3, (0, 1, 2)), (3, 5, (0, 2))]),
        ((0, 3, 3), 9, [(0, 3, (1, 2))]),
        ((4, 0), 1, []),
        ((4,), 2, []),
    ],
)
def test_rounds_worked_by_hand(steps, per_round, wanted):
    assert rounds(Group((0,), steps), per_round) == [Round(*one) for one in wanted]


@given(st.lists(st.integers(0, 12), min_size=1, max_size=5).filter(any), st.integers(1, 6))
def test_rounds_cover_every_exchanged_step_once_and_never_straddle_a_change(steps, per_round):
    group = Group((0,), tuple(steps))
    found = rounds(group, per_round)
    assert [step for one in found for step in range(one.start, one.stop)] == list(range(group.exchanged()))
    for one in found:
        assert 1 <= one.stop - one.start <= per_round
        assert {group.participants(step) for step in range(one.start, one.stop)} == {one.participants}
        assert len(one.participants) > 1
    for before, after in pairwise(found):  # a round is short only where it must be
        assert before.stop - before.start == per_round or before.participants != after.participants


@given(st.dictionaries(st.integers(0, 6), st.integers(1, 90), min_size=1), st.integers(1, 4), st.integers(1, 4))
def test_grouping_changes_neither_steps_nor_draws(counts, one, other):
    rows = {"ann": counts, "bob": {label: count // 2 for label, count in counts.items()}, "eve": {}}
    spec = replace(SPEC, steps="proportional")
    by_class = [
        {
            label: (group.steps, latent_noise(9, label, 0, 2, 3).tobytes(), drawn_rows(9, label, 0, 0, 90, 2).tobytes())
            for group in plan_groups(replace(spec, classes_at_once=most), PARTIES, rows)
            for label in group.classes
        }
        for most in (one, other)
    ]
    assert by_class[0] == by_class[1]
    assert set(by_class[0]) == set(counts)


def test_every_draw_is_its_own_and_repeats():
    noise = [latent_noise(seed, label, step, 4, 3) for seed in (1, 2) for label in (0, 1) for step in (0, 1)]
    noise += [sample_noise(seed, label, 4, 3) for seed in (1, 2) for label in (0, 1)]
    assert len({one.tobytes() for one in noise}) == len(noise)
    assert {(one.shape, one.dtype) for one in noise} == {((4, 3), np.dtype(np.float32))}
    assert np.array_equal(latent_noise(1, 0, 1, 4, 3), noise[1])
    drawn = [drawn_rows(1, 0, step, place, 1000, 8).tobytes() for step in (0, 1) for place in (0, 1)]
    assert len(set(drawn)) == 4


def test_latent_noise_is_standard_normal():
    """Kolmogorov-Smirnov: fails for truly normal noise with probability ``FAILURE``."""
    for noise in (latent_noise(3, 1, 4, 500, 40), sample_noise(3, 1, 500, 40)):
        assert kstest(noise.ravel(), "norm").pvalue > FAILURE
    assert kstest(latent_noise(3, 1, 4, 500, 40).ravel() * 1.1, "norm").pvalue < FAILURE  # the control


def test_rows_are_drawn_uniformly_with_replacement():
    drawn = np.concatenate([drawn_rows(3, 1, step, 0, 7, 200) for step in range(50)])
    assert chisquare(np.bincount(drawn, minlength=7)).pvalue > FAILURE
    assert len(drawn_rows(3, 1, 0, 0, 3, 50)) == 50  # a batch from fewer rows than it has


@given(st.sets(st.integers(0, 9), min_size=2), st.data())
def test_a_wrong_origin_is_never_the_own_and_always_of_a_participant(participants, data):
    places = sorted(participants)
    own = data.draw(st.sampled_from(places))
    drawn = wrong_origins(1, 2, 0, 0, 3, own, places, 64)
    assert drawn.dtype == np.int32
    assert set(drawn.tolist()) <= participants - {own}


def test_wrong_origins_are_uniform_over_the_others_and_differ_with_everything_they_depend_on():
    drawn = np.concatenate([wrong_origins(1, 2, 0, 0, step, 4, (0, 2, 4, 5), 300) for step in range(40)])
    assert chisquare(np.bincount(drawn, minlength=6)[[0, 2, 5]]).pvalue > FAILURE
    places = [
        (1, 2, 0, 0, 3, 4),
        (7, 2, 0, 0, 3, 4),
        (1, 7, 0, 0, 3, 4),
        (1, 2, 1, 0, 3, 4),
        (1, 2, 0, 1, 3, 4),
        (1, 2, 0, 0, 7, 4),
    ]
    assert len({wrong_origins(*place, (0, 2, 4, 5), 64).tobytes() for place in places}) == len(places)


@pytest.mark.parametrize(
    ("rows", "classes", "wanted"),
    [(7, (3, 1, 2), {3: 3, 1: 2, 2: 2}), (2, (0, 1, 2), {0: 1, 1: 1, 2: 0}), (6, (0, 1), {0: 3, 1: 3})],
)
def test_rows_are_spread_evenly_over_classes(rows, classes, wanted):
    assert dict(rows_per_class(rows, classes)) == wanted
