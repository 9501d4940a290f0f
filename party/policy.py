"""A party is nobody's servant: a plan outside its policy is refused by name before any row is read."""

from collections.abc import Mapping, Sequence

from kernel.errors import PolicyError, RowsError
from kernel.gan.spec import GAN_JOBS
from party.settings import PolicySettings
from protos.v1 import plan_pb2

_JOB_NAMES = {
    plan_pb2.JOB_KIND_SPLIT_NN: "split_nn",
    plan_pb2.JOB_KIND_PRIVGAN: "privgan",
    plan_pb2.JOB_KIND_GAN: "gan",
}


def check_plan(policy: PolicySettings, plan: plan_pb2.RunPlan, me: str, tables: Mapping[str, Sequence[str]]) -> None:
    """Hold a plan to the policy.

    Args:
      tables: column names of each declared table, in order (ranges are resolved against it).

    Raises:
      PolicyError: job kind, defender, open gradient, synthetic rows, peer, table or column that the policy does not accept.
    """
    job = _JOB_NAMES.get(plan.job, "unspecified")
    if job not in policy.job_kinds:
        raise PolicyError(
            f"{me!r} takes no part in jobs of kind {job}; its policy accepts {', '.join(policy.job_kinds)}"
        )
    if plan.HasField("defender") and not policy.reveal_h1:
        raise PolicyError(
            f"the plan has a defender, which sends h1 to every party; the policy of {me!r} does not accept that: "
            "set policy.reveal_h1 = true there, or remove [defender] from the plan"
        )
    shared = plan.gradient == plan_pb2.GRADIENT_FORM_SHARED and plan.weights == plan_pb2.WEIGHTS_FORM_SHARED
    if policy.shared_gradient and job == "split_nn" and not shared:
        raise PolicyError(
            f"the plan does not share gradient and first-layer weights, so that parties are told what labels can be read from; the policy of {me!r} "
            'does not accept that: say first_layer.gradient = "shared" in the plan, and nothing of weights, or set '
            "policy.shared_gradient = false there"
        )
    mine = part_of(plan, me)
    if plan.job in GAN_JOBS and mine.table not in policy.synthetic_rows:
        raise PolicyError(
            f"a plan of job {job} makes synthetic rows like those of table {mine.table!r}, without differential privacy, and sends them "
            f"to other roles; the policy of {me!r} accepts that of {', '.join(policy.synthetic_rows) or 'no table'}: add "
            f"{mine.table!r} to policy.synthetic_rows there to accept it"
        )
    for party in plan.parties:
        if party.name != me and party.name not in policy.peers:
            raise PolicyError(f"{me!r} has not pinned {party.name!r}; add its fingerprint to policy.peers to accept it")
    for table in filter(None, (mine.table, mine.holdout)):
        check_columns(me, table, list(mine.columns), policy.columns, tables)
        if mine.label:
            check_columns(me, table, [mine.label], policy.labels, tables, use="label")


def check_columns(
    me: str,
    table: str,
    wanted: Sequence[str],
    offers: Mapping[str, Sequence[str]],
    tables: Mapping[str, Sequence[str]],
    *,
    use: str = "column",
) -> None:
    """Refuse a table or column the policy does not offer for this use.

    A label is offered on its own: gradients give it away, so a feature must not become one by a plan's wish.
    """
    from party.rows.schema import select_columns

    if table not in tables:
        raise PolicyError(f"{me!r} declares no table {table!r}; its tables are {', '.join(sorted(tables)) or 'none'}")
    if table not in offers:
        raise PolicyError(f"the policy of {me!r} offers no {use} of table {table!r}; add it under policy.{use}s")
    try:
        offered = set(select_columns(tables[table], offers[table]))
        asked = select_columns(tables[table], wanted)
    except RowsError as error:
        raise PolicyError(f"table {table!r} at {me!r}: {error}") from error
    refused = [column for column in asked if column not in offered]
    if refused:
        shown = ", ".join(refused[:5]) + (" …" if len(refused) > 5 else "")
        raise PolicyError(
            f"the policy of {me!r} does not offer {len(refused)} {use}(s) of {table!r} that the plan wants: {shown}"
        )


def part_of(plan: plan_pb2.RunPlan, me: str) -> plan_pb2.PartyPlan:
    """This party's part of a plan.

    Raises:
      PolicyError: it has none.
    """
    for party in plan.parties:
        if party.name == me:
            return party
    raise PolicyError(f"the plan {plan.name!r} has no part for {me!r}")
