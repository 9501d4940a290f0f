"""What `sample` does, with running daemons or with a local run's roles."""

from pathlib import Path

from rich.console import Console

from coordinator.cli.operator_client import OperatorClient
from coordinator.cli.progress import follow
from coordinator.gan_plan import GanPlan
from coordinator.job_plan import gan_plan, parse_job_plan
from coordinator.plan import read_plan_text
from coordinator.run_store import RunRecord
from coordinator.sampling import Sampling, check_sampling
from coordinator.synthetic_rows import check_suffix, read_synthetic_rows, write_synthetic_rows
from kernel.errors import BadInputError

_REACH_SECONDS = 10.0


def sample_remote(run: str, sampling: Sampling, out: Path, coordinator: str, certs: Path, runs: Path) -> None:
    """Daemons that run elsewhere; the coordinator's file is fetched into the local copy of the run directory."""
    check_suffix(out)
    client = OperatorClient(coordinator, certs)
    try:
        client.wait_ready(_REACH_SECONDS)
        file = _follow(client, run, sampling)
        client.fetch(run, runs / run)
    finally:
        client.close()
    plan = parse_job_plan(read_plan_text(runs / run / "plan.toml"), f"the plan of run {run}")
    _write(gan_plan(plan, "sample"), sampling, runs / run / file, out)


def sample_local(run: str, sampling: Sampling, out: Path, runs: Path) -> None:
    """A local run, whose roles are started again, once it is clear that they can make such rows."""
    from coordinator.local.federation import LocalFederation

    check_suffix(out)
    record = RunRecord.load(runs / run)
    check_sampling(record, sampling)
    plan = gan_plan(record.plan, "sample")
    with LocalFederation(record.directory, plan) as federation:
        file = _follow(federation.client, run, sampling)
    _write(plan, sampling, record.directory / file, out)


def _follow(client: OperatorClient, run: str, sampling: Sampling) -> str:
    """The file's name in the run directory."""
    _, first = client.sample(run, sampling.party, sampling.rows_per_class, sampling.classes, sampling.seed)
    event = follow(client.watch(run, first), 1, Console())
    if event is None or event["event"] != "sampled":
        raise BadInputError(f"run {run!r} gave no synthetic rows; look at its events.jsonl")
    return str(event["file"])


def _write(plan: GanPlan, sampling: Sampling, file: Path, out: Path) -> None:
    rows = read_synthetic_rows(file)
    label = next(one.label for one in plan.parties if one.name == sampling.party)
    write_synthetic_rows(rows, label, out)
    told = (
        f"{len(rows.labels)} synthetic rows of {sampling.party} with their classes, without differential privacy: {out}"
    )
    Console().print(told, markup=False, soft_wrap=True)
