"""`tertium predict RUN DATA`."""

from pathlib import Path
from typing import Annotated

import typer


def predict(
    run: Annotated[str, typer.Argument(help="id of a run that is done")],
    data: Annotated[
        str, typer.Argument(help="a table every party declares; with --local also a file or a built-in table")
    ],
    coordinator: Annotated[str | None, typer.Option(help="host:port of a coordinator that is running")] = None,
    local: Annotated[bool, typer.Option("--local", help="start the roles of a local run again")] = False,
    certs: Annotated[Path, typer.Option(help="directory with operator.pem, operator.key, authority.pem")] = Path(
        "certs"
    ),
    runs: Annotated[Path, typer.Option(help="where run directories are")] = Path("runs"),
) -> None:
    """Predict new rows with a trained run; the predictions are written at the label holder only."""
    from coordinator.cli.prediction import predict_local, predict_remote
    from kernel.errors import SettingsError

    if local == (coordinator is not None):
        raise SettingsError(
            "say either --coordinator HOST:PORT (daemons that run) or --local (the roles of a local run)"
        )
    if coordinator is not None:
        predict_remote(run, data, coordinator, certs)
    else:
        predict_local(run, data, runs)
