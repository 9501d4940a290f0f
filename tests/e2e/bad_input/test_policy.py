"""A party is nobody's servant: a plan outside its policy is refused by name, before a row is read."""

import pytest

from kernel.errors import PolicyError
from party.policy import check_plan
from party.settings import PolicySettings
from protos.v1 import plan_pb2

REFUSED = {
    # plan, exit code, sentence
    "unpinned peer": (
        (("bob", "missing"), ("cat", "people")),
        5,
        "bob: 'bob' has not pinned 'cat'; add its fingerprint to policy.peers to accept it",
    ),
    "refused column": (
        (("ann", "partly_offered"), ("bob", "people")),
        5,
        "the policy of 'ann' does not offer 1 column(s) of 'partly_offered' that the plan wants: income",
    ),
    "refused table": (
        (("ann", "not_offered"), ("bob", "people")),
        5,
        "the policy of 'ann' offers no column of table 'not_offered'; add it under policy.columns",
    ),
    "undeclared table": ((("ann", "unheard_of"), ("bob", "people")), 5, "ann: 'ann' declares no table 'unheard_of'"),
    "wrong pin": (
        (("ann", "missing"), ("cat", "people")),
        3,
        "ann: 'cat' shows a certificate with fingerprint sha256:",
    ),
}


@pytest.mark.e2e
@pytest.mark.parametrize(("parties", "code", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_plan_outside_the_policy(parties, code, sentence, federation):
    """The tables these name have no file: a party that read first would say so instead."""
    logs = [federation.directory / party / "log" for party, _ in parties]
    written = [log.stat().st_size for log in logs]
    outcome = federation.run(*parties)
    outcome.refused(code, sentence)
    new = b"".join(log.read_bytes()[start:] for log, start in zip(logs, written, strict=True))
    assert b"order failed" in new
    assert b"There is no file" not in new
    assert not list(federation.directory.glob(f"*/state/{federation.runs()[-1]}/barriers/*"))


@pytest.mark.e2e
def test_the_same_table_without_a_refusal_is_missed(federation):
    """The control: here the file is looked for."""
    federation.run(("ann", "missing"), ("bob", "people")).refused(2, "There is no file")


@pytest.mark.e2e
def test_a_prediction_outside_the_policy_leaves_the_run_done(federation, trained):
    federation.tertium("predict", trained, "not_offered").refused(5, "offers no column of table 'not_offered'")
    federation.tertium("run", "--resume", trained).refused(2, f"run '{trained}' is done")


@pytest.mark.e2e
def test_a_run_refused_by_policy_is_not_resumed(federation):
    federation.run(("ann", "not_offered"), ("bob", "people")).refused(5)
    outcome = federation.tertium("run", "--resume", federation.runs()[-1])
    outcome.refused(2, "failed for a reason that resuming cannot mend")


def test_a_party_may_take_no_part_in_a_kind_of_job():
    plan = plan_pb2.RunPlan(job=plan_pb2.JOB_KIND_SPLIT_NN, parties=[plan_pb2.PartyPlan(name="ann", table="t")])
    policy = PolicySettings(peers={}, job_kinds=(), columns={"t": ("x",)})
    with pytest.raises(PolicyError, match="'ann' takes no part in jobs of kind split_nn") as caught:
        check_plan(policy, plan, "ann", {"t": ["x"]})
    assert caught.value.exit_code == 5


def test_a_plan_that_has_no_part_for_a_party_is_refused_by_it():
    plan = plan_pb2.RunPlan(name="p", job=plan_pb2.JOB_KIND_SPLIT_NN, parties=[plan_pb2.PartyPlan(name="bob")])
    policy = PolicySettings(peers={"bob": "sha256:" + "0" * 64}, columns={})
    with pytest.raises(PolicyError, match="the plan 'p' has no part for 'ann'"):
        check_plan(policy, plan, "ann", {})
