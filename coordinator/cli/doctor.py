"""`tertium doctor CONFIG`."""

from pathlib import Path
from typing import Annotated

import typer


def doctor(
    config: Annotated[Path, typer.Argument(help="config of a party, the neutral server or the coordinator")],
) -> None:
    """Check from here, with this config: files, certificates, the other processes, peers through the relay, rows."""
    from importlib.metadata import entry_points

    from rich.console import Console

    from kernel.errors import SettingsError
    from kernel.settings import parse_toml

    try:
        document = parse_toml(config.read_text(encoding="utf-8"), str(config))
    except OSError as error:
        raise SettingsError(f"cannot read {config}: {error.strerror}") from error
    kind = (
        "party"
        if "policy" in document or "tables" in document
        else "coordinator"
        if "runs_directory" in document
        else "neutral-server"
    )
    console = Console()
    console.print(f"doctor for {kind} {document.get('name', kind)!r}")
    failed = 0
    exit_code = 0
    for entry in entry_points(group="tertium.doctors", name=kind):
        for finding in entry.load()(config):
            mark = "[green]ok[/green]  " if finding.ok else "[red]FAIL[/red]"
            console.print(f"{mark} {finding.what}", highlight=False, soft_wrap=True)
            if not finding.ok:
                failed += 1
                exit_code = exit_code or finding.exit_code
                console.print(f"     → {finding.advice}", highlight=False, soft_wrap=True)
    console.print("all well" if not failed else f"{failed} problem(s); start with the first")
    raise typer.Exit(exit_code)
