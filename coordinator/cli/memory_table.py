"""What `tertium bench memory` prints: one line a role and number of rows."""

from rich.console import Console
from rich.table import Table

from coordinator.report.quantities import count, duration
from coordinator.sweeps.bench_log import Record


def print_memory(record: Record, console: Console) -> None:
    """Peaks beside bounds, in MB (10^6 bytes), then seconds."""
    table = Table("role", "rows", "idle MB", "first epoch MB", "last epoch MB", "peak MB", "bound MB")
    for run in record["runs"]:
        for role, figures in run["roles"].items():
            sizes = [figures[key] for key in ("idle", "after_first_epoch", "after_last_epoch", "peak")]
            bound = f"{figures['bound'] / 1e6:,.0f}" if "bound" in figures else "–"
            table.add_row(role, count(run["rows"]), *(f"{size / 1e6:,.0f}" for size in sizes), bound)
    console.print(table)
    for run in record["runs"]:
        epochs = ", ".join(duration(seconds) for seconds in run["epoch_seconds"])
        spent = max(sum(seconds) for seconds in run["rows_seconds"].values()) / sum(run["epoch_seconds"])
        console.print(f"{count(run['rows'])} rows: {epochs} an epoch, {spent:.0%} of it getting rows from disk")
    console.print("every party stayed within its bound" if record["within_bound"] else "a party broke its bound")
