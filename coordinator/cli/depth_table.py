"""What `tertium bench depth` shows of a record."""

from rich.console import Console
from rich.table import Column, Table

from coordinator.report.quantities import three_digits
from coordinator.sweeps.bench_log import Record, Spread


def print_depth(record: Record, console: Console) -> None:
    """A row for the plan as it is and one for each number of secret layers; what is measured and what is a model."""
    shape, server = record["shape"], record["server"]
    table = Table(
        Column("secret layers", no_wrap=True),
        "MB, busiest link",
        "MB, all links",
        "… masked once",
        "ring ms",
        "plain ms",
        title=f"{record['plan']}: {shape['columns']}-{shape['widths']}, {shape['rows']} rows a step, {shape['parties']} parties",
        title_justify="left",
    )
    table.add_row(
        f"{server['protocol']}, as is",
        f"{server['busiest_bytes'] / 1e6:.3f}",
        f"{server['all_bytes'] / 1e6:.3f}",
    )
    for depth in record["depths"]:
        table.add_row(
            f"{depth['secret_layers']}: {'beaver' if depth['kind'] == 'protocol' else 'cost model'}",
            f"{depth['busiest_bytes'] / 1e6:.3f}",
            f"{depth['all_bytes'] / 1e6:.3f}",
            f"{depth['least']['all_bytes'] / 1e6:.3f}",
            *(_two_lines(Spread(**depth[key])) for key in ("ring_ms", "plain_ms")),
        )
    console.print(table)
    console.print(
        "Bytes are of one step. The plan as it is and `beaver` are protocols that run; `cost model` is a protocol that is "
        "not built: its words are counted, its products timed."
    )


def _two_lines(spread: Spread) -> str:
    return f"{three_digits(spread.median)}\n{three_digits(spread.lowest)}–{three_digits(spread.highest)}"
