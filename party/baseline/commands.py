"""`tertium baseline …`: for whoever owns every party's rows (a benchmark, a demo); a real federation cannot run it."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="What is trained on everybody's rows in one place, beside a run (needs every party's files).",
    no_args_is_help=True,
)


@app.callback()
def _group() -> None:
    """Keeps `train` a sub-command."""


@app.command()
def train(
    plan: Annotated[Path, typer.Argument(help="plan message, as the local federation writes it")],
    run: Annotated[str, typer.Option(help="run whose initial weights are used")],
    party_config: Annotated[list[Path], typer.Option(help="config of each party, in the order of the plan")],
    server_state: Annotated[Path, typer.Option(help="state directory of the neutral server")],
    server_plan: Annotated[str, typer.Option(help="under what the neutral server holds its barriers, hexadecimal")],
    out: Annotated[Path, typer.Option(help="JSON result")],
) -> None:
    """Pool the rows, start from the run's barrier 0, train the same batches, score the same test rows."""
    from party.baseline.pooled import train_pooled

    train_pooled(plan, run, party_config, server_state, bytes.fromhex(server_plan), out)


@app.command()
def privgan(
    plan: Annotated[Path, typer.Argument(help="plan message, as the local federation writes it")],
    party_config: Annotated[list[Path], typer.Option(help="config of each party, in the order of the plan")],
    out: Annotated[Path, typer.Option(help="JSON result")],
    steps: Annotated[int, typer.Option(min=1, help="timed, after a few that are not")] = 20,
) -> None:
    """Time a step of the original single-process privGAN loop (Keras) on every party's rows."""
    from party.baseline.timed_privgan import time_privgan

    time_privgan(plan, party_config, steps, out)
