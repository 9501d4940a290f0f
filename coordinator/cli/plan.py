"""`tertium plan PLAN`."""

from pathlib import Path
from typing import Annotated

import typer


def plan(
    plan: Annotated[Path, typer.Argument(help="plan file (TOML)")],
    rows: Annotated[
        int | None,
        typer.Option(
            min=2, help="when the tables are not on this machine: aligned rows; of GANs each class's at a party"
        ),
    ] = None,
    columns: Annotated[
        list[int] | None, typer.Option(help="encoded columns per party in the plan's order (repeat); of GANs once")
    ] = None,
    depths: Annotated[
        bool,
        typer.Option("--depths", help="of a split network: the same forecast for every number of layers on shares"),
    ] = False,
) -> None:
    """Validate a plan; forecast rounds, bytes per link, the wire limit at usual bandwidths, and what it shows to whom."""
    from rich.console import Console

    from coordinator.cli.plan_gans import print_gan_plan
    from coordinator.cli.plan_split import print_split_plan
    from coordinator.gan_plan import GanPlan
    from coordinator.job_plan import parse_job_plan
    from coordinator.plan import read_plan_text
    from coordinator.sweeps.depth_variants import depth_variants
    from kernel.errors import SettingsError

    text = read_plan_text(plan)
    checked = parse_job_plan(text, str(plan))
    if (rows is None) != (columns is None):
        raise SettingsError("say --rows and --columns together, or neither (then the tables are read here)")
    if isinstance(checked, GanPlan):
        if depths:
            raise SettingsError(f"--depths is of split networks; this plan's job is {checked.job}")
        print_gan_plan(checked, rows, columns, Console())
        return
    variants = depth_variants(text, str(plan), ["open", "shared"], epochs=checked.epochs) if depths else []
    print_split_plan(checked, rows, columns, Console(), variants)
