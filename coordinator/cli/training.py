"""What `run` and `demo` do: submit or resume, follow, gather the run directory, report."""

import secrets
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from coordinator.cli.aftermath import judge_here, write_run_report
from coordinator.cli.operator_client import OperatorClient
from coordinator.cli.overrides import with_protocol
from coordinator.cli.progress import follow
from coordinator.gan_plan import GanPlan
from coordinator.job_plan import JobPlan, parse_job_plan, protocol_of
from coordinator.local.attacks import AttackOptions, Recording
from coordinator.plan import read_plan_text
from coordinator.report.quantities import duration
from coordinator.run_store import RunRecord
from kernel.errors import PeerError, SettingsError

_REACH_SECONDS = 10.0


def run_local(
    plan_file: Path | None,
    resume: str | None,
    runs: Path,
    *,
    protocol: str | None = None,
    baseline: bool = True,
    record: Path | None = None,
    attacks: AttackOptions | None = None,
) -> Path:
    """Every role as a child process; returns the run directory."""
    if resume is not None:
        plan_text = read_plan_text(runs / resume / "plan.toml")
        plan, run = parse_job_plan(plan_text, f"the plan of run {resume}"), resume
    else:
        plan_text = with_protocol(read_plan_text(_named(plan_file)), protocol, str(plan_file))
        plan, run = parse_job_plan(plan_text, str(plan_file)), ""
    return train_here(
        plan_text, plan, run, runs, resume=resume is not None, baseline=baseline, record=record, attacks=attacks
    )


def train_here(
    plan_text: str,
    plan: JobPlan,
    run: str,
    runs: Path,
    *,
    resume: bool,
    baseline: bool,
    record: Path | None = None,
    attacks: AttackOptions | None = None,
    report: bool = True,
    console: Console | None = None,
) -> Path:
    """A local federation around one plan; ``attacks`` None is none."""
    from coordinator.local.federation import LocalFederation

    console, attacks = console or Console(), attacks or AttackOptions()
    of_gans = isinstance(plan, GanPlan)
    run = run or f"{plan.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    directory = runs / run
    # an attack on a split network reads what roles received, one on GANs what they hold
    recording, trained = Recording(directory, record, AttackOptions() if of_gans else attacks), False
    console.print(f"run {run}: {_what(plan)}, roles on loopback")
    try:
        with LocalFederation(
            directory, plan, transcripts=recording.directory, transcript_scope=recording.scope
        ) as federation:
            _, first = federation.client.resume(run) if resume else federation.client.submit(plan_text, run)
            started = time.monotonic()
            try:
                follow(federation.client.watch(run, first), plan.epochs, console)
            except PeerError as error:
                raise federation.loss(again(run, runs)) or error from error
            console.print(f"trained in {duration(time.monotonic() - started)}")
        trained = True
        if recording.kept:
            recording.note(RunRecord.load(directory))
    except KeyboardInterrupt:
        if (directory / "plan.toml").exists():
            console.print(f"interrupted before it was trained; go on with {again(run, runs)}", markup=False)
        raise
    finally:
        if not trained:
            recording.discard()
    baseline = baseline and not of_gans
    judge_here(directory, federation, recording, attacks, baseline=baseline, report=report, console=console)
    return directory


def again(run: str, runs: Path) -> str:
    """The command that resumes a local run."""
    return f"`tertium run --local --resume {run}`" + ("" if runs == Path("runs") else f" (with --runs {runs})")


def run_remote(
    plan_file: Path | None,
    resume: str | None,
    runs: Path,
    coordinator: str,
    certs: Path,
    *,
    protocol: str | None,
) -> Path:
    """Daemons that run elsewhere; returns the local copy of the run directory."""
    console = Console()
    client = OperatorClient(coordinator, certs)
    try:
        client.wait_ready(_REACH_SECONDS)
        if resume is not None:
            run, first = client.resume(resume)
            client.fetch(run, runs / run)
            plan = parse_job_plan(read_plan_text(runs / run / "plan.toml"))
        else:
            plan_text = with_protocol(read_plan_text(_named(plan_file)), protocol, str(plan_file))
            plan = parse_job_plan(plan_text, str(plan_file))
            run, first = client.submit(plan_text)
        console.print(f"run {run}: {_what(plan)}")
        try:
            follow(client.watch(run, first), plan.epochs, console)
        finally:
            client.fetch(run, runs / run)
    finally:
        client.close()
    write_run_report(runs / run, console)
    return runs / run


def _what(plan: JobPlan) -> str:
    job = "" if plan.job == "split_nn" else f"{plan.job}, "
    return f"{job}{len(plan.parties)} parties, {protocol_of(plan)}"


def _named(plan_file: Path | None) -> Path:
    if plan_file is None:
        raise SettingsError("name a plan file")
    return plan_file
