"""`tertium neutral-server …`."""

import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The neutral server: hidden layers, and the sealed relay between parties.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `serve` a sub-command."""


@app.command()
def serve(config: Annotated[Path, typer.Argument(help="TOML config of the neutral server")]) -> None:
    """Listen for the coordinator and the parties until SIGTERM."""
    os.environ.setdefault(
        "OPENBLAS_NUM_THREADS", "1"
    )  # small layers in numpy; large ones have TensorFlow's own threads
    from kernel.allocator import keep_freed_memory
    from kernel.process import load_settings
    from neutral_server.daemon import serve as run_server
    from neutral_server.settings import NeutralServerSettings

    keep_freed_memory()
    run_server(load_settings(NeutralServerSettings, config))
