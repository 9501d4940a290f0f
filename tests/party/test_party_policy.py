"""party.policy: a plan's wishes against what a party offers; a label is offered on its own."""

import pytest

from kernel.errors import PolicyError
from party.policy import check_plan
from party.settings import PolicySettings
from protos.v1 import plan_pb2

TABLES = {"staff": ["age", "salary", "left"], "former": ["age", "salary", "left"]}
GAN_JOBS = {"privgan": plan_pb2.JOB_KIND_PRIVGAN, "gan": plan_pb2.JOB_KIND_GAN}


def plan(*columns, label="left"):
    return plan_pb2.RunPlan(
        micro_batches=1,
        job=plan_pb2.JOB_KIND_SPLIT_NN,
        parties=[
            plan_pb2.PartyPlan(name="ann", table="staff", columns=columns, label=label),
            plan_pb2.PartyPlan(name="bob", table="rest", columns=["x"]),
        ],
    )


def policy(**changes):
    offers = {"columns": {"staff": ["age..salary"]}, "labels": {"staff": ["left"]}, **changes}
    return PolicySettings(peers={"bob": "sha256:" + "0" * 64}, **offers)


def test_what_is_offered_is_accepted():
    check_plan(policy(), plan("age", "salary"), "ann", TABLES)


def test_a_feature_does_not_become_a_label():
    with pytest.raises(PolicyError, match=r"does not offer 1 label\(s\) of 'staff' that the plan wants: salary"):
        check_plan(policy(), plan("age", label="salary"), "ann", TABLES)


def test_a_label_does_not_become_a_feature():
    with pytest.raises(PolicyError, match=r"does not offer 1 column\(s\) of 'staff' that the plan wants: left"):
        check_plan(policy(), plan("age", "left"), "ann", TABLES)


def test_no_label_is_offered_unless_the_policy_says_so():
    with pytest.raises(PolicyError, match=r"offers no label of table .staff.; add it under policy\.labels"):
        check_plan(policy(labels={}), plan("age"), "ann", TABLES)


def test_h1_is_revealed_only_where_the_policy_says_so():
    revealing = plan("age", "salary")
    revealing.defender.reveal_h1 = True
    with pytest.raises(PolicyError, match=r"a defender, which sends h1 to every party; the policy of 'ann' does not"):
        check_plan(policy(), revealing, "ann", TABLES)
    check_plan(policy(reveal_h1=True), revealing, "ann", TABLES)
    check_plan(policy(reveal_h1=True), plan("age"), "ann", TABLES)


@pytest.mark.parametrize(("gradient", "weights"), [(0, 0), (0, 1), (1, 0)])
def test_a_policy_can_insist_that_no_gradient_is_told(gradient, weights):
    """An open one tells labels, and so does that of a party's own weights."""
    telling = plan("age", "salary")
    telling.gradient, telling.weights = gradient, weights
    with pytest.raises(
        PolicyError,
        match=r"does not share gradient and first-layer weights, .*; the policy of 'ann' does not accept that: say",
    ):
        check_plan(policy(shared_gradient=True), telling, "ann", TABLES)
    check_plan(policy(), telling, "ann", TABLES)
    shared = plan("age", "salary")
    shared.gradient, shared.weights = plan_pb2.GRADIENT_FORM_SHARED, plan_pb2.WEIGHTS_FORM_SHARED
    check_plan(policy(shared_gradient=True), shared, "ann", TABLES)


def test_an_unpinned_peer_is_refused():
    stranger = PolicySettings(peers={}, columns={"staff": ["age"]}, labels={"staff": ["left"]})
    with pytest.raises(PolicyError, match="has not pinned 'bob'"):
        check_plan(stranger, plan("age"), "ann", TABLES)


def gan_plan(job="privgan", **mine):
    message = plan("age", "salary")
    message.job = GAN_JOBS[job]
    message.parties[0].MergeFrom(plan_pb2.PartyPlan(**mine))
    return message


def gan_policy(**changes):
    offers = {"staff": ["age..salary"], "former": ["age..salary"]}
    labels = {"staff": ["left"], "former": ["left"]}
    accepts = {"job_kinds": ["privgan", "gan"], "synthetic_rows": ["staff"]}
    return policy(**{"columns": offers, "labels": labels, **accepts, **changes})


@pytest.mark.parametrize("job", GAN_JOBS)
def test_a_gan_job_is_accepted_where_the_policy_says_so_twice(job):
    check_plan(gan_policy(), gan_plan(job, holdout="former"), "ann", TABLES)
    with pytest.raises(PolicyError, match=f"no part in jobs of kind {job}; its policy accepts split_nn"):
        check_plan(policy(synthetic_rows=["staff"]), gan_plan(job), "ann", TABLES)
    with pytest.raises(
        PolicyError, match=r"like those of table 'staff'.*of former: add 'staff' to policy\.synthetic_rows"
    ):
        check_plan(gan_policy(synthetic_rows=["former"]), gan_plan(job), "ann", TABLES)


def test_gans_are_not_accepted_without_a_word():
    silent = PolicySettings(peers={}, columns={})
    assert silent.job_kinds == ("split_nn",)
    assert silent.synthetic_rows == ()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"columns": {"staff": ["age..salary"]}}, r"offers no column of table 'former'; add it under policy\.columns"),
        ({"columns": {"staff": ["age..salary"], "former": ["age"]}}, r"not offer 1 column\(s\) of 'former'.*: salary"),
        ({"labels": {"staff": ["left"]}}, r"offers no label of table 'former'; add it under policy\.labels"),
        ({"labels": {"former": ["left"]}}, r"offers no label of table 'staff'; add it under policy\.labels"),
    ],
)
def test_held_out_rows_are_offered_as_any_others(changes, sentence):
    with pytest.raises(PolicyError, match=sentence):
        check_plan(gan_policy(**changes), gan_plan(holdout="former"), "ann", TABLES)
