"""`tertium party …`."""

import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="A party: holds rows, dials out, opens no port.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `serve` a sub-command."""


@app.command()
def serve(config: Annotated[Path, typer.Argument(help="TOML config of the party")]) -> None:
    """Attend the coordinator and wait for runs until SIGTERM."""
    # numpy reads these at import: several thread pools in one small step fight each other
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # numba's: waiting is not to take a core
    from kernel.allocator import keep_freed_memory
    from kernel.process import load_settings
    from party.daemon import serve as run_party
    from party.settings import PartySettings

    keep_freed_memory()
    run_party(load_settings(PartySettings, config))
