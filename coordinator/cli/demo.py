"""`tertium demo [NAME]`."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    name: Annotated[str, typer.Argument(help="breast_cancer, wine, digits or privgan")] = "breast_cancer",
    protocol: Annotated[str | None, typer.Option(help="masked_sum or beaver instead of the demo plan's own")] = None,
    runs: Annotated[Path, typer.Option(help="where run directories are")] = Path("runs"),
    attacks: Annotated[
        str | None, typer.Option(help="none, quick or full: attack what each role received (quick)")
    ] = None,
) -> None:
    """Train a split network, or GANs (privgan), on a table that installed packages ship, with every role as its own process."""
    from importlib.resources import files

    from coordinator.cli.overrides import with_protocol
    from coordinator.cli.training import train_here
    from coordinator.job_plan import parse_job_plan
    from coordinator.local.attacks import attack_options
    from kernel.errors import SettingsError

    plans = files("coordinator.local") / "plans"
    known = sorted(one.name.removesuffix(".toml") for one in plans.iterdir() if one.name.endswith(".toml"))
    if name not in known:
        raise SettingsError(f"there is no demo {name!r}; demos are {', '.join(known)}")
    text = (plans / f"{name}.toml").read_text(encoding="utf-8")
    text = with_protocol(text, protocol, f"the demo plan {name}")
    plan, options = parse_job_plan(text, f"the demo plan {name}"), attack_options(attacks, None, local=True)
    train_here(text, plan, "", runs, resume=False, baseline=True, attacks=options)
