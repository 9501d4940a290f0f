"""`tertium attacks …`: for whoever owns every party's rows (a rehearsal on one machine); a real federation cannot run it."""

from pathlib import Path
from typing import Annotated

import typer

_EASIER = "`tertium attacks run RUN` finds everything in the run directory by itself"

app = typer.Typer(
    help="Measured leakage of a recorded run (needs every party's files).",
    no_args_is_help=True,
)


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
    """What `run` calls, with every file named: attack what each role received; write scores, baselines and controls."""
    from kernel.errors import SettingsError
    from party.assessment.run_attacks import attack_run
    from party.assessment.run_files import read_run_files

    if effort not in ("quick", "full"):
        raise SettingsError(f"--effort is {effort!r}; it is quick or full")
    _check_plan(plan)
    files = read_run_files(plan, run, party_config, server_state, _held_under(server_plan))
    attack_run(
        files,
        transcripts,
        out,
        effort="full" if effort == "full" else "quick",
        leaked_fraction=leaked_fraction,
        most_epochs=epochs,
        image=image,
    )


@app.command()
def gan(
    plan: Annotated[Path, typer.Argument(help="plan message, as the local federation writes it")],
    run: Annotated[str, typer.Option(help="run of job privgan or gan that was trained")],
    party_config: Annotated[list[Path], typer.Option(help="config of each party, in the order of the plan")],
    server_state: Annotated[Path, typer.Option(help="state directory of the neutral server")],
    server_plan: Annotated[str, typer.Option(help="under what the neutral server holds its barriers, hexadecimal")],
    out: Annotated[Path, typer.Option(help="JSON result")],
) -> None:
    """What `run` calls for GANs, with every file named: membership attacks on the discriminators of all parties and the shared one."""
    from party.assessment.gan_files import read_gan_files
    from party.assessment.run_gan_attacks import attack_gans

    _check_plan(plan)
    attack_gans(read_gan_files(plan, run, party_config, server_state, _held_under(server_plan)), out)


def _held_under(server_plan: str) -> bytes:
    from kernel.errors import SettingsError

    try:
        return bytes.fromhex(server_plan)
    except ValueError:
        raise SettingsError(f"--server-plan is not hexadecimal; {_EASIER}") from None


def _check_plan(file: Path) -> None:
    """A plan's message, and not, say, its TOML."""
    from google.protobuf.message import DecodeError

    from kernel.errors import SettingsError
    from protos.v1 import plan_pb2

    try:
        whole = bool(plan_pb2.RunPlan.FromString(file.read_bytes()).parties)
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror}") from error
    except DecodeError:
        whole = False
    if not whole:
        raise SettingsError(f"{file} is no plan message, which a local run keeps as roles/plan.bin; {_EASIER}")
