"""`tertium sample RUN`."""

from pathlib import Path
from typing import Annotated

import typer


def sample(
    run: Annotated[str, typer.Argument(help="id of a GAN run that is done")],
    party: Annotated[str, typer.Option(help="whose generators")],
    rows: Annotated[int, typer.Option(help="rows of each class")] = 20,
    classes: Annotated[
        list[int] | None, typer.Option("--class", help="again for more; without: all the party has a generator for")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="of the latent noise: the same seed, the same rows")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="FILE.npz, .parquet or .png (a grid of images); default RUN-PARTY.npz")
    ] = None,
    coordinator: Annotated[str | None, typer.Option(help="host:port of a coordinator that is running")] = None,
    local: Annotated[bool, typer.Option("--local", help="start the roles of a local run again")] = False,
    certs: Annotated[Path, typer.Option(help="directory with operator.pem, operator.key, authority.pem")] = Path(
        "certs"
    ),
    runs: Annotated[Path, typer.Option(help="where run directories are")] = Path("runs"),
) -> None:
    """Synthetic rows of a party's generators, with the class of each. They have no differential privacy."""
    from coordinator.cli.sampling import sample_local, sample_remote
    from coordinator.sampling import Sampling
    from kernel.errors import BadInputError, SettingsError

    if local == (coordinator is not None):
        raise SettingsError(
            "say either --coordinator HOST:PORT (daemons that run) or --local (the roles of a local run)"
        )
    if rows < 1:
        raise BadInputError(f"--rows is {rows}; ask for one row of a class or more")
    sampling, file = Sampling(party, rows, tuple(classes or ()), seed), out or Path(f"{run}-{party}.npz")
    if coordinator is not None:
        sample_remote(run, sampling, file, coordinator, certs, runs)
    else:
        sample_local(run, sampling, file, runs)
