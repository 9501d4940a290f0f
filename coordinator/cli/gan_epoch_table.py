"""What `tertium bench privgan` prints."""

from rich.console import Console
from rich.table import Table

from coordinator.sweeps.bench_log import Record, Spread


def print_gan_epoch(record: Record, console: Console) -> None:
    """Seconds beside the original loop's, then bytes measured and forecast."""
    table = Table("epoch of", "seconds", "ratio to it")
    table.add_row(f"{record['case']}, {record['steps']} steps", str(Spread(**record["seconds"])), "")
    for loop, seconds in record["loop_seconds"].items():
        table.add_row(f"original loop, {loop}", str(Spread(**seconds)), str(Spread(**record["over_loop"][loop])))
    console.print(table)
    for link, forecast in record["forecast_bytes"].items():
        measured = record["epoch_bytes"].get(link, 0)
        console.print(f"{link}: {measured:,} bytes an epoch, forecast {forecast:,}", soft_wrap=True)
