"""The groups a coordinator announces are held to everyone's; links are stand-ins."""

import pytest

from kernel.errors import WireError
from party.gan.session import groups_hash
from party.membership import Membership
from party.run_rows import compare_groups
from protos.v1 import coordination_pb2, plan_pb2

MEMBERS = Membership(
    "ann", "r", 1, plan_pb2.RunPlan(parties=[plan_pb2.PartyPlan(name=name) for name in ("ann", "bob")])
)


def begin(steps=(3, 2), barrier=0):
    return coordination_pb2.Begin(barrier=barrier, groups=[coordination_pb2.GanGroup(classes=[1, 2], steps=steps)])


class Links:
    """To bob, who answers under a topic what he was given."""

    def __init__(self, groups):
        self.links, self.sent, self._groups = {"bob": None}, [], groups

    def send(self, peer, topic, content, header):
        self.sent.append((peer, topic, content))

    def receive(self, peer, topic, header):
        return {("bob", "groups"): self._groups}[peer, topic]


def test_the_same_groups_pass_and_their_hash_is_sent():
    mine = groups_hash(begin())
    links = Links(groups_hash(begin(barrier=3)))
    compare_groups(mine, links, MEMBERS)
    assert links.sent == [("bob", "groups", mine)]
    assert len(mine) == 32


def test_other_steps_are_refused_by_the_peers_name():
    with pytest.raises(WireError, match=r"'bob' was given other groups of classes and steps than 'ann'"):
        compare_groups(groups_hash(begin()), Links(groups_hash(begin((3, 0)))), MEMBERS)
