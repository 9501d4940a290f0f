"""What `tertium bench depth` and `tertium plan --depths` show: a row for every depth of the cut."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Column, Table

from coordinator.forecast import Forecast
from coordinator.report.quantities import three_digits
from coordinator.sweeps.bench_log import Record, Spread


def print_depth(record: Record, console: Console) -> None:
    """A row for masked_sum and one for each depth and form of the gradient, the forecast beside what was measured."""
    shape, steps = record["shape"], record["steps"]
    table = Table(
        Column("variant", min_width=16),
        "s an epoch",
        "over masked_sum",
        "MB a step",
        "forecast",
        "rounds",
        "forecast",
        title=f"{record['plan']}: {shape['columns']}-{shape['widths']}, {shape['rows']:,} {record['rows_are']} rows, {steps} steps, "
        f"{shape['parties']} parties",
        title_justify="left",
    )
    for variant in record["variants"]:
        table.add_row(
            variant["name"],
            _two_lines(Spread(**variant["seconds"])),
            "" if variant["reference"] else _two_lines(Spread(**variant["over_reference"])),
            *(f"{variant['all_bytes'][key] / steps / 1e6:.3f}" for key in ("measured", "forecast")),
            *(f"{variant['rounds'][key] / steps:.4g}" for key in ("measured", "forecast")),
        )
    console.print(table)
    console.print("Bytes are those of all links, rounds those of a step; both as measured, and as forecast.")
    for name, sentence in record["stopped"].items():
        console.print(f"{name} stopped: {sentence}", markup=False)


def print_depth_forecasts(forecasts: Iterable[tuple[str, Forecast]], console: Console) -> None:
    """(name of a variant, its forecast): rounds, bytes and seconds that no epoch on such links can be below."""
    rates = (10, 100)
    table = Table(
        Column("variant", min_width=16),
        "rounds",
        "MB",
        "busiest MB",
        *(f"s at {rate}" for rate in rates),
        title="An epoch by layers on shares (i); seconds at so many Mbit/s",
        title_justify="left",
    )
    for name, expected in forecasts:
        table.add_row(
            name,
            f"{expected.rounds:,}",
            f"{sum(expected.epoch_bytes.values()) / 1e6:.3f}",
            f"{expected.busiest()[1] / 1e6:.3f}",
            *(three_digits(expected.seconds(rate)) for rate in rates),
        )
    console.print(table)
    console.print(
        "seconds are the wire limit of the busiest link; each round waits for the slowest link's delay besides"
    )


def _two_lines(spread: Spread) -> str:
    return f"{three_digits(spread.median)}\n{three_digits(spread.lowest)}–{three_digits(spread.highest)}"
