"""neutral_server.shared_discriminator.open_epoch: which round is due from whom, whatever parties do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import StepError
from kernel.gan.schedule import Group
from neutral_server.reconstruction import Contributions
from neutral_server.shared_discriminator.open_epoch import Exchanges, OpenEpoch
from protos.v1 import common_pb2

PARTIES = ("ann", "bob", "eve")
TRAIN, EVALUATE = common_pb2.PURPOSE_TRAIN, common_pb2.PURPOSE_EVALUATE


def epoch_of(groups, steps_per_round=1, parties=PARTIES):
    return OpenEpoch(4, parties, Exchanges(parties, groups, steps_per_round), Contributions)


def header(step, **changes):
    return common_pb2.StepHeader(**({"epoch": 4, "step": step, "purpose": TRAIN} | changes))


@st.composite
def federations(draw):
    parties = draw(st.integers(2, 4))
    steps = st.lists(st.integers(0, 5), min_size=parties, max_size=parties).filter(any)
    groups = draw(st.lists(st.builds(lambda one: Group((0,), tuple(one)), steps), min_size=1, max_size=3))
    return groups, PARTIES[:parties] if parties < 4 else (*PARTIES, "zoe"), draw(st.integers(1, 3))


@given(federations(), st.randoms(use_true_random=False))
def test_in_whatever_order_parties_are_heard_every_round_is_taken_once_by_all_it_has(federation, chance):
    groups, parties, per_round = federation
    epoch, exchanges = epoch_of(groups, per_round, parties), Exchanges(parties, groups, per_round)
    mine = {party: list(exchanges.of[party]) for party in parties}
    waiting, done = set(), []
    while any(mine.values()):
        party = chance.choice([party for party in parties if mine[party] and party not in waiting])
        due = mine[party][0]
        taken = epoch.take(party, header(due.step), due.group)
        assert taken.exchange == due
        assert taken.contributions.add(party, due.step)
        waiting.add(party)
        if taken.contributions.complete:
            epoch.end(taken)
            done.append(due)
            for place in due.round.participants:
                waiting.discard(parties[place])
                assert mine[parties[place]].pop(0) == due
    assert epoch.complete
    assert sorted(done, key=exchanges.all.index) == exchanges.all


GROUPS = [Group((0, 1), (4, 2, 4)), Group((2,), (0, 1, 1))]


@pytest.mark.parametrize(
    ("party", "step", "group", "due"),
    [
        ("ann", 1, 0, "due from it is step 0 of group 0"),
        ("ann", 0, 1, "due from it is step 0 of group 0"),
        ("bob", 2, 0, "due from it is step 0 of group 0"),
        ("eve", 9, 7, "due from it is step 0 of group 0"),
    ],
)
def test_what_is_not_due(party, step, group, due):
    with pytest.raises(StepError, match=f"{party!r} sent step {step} of group {group}; {due}"):
        epoch_of(GROUPS).take(party, header(step), group)


def test_a_round_of_several_steps_is_sent_for_with_its_last():
    epoch = epoch_of(GROUPS, steps_per_round=3)  # steps 0-1 of all, 2-3 of ann and eve, then step 0 of bob and eve
    with pytest.raises(StepError, match="'ann' sent step 0 of group 0; due from it is step 1 of group 0"):
        epoch.take("ann", header(0), 0)
    taken = [epoch.take(party, header(1), 0) for party in PARTIES]
    assert taken[0] is taken[1] is taken[2]
    assert taken[0].contributions.missing == list(PARTIES)
    epoch.end(taken[0])
    assert epoch.take("ann", header(1), 0) is taken[0]  # a repeat
    with pytest.raises(StepError, match="'bob' sent step 3 of group 0; due from it is step 0 of group 1"):
        epoch.take("bob", header(3), 0)
    assert epoch.take("bob", header(0), 1).contributions.missing == ["bob", "eve"]
    last = epoch.take("ann", header(3), 0)
    assert last.contributions.missing == ["ann", "eve"]
    assert (
        epoch.waiting()
        == "epoch 4, which waits for 'bob', 'eve' in step 0 of group 1 and 'ann', 'eve' in step 3 of group 0"
    )
    epoch.end(last)
    with pytest.raises(StepError, match="'ann' sent step 0 of group 1; due from it is nothing more in this epoch"):
        epoch.take("ann", header(0), 1)


@pytest.mark.parametrize("change", [{"epoch": 3}, {"epoch": 5}, {"purpose": EVALUATE}, {"micro_batch": 1}])
def test_another_epoch_purpose_or_piece(change):
    with pytest.raises(StepError, match="open is epoch 4 training, in one piece"):
        epoch_of(GROUPS).take("ann", header(0, **change), 0)


def test_an_epoch_in_which_everybody_is_alone_is_complete_at_once():
    assert epoch_of([Group((0,), (3, 0, 0))]).complete
    assert not epoch_of(GROUPS).complete
