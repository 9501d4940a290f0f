"""`tertium bench …`."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Scripted, repeatable measurements; results are appended as JSON lines.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps each benchmark a sub-command."""


@app.command()
def parity(
    plan: Annotated[list[Path], typer.Argument(help="plan file(s)")],
    seeds: Annotated[int, typer.Option(min=1, help="seeds 1 to N")] = 5,
    protocol: Annotated[list[str] | None, typer.Option(help="masked_sum, beaver; default both")] = None,
    runs: Annotated[Path, typer.Option(help="where run directories are")] = Path("runs"),
    results: Annotated[Path, typer.Option(help="JSON lines")] = Path("parity.jsonl"),
) -> None:
    """Scores of the split and the plain network, same initialisation and batches, over seeds and protocols."""
    from rich.console import Console
    from rich.table import Table

    from coordinator.sweeps.parity import run_parity

    table = Table("plan", "protocol", "seed", "score", "split", "plain", "gap")
    for result in run_parity(plan, protocol or ["masked_sum", "beaver"], range(1, seeds + 1), runs, results):
        table.add_row(
            result.plan,
            result.protocol,
            str(result.seed),
            result.score,
            f"{result.split:.5f}",
            f"{result.plain:.5f}",
            f"{result.gap:+.6f}",
        )
    Console().print(table)


@app.command()
def memory(
    rows: Annotated[int, typer.Option(help="of the made-up table")] = 5_000_000,
    columns: Annotated[int, typer.Option(help="of the made-up table, split between two parties")] = 28,
    epochs: Annotated[int, typer.Option(help="passes over the training rows")] = 2,
    batch_rows: Annotated[int, typer.Option(help="rows of a mini-batch")] = 5000,
    out: Annotated[Path, typer.Option(help="where benchmarks.jsonl and benchmarks.md go")] = Path(),
) -> None:
    """Resident memory of every role with rows on disk, at a tenth of the rows and at all, against the stated bound."""
    from rich.console import Console

    from coordinator.cli.memory_table import print_memory
    from coordinator.report.benchmarks.page import write_page
    from coordinator.sweeps.bench_log import BenchLog
    from coordinator.sweeps.memory import MemoryCase, measure_memory

    console = Console()
    figures, plan = measure_memory(MemoryCase(rows, columns, epochs, batch_rows), console)
    print_memory(BenchLog(out).append("memory", figures, plan), console)
    console.print(f"page: {write_page(out)}", soft_wrap=True)
