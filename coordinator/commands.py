"""`tertium coordinator …`."""

import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The coordinator: plans, rounds, the dealer, run directories.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `serve` a sub-command."""


@app.command()
def serve(config: Annotated[Path, typer.Argument(help="TOML config of the coordinator")]) -> None:
    """Listen for parties and operators until SIGTERM."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # the dealer's numba threads: waiting is not to take a core
    from coordinator.daemon import serve as run_coordinator
    from coordinator.settings import CoordinatorSettings
    from kernel.allocator import keep_freed_memory
    from kernel.process import load_settings

    keep_freed_memory()
    run_coordinator(load_settings(CoordinatorSettings, config))
