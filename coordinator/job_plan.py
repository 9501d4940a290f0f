"""A plan of any job kind: which model a plan file is read as."""

from pydantic import RootModel

from coordinator.gan_plan import GanPlan
from coordinator.plan import Plan
from kernel.errors import SettingsError
from kernel.settings import parse_settings, parse_toml

JobPlan = Plan | GanPlan
GAN_JOBS = ("privgan", "gan")
_GAN_SECTIONS = {"nets", "shared", "steps", "classes", "evaluation"}
"""Keys that no plan of job split_nn has."""


class AnyPlan(RootModel[JobPlan]):
    """What a plan file may be; for its JSON schema."""


def parse_job_plan(text: str, what: str = "the plan") -> JobPlan:
    """A plan from its TOML text, by its `job` (split_nn without a word).

    Raises:
      SettingsError: one sentence saying what is wrong where.
    """
    document = parse_toml(text, what)
    job = document.get("job", "split_nn")
    if "job" not in document and ("axes" in document or "sizes" in document):
        raise SettingsError(f"{what} is a sweep file; train it with `tertium sweep`")
    if "job" not in document and not _GAN_SECTIONS.isdisjoint(document):
        raise SettingsError(f'{what} has no `job`, and sections of GANs; write job = "privgan" or job = "gan"')
    if job in GAN_JOBS:
        return parse_settings(GanPlan, text, what)
    if job == "split_nn":
        return parse_settings(Plan, text, what)
    raise SettingsError(f"{what}: there is no job {job!r}; jobs are split_nn, {', '.join(GAN_JOBS)}")


def protocol_of(plan: JobPlan) -> str:
    """What goes over the wire in a run of ``plan``, in a word: the first layer's protocol, or how GANs share."""
    if isinstance(plan, Plan):
        return plan.first_layer.protocol
    return "none" if plan.shared is None else plan.shared.mode


def split_plan(plan: JobPlan, what: str) -> Plan:
    """``plan`` where it is of job split_nn; ``what`` is what asks for one.

    Raises:
      SettingsError: it is not.
    """
    if isinstance(plan, Plan):
        return plan
    raise SettingsError(f"{what} is for plans of job split_nn; plan {plan.name!r} is of job {plan.job}")


def gan_plan(plan: JobPlan, what: str) -> GanPlan:
    """``plan`` where it is of job privgan or gan; ``what`` is what asks for one.

    Raises:
      SettingsError: it is not.
    """
    if isinstance(plan, GanPlan):
        return plan
    raise SettingsError(
        f"{what} is for plans of jobs {' and '.join(GAN_JOBS)}; plan {plan.name!r} is of job {plan.job}"
    )
