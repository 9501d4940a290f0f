"""`tertium run PLAN`."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    plan: Annotated[Path | None, typer.Argument(help="plan file (TOML); not needed with --resume")] = None,
    coordinator: Annotated[str | None, typer.Option(help="host:port of a coordinator that is running")] = None,
    local: Annotated[
        bool, typer.Option("--local", help="start every role here, on loopback, with throwaway certificates")
    ] = False,
    resume: Annotated[str | None, typer.Option(help="continue this run from its last barrier")] = None,
    certs: Annotated[Path, typer.Option(help="directory with operator.pem, operator.key, authority.pem")] = Path(
        "certs"
    ),
    runs: Annotated[Path, typer.Option(help="where run directories are")] = Path("runs"),
    protocol: Annotated[str | None, typer.Option(help="masked_sum or beaver instead of the plan's own")] = None,
    baseline: Annotated[bool, typer.Option(help="--local only: train the plain network beside it")] = True,
    record: Annotated[
        Path | None,
        typer.Option(help="--local only, for evaluators: record all that each role receives, here"),
    ] = None,
    attacks: Annotated[
        str | None,
        typer.Option(help="none, quick or full: attack what each role received (quick with --local, else none)"),
    ] = None,
    leaked_fraction: Annotated[
        float | None, typer.Option(help="--local only: share of training rows the attackers are given (0.1)")
    ] = None,
) -> None:
    """Train a plan, watch it, and leave a run directory with metrics and a report."""
    from coordinator.cli.training import run_local, run_remote
    from coordinator.local.attacks import attack_options
    from kernel.errors import SettingsError

    if local == (coordinator is not None):
        raise SettingsError("say either --coordinator HOST:PORT (daemons that run) or --local (start every role here)")
    if plan is None and resume is None:
        raise SettingsError("name a plan file, or a run to --resume")
    if resume is not None and protocol is not None:
        raise SettingsError("--protocol changes a plan; a run resumes with the plan it has")
    if record is not None and not local:
        raise SettingsError("--record is for --local; a daemon that runs elsewhere records what its own config says")
    options = attack_options(attacks, leaked_fraction, local=local)
    if local:
        run_local(plan, resume, runs, protocol=protocol, baseline=baseline, record=record, attacks=options)
    elif coordinator is not None:
        run_remote(plan, resume, runs, coordinator, certs, protocol=protocol)
