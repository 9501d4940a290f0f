"""Synthetic rows that somebody asks of a run of GANs, and whether there is a generator for them."""

from dataclasses import dataclass

from coordinator.job_plan import gan_plan
from coordinator.run_store import RunRecord
from kernel.errors import BadInputError
from kernel.run_state import RunState


@dataclass(frozen=True)
class Sampling:
    """``classes`` empty: all that the party has a generator of."""

    party: str
    rows_per_class: int
    classes: tuple[int, ...]
    seed: int


def check_sampling(record: RunRecord, sampling: Sampling) -> None:
    """Before a role is asked.

    Raises:
      SettingsError: the run is of another job. BadInputError: it is not done, has no such party or none of these generators there;
        no rows are asked for.
    """
    plan = gan_plan(record.plan, "sample")
    if record.state is not RunState.DONE:
        raise BadInputError(f"run {record.run!r} is {record.state.value}; it must be done before it is sampled from")
    names = [party.name for party in plan.parties]
    if sampling.party not in names:
        raise BadInputError(f"run {record.run!r} has no party {sampling.party!r}; its parties are {', '.join(names)}")
    if sampling.rows_per_class < 1:
        raise BadInputError("ask for one row of a class or more")
    own = generators_of(record, sampling.party)
    if unknown := sorted(set(sampling.classes) - set(own)):
        raise BadInputError(
            f"{sampling.party!r} has no generator of class {unknown[0]}; it has {', '.join(map(str, own)) or 'none'}"
        )


def generators_of(record: RunRecord, party: str) -> list[int]:
    """Classes that ``party`` has a generator of, by the schedule the run was trained by."""
    noted = next((event for event in reversed(record.events) if event["event"] == "schedule"), {"groups": ()})
    return sorted(label for group in noted["groups"] if group["steps"].get(party) for label in group["classes"])
