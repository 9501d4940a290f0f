"""What `tertium plan` says of a plan of a split network."""

from collections.abc import Sequence

from rich.console import Console

from coordinator.cli.depth_table import print_depth_forecasts
from coordinator.cli.plan_privacy import privacy_lines
from coordinator.cli.plan_secret import secret_lines
from coordinator.cli.wire_limit import print_links, print_wire_limit
from coordinator.forecast import forecast
from coordinator.local.federation import local_table
from coordinator.local.tables import table_size
from coordinator.plan import Plan
from coordinator.sweeps.depth_variants import DepthVariant
from kernel.batch_order import split_rows
from kernel.errors import SettingsError
from kernel.plan_message import plan_hash


def print_split_plan(
    checked: Plan,
    rows: int | None,
    columns: Sequence[int] | None,
    console: Console,
    variants: Sequence[DepthVariant] = (),
) -> None:
    """Steps, what is on shares, bytes per link, and what its mitigations show and give.

    Args:
      rows: aligned, and columns: encoded ones per party; None: the tables are read here.
      variants: of the plan, each of which gets a line of its own forecast.

    Raises:
      SettingsError: other numbers than the plan's parties. RowsError: a table cannot be read here.
    """
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
    bits, fractional = checked.ring
    console.print(
        f"{checked.name}: {checked.first_layer.protocol}, ring of {bits} bits, f = {fractional}, plan hash {plan_hash(message).hex()[:16]}"
    )
    console.print(
        f"{train_rows} of {rows} rows to train, {sum(columns)} encoded columns, {checked.epochs} epochs of {-(-train_rows // checked.batch_rows)} steps"
    )
    for line in secret_lines(checked) + privacy_lines(checked):
        console.print(line, markup=False, soft_wrap=True)
    print_links(expected, "frozen", expected.frozen_epoch_bytes if expected.frozen_epochs else None, console)
    console.print(f"rounds an epoch (label holder waits): {expected.rounds}")
    print_wire_limit(expected, console)
    if variants:
        forecasts = [(variant.name, forecast(variant.plan.message(), train_rows, columns)) for variant in variants]
        print_depth_forecasts(forecasts, console)
