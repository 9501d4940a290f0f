"""`tertium attacks …`: for whoever owns every party's rows (a rehearsal on one machine); a real federation cannot run it."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Measured leakage of a recorded run (needs every party's files).",
    no_args_is_help=True,
)


@app.callback()
def _group() -> None:
    """Keeps `evaluate` a sub-command."""


@app.command()
def evaluate(
    plan: Annotated[Path, typer.Argument(help="plan message, as the local federation writes it")],
    run: Annotated[str, typer.Option(help="run that was recorded")],
    party_config: Annotated[list[Path], typer.Option(help="config of each party, in the order of the plan")],
    server_state: Annotated[Path, typer.Option(help="state directory of the neutral server")],
    server_plan: Annotated[str, typer.Option(help="under what the neutral server holds its barriers, hexadecimal")],
    transcripts: Annotated[Path, typer.Option(help="directory of the roles' transcripts")],
    out: Annotated[Path, typer.Option(help="JSON result")],
    effort: Annotated[str, typer.Option(help="quick or full")] = "quick",
    leaked_fraction: Annotated[float, typer.Option(help="share of training rows the attackers are given")] = 0.1,
    epochs: Annotated[int | None, typer.Option(help="keep the first epoch and the last ones, so many in all")] = None,
    image: Annotated[
        Path | None, typer.Option(help="where a grid of recovered images goes, if rows are images")
    ] = None,
) -> None:
    """Attack what each role received; write scores, baselines and controls. Trains attackers: minutes of CPU."""
    from kernel.errors import SettingsError
    from party.assessment.run_attacks import attack_run
    from party.assessment.run_files import read_run_files

    if effort not in ("quick", "full"):
        raise SettingsError(f"--effort is {effort!r}; it is quick or full")
    files = read_run_files(plan, run, party_config, server_state, bytes.fromhex(server_plan))
    attack_run(
        files,
        transcripts,
        out,
        effort="full" if effort == "full" else "quick",
        leaked_fraction=leaked_fraction,
        most_epochs=epochs,
        image=image,
    )
