"""`tertium bench bandwidth` and `tertium bench size`: from options to a table, a record and the page."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from coordinator.plan import read_plan_text
from coordinator.report.benchmarks.page import write_page
from coordinator.sweeps.axes import parse_fractions, parse_rate, parse_rates, rate_name
from coordinator.sweeps.bandwidth import run_bandwidth
from coordinator.sweeps.bench_log import BenchLog, Record, Spread
from coordinator.sweeps.link_bench import DEFINITION, LinkBench, default_plan
from coordinator.sweeps.size import run_size

PROTOCOLS = ("masked_sum", "beaver")
MICRO_BATCHES = (1, 3)


def bench_bandwidth(plan: Path | None, rates: str, runs: Path | None, out: Path, **options: Any) -> None:
    """Measure, print, record; ``options`` are those of `LinkBench`."""
    console, wanted = Console(), parse_rates(rates)
    with _bench(plan, runs, **options) as bench:
        records = run_bandwidth(bench, wanted, BenchLog(out), _note(console))
    for record in records:
        print_bandwidth(record, console)
    _close(out, console)


def bench_size(
    plan: Path | None, fractions: str, rate: str, rows: int | None, runs: Path | None, out: Path, **options: Any
) -> None:
    """Measure, print, record; ``options`` are those of `LinkBench`."""
    console, wanted, rate_mbps = Console(), parse_fractions(fractions), parse_rate(rate)
    with _bench(plan, runs, **options) as bench:
        records = run_size(bench, wanted, rate_mbps, rows, BenchLog(out), _note(console))
    for record in records:
        print_size(record, console)
    _close(out, console)


def print_bandwidth(record: Record, console: Console) -> None:
    """One line a rate."""
    table = _table(f"{_line(record)}: an epoch over the rate of a party's link", "Mbit/s")
    for point in record["points"]:
        table.add_row(rate_name(point["rate_mbps"]), *_cells(point))
    console.print(table)
    for point in record["points"]:
        console.print(f"set-up at {rate_name(point['rate_mbps'])}: {_set_up(point)}", soft_wrap=True)
    _print_end(record, console)


def print_size(record: Record, console: Console) -> None:
    """One line a size, and the fit."""
    title = f"{_line(record)}: an epoch over its rows, links of {rate_name(record['rate_mbps'])} Mbit/s"
    table, fit = _table(title, "rows"), record["fit"]
    for point in record["points"]:
        table.add_row(f"{point['rows']}", *_cells(point))
    console.print(table)
    console.print(
        f"seconds = {fit['intercept_seconds']:.4f} + {fit['slope_us_per_row']:.4f} µs × rows, R² = {fit['r_squared']:.5f}"
    )
    _print_end(record, console)


def _line(record: Record) -> str:
    pieces = record["micro_batches"]
    return f"{record['protocol']}{'' if pieces == 1 else f' in {pieces} micro-batches'}"


def _table(title: str, axis: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1))
    for head in (axis, "seconds", "low–high", "limit s", "× limit", "MB up+down", "achieved"):
        table.add_column(head, justify="right", no_wrap=True)
    return table


def _cells(point: dict[str, Any]) -> list[str]:
    link, limited = point["link"], point["rate_mbps"] is not None
    seconds, achieved = point["seconds"], [one for ways in point["achieved_mbps"].values() for one in ways.values()]
    return [
        f"{seconds['median']:.3f}",
        f"{seconds['lowest']:.3f}–{seconds['highest']:.3f}",
        f"{point['wire_seconds']:.3f}" if limited else "",
        f"{point['over_wire']['median']:.3f}" if limited else "",
        f"{link['up_bytes'] / 1e6:.2f}+{link['down_bytes'] / 1e6:.2f}",
        f"{min(achieved):.1f}",
    ]


def _set_up(point: dict[str, Any]) -> str:
    set_up, rate = point["set_up"], point["rate_mbps"]
    said = f"{set_up['seconds']:.2f} s, {set_up['up_bytes'] / 1e6:.2f} MB up and {set_up['down_bytes'] / 1e6:.2f} down"
    if rate is None or not set_up["up_bytes"]:
        return said
    # X is opened both ways at once: unlike a step's messages, these do share the time
    return f"{said}, which take {max(set_up['up_bytes'], set_up['down_bytes']) * 8 / rate / 1e6:.2f} s on the wire"


def _print_end(record: Record, console: Console) -> None:
    party = record["points"][-1]["link"]["party"]
    console.print(f"busiest link: {party}; {DEFINITION}", soft_wrap=True)
    console.print(
        "seconds: median of the epochs after the first, low–high: of all of these; achieved: Mbit/s of a plain TCP transfer, "
        f"slowest link and direction; set-up (compiling, dealing, beaver's opening of X): once a run, not in the seconds; "
        f"links shaped by {record['shaping']}, {record['delay_ms']:g} ms delay each way",
        soft_wrap=True,
    )
    for loop, seconds in record["baseline"]["seconds"].items():
        ratio = record.get("ratio", {}).get(loop)
        beside = "" if ratio is None else f"; without a limit the split network takes × {ratio:.2f}"
        console.print(f"plain network, {loop}: {Spread(**seconds)} s{beside}", soft_wrap=True)


@contextmanager
def _bench(
    plan: Path | None,
    runs: Path | None,
    *,
    protocols: list[str] | None,
    micro_batches: list[int] | None,
    **options: Any,
) -> Iterator[LinkBench]:
    """The settings, and a place for run directories that goes with the command unless one was named."""
    if plan is None:
        text, what = default_plan(), "the plan of the fraud experiment"
    else:
        text, what = read_plan_text(plan), str(plan)
    options |= {"micro_batches": tuple(micro_batches or MICRO_BATCHES)}
    with TemporaryDirectory(prefix="tertium-bench-") as scratch:
        yield LinkBench(text, what, tuple(protocols or PROTOCOLS), runs=runs or Path(scratch), **options)


def _note(console: Console) -> Any:
    return lambda sentence: console.print(f"[dim]{sentence} …[/dim]", soft_wrap=True)


def _close(out: Path, console: Console) -> None:
    console.print(f"recorded in {out}; page: {write_page(out)}", soft_wrap=True)
