"""What `run` and `demo` do: submit or resume, follow, gather the run directory, report."""

import secrets
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from coordinator.cli.operator_client import OperatorClient
from coordinator.cli.overrides import with_protocol
from coordinator.cli.progress import follow
from coordinator.cli.summary import print_summary
from coordinator.local.attacks import AttackOptions, Recording, run_attacks
from coordinator.plan import Plan, parse_plan, read_plan_text
from coordinator.report.quantities import payload
from coordinator.run_store import RunRecord
from kernel.errors import SettingsError, TertiumError

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
        plan, run = parse_plan(plan_text, f"the plan of run {resume}"), resume
    else:
        plan_text = with_protocol(read_plan_text(_named(plan_file)), protocol, str(plan_file))
        plan, run = parse_plan(plan_text, str(plan_file)), ""
    return train_here(
        plan_text, plan, run, runs, resume=resume is not None, baseline=baseline, record=record, attacks=attacks
    )


def train_here(
    plan_text: str,
    plan: Plan,
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
    from coordinator.local.baseline import run_baseline
    from coordinator.local.federation import LocalFederation

    console, attacks = console or Console(), attacks or AttackOptions()
    run = run or f"{plan.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    directory = runs / run
    recording, unattacked = Recording(directory, record, attacks), None
    console.print(f"run {run}: {len(plan.parties)} parties, {plan.first_layer.protocol}, roles on loopback")
    try:
        with LocalFederation(
            directory, plan, transcripts=recording.directory, transcript_scope=recording.scope
        ) as federation:
            _, first = federation.client.resume(run) if resume else federation.client.submit(plan_text, run)
            follow(federation.client.watch(run, first), plan.epochs, console)
        if baseline:
            with console.status("the plain network, same initialisation and batches …"):
                run_baseline(RunRecord.load(directory), federation)
        if attacks.wanted:
            size = payload(recording.recorded_bytes())
            with console.status(f"attacks ({attacks.effort}) on {size} that the roles received …"):
                try:
                    run_attacks(RunRecord.load(directory), federation, recording, attacks)
                except TertiumError as error:  # the run is done all the same, and gets its report
                    unattacked = error
    finally:
        recording.discard()
    if report:
        write_run_report(directory, console)
    if unattacked is not None:
        if attacks.asked:
            raise unattacked
        console.print(f"not attacked: {unattacked}", markup=False)
    return directory


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
            plan = parse_plan(read_plan_text(runs / run / "plan.toml"))
        else:
            plan_text = with_protocol(read_plan_text(_named(plan_file)), protocol, str(plan_file))
            plan = parse_plan(plan_text, str(plan_file))
            run, first = client.submit(plan_text)
        console.print(f"run {run}: {len(plan.parties)} parties, {plan.first_layer.protocol}")
        try:
            follow(client.watch(run, first), plan.epochs, console)
        finally:
            client.fetch(run, runs / run)
    finally:
        client.close()
    write_run_report(runs / run, console)
    return runs / run


def write_run_report(directory: Path, console: Console) -> None:
    """Plots, TensorBoard logs, report.html, and the closing table."""
    from coordinator.report.disclosures import disclosures_of
    from coordinator.report.page import write_report
    from coordinator.report.tensorboard_log import write_tensorboard

    with console.status("report …"):
        write_report(directory, disclosures_of(directory))
        write_tensorboard(directory)
    print_summary(directory, console)


def _named(plan_file: Path | None) -> Path:
    if plan_file is None:
        raise SettingsError("name a plan file")
    return plan_file
