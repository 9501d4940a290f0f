"""`tertium plan PLAN`."""

from pathlib import Path
from typing import Annotated

import typer


def plan(
    plan: Annotated[Path, typer.Argument(help="plan file (TOML)")],
    rows: Annotated[
        int | None, typer.Option(min=2, help="aligned rows, when the tables are not on this machine")
    ] = None,
    columns: Annotated[
        list[int] | None, typer.Option(help="encoded columns per party in the plan's order (repeat)")
    ] = None,
) -> None:
    """Validate a plan; forecast rounds, bytes per link, the wire limit at usual bandwidths, and what its mitigations show and give."""
    from rich.console import Console
    from rich.table import Table

    from coordinator.cli.plan_privacy import privacy_lines
    from coordinator.forecast import forecast
    from coordinator.local.federation import local_table
    from coordinator.local.tables import table_size
    from coordinator.plan import Plan
    from kernel.batch_order import split_rows
    from kernel.errors import SettingsError
    from kernel.plan_message import plan_hash
    from kernel.process import load_settings

    checked = load_settings(Plan, plan)
    if (rows is None) != (columns is None):
        raise SettingsError("say --rows and --columns together, or neither (then the tables are read here)")
    if rows is None or columns is None:
        sizes = [table_size(party.table, local_table(checked, party.table), party.columns) for party in checked.parties]
        if len({size[0] for size in sizes}) != 1:
            raise SettingsError(f"row counts differ: {[size[0] for size in sizes]}; align the tables first")
        rows, columns = sizes[0][0], [size[1] for size in sizes]
    if len(columns) != len(checked.parties):
        raise SettingsError(f"{len(checked.parties)} parties need as many --columns, there are {len(columns)}")
    message = checked.message()
    train_rows = len(split_rows(rows, checked.test_fraction, checked.seed).train)
    expected = forecast(message, train_rows, columns)
    console = Console()
    bits, fractional = checked.first_layer.ring
    console.print(
        f"{checked.name}: {checked.first_layer.protocol}, ring of {bits} bits, f = {fractional}, plan hash {plan_hash(message).hex()[:16]}"
    )
    console.print(
        f"{train_rows} of {rows} rows to train, {sum(columns)} encoded columns, {checked.epochs} epochs of {-(-train_rows // checked.batch_rows)} steps"
    )
    for line in privacy_lines(checked):
        console.print(line, markup=False, soft_wrap=True)
    frozen = expected.frozen_epochs > 0
    table = Table("link", "MB an epoch", *(["MB a frozen epoch"] if frozen else []), "MB set-up", "MB a run")
    for link in sorted(expected.epoch_bytes.keys() | expected.set_up_bytes.keys()):
        counts = [expected.epoch_bytes.get(link, 0), expected.set_up_bytes.get(link, 0), expected.run_bytes(link)]
        if frozen:
            counts.insert(1, expected.frozen_epoch_bytes.get(link, 0))
        table.add_row(link, *(f"{count / 1e6:.3f}" for count in counts))
    console.print(table)
    console.print(f"rounds an epoch (label holder waits): {expected.rounds}")
    limits = ", ".join(f"{rate} Mbit/s {expected.seconds(rate):.2f} s" for rate in (10, 100, 1000))
    console.print(f"wire limit of an epoch on the busiest link ({expected.busiest()[0]}): {limits}")
