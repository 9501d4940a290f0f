"""`tertium attacks run RUN`, beside what the party package has under `tertium attacks`."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    run: Annotated[
        str, typer.Argument(help="id of a local run that was recorded (`tertium run … --record DIRECTORY`), or of GANs")
    ],
    transcripts: Annotated[
        Path | None, typer.Option(help="directory of the recording, where it is not where the run kept it")
    ] = None,
    attacks: Annotated[str, typer.Option(help="quick or full")] = "quick",
    leaked_fraction: Annotated[float, typer.Option(help="share of training rows the attackers are given")] = 0.1,
    runs: Annotated[Path, typer.Option(help="where run directories are")] = Path("runs"),
) -> None:
    """Attack a recorded local run, or one of GANs, (again): its metrics and report get the results. Minutes of CPU."""
    from coordinator.cli.aftermath import attack_again
    from coordinator.local.attacks import attack_options

    attack_again(run, runs, transcripts, attack_options(attacks, leaked_fraction, local=True))
