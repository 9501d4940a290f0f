"""`tertium report RUN`."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[str, typer.Argument(help="run id")],
    runs: Annotated[Path, typer.Option(help="where run directories are")] = Path("runs"),
) -> None:
    """Make plots, TensorBoard logs and report.html of a run again from its events and metrics."""
    from rich.console import Console

    from coordinator.cli.aftermath import write_run_report
    from kernel.errors import BadInputError

    if not (runs / run / "metrics.json").exists():
        raise BadInputError(f"{runs / run} holds no metrics.json; name a run that has finished")
    write_run_report(runs / run, Console())
