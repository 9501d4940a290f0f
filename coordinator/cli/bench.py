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
def epoch(
    plan: Annotated[list[Path] | None, typer.Argument(help="plan file(s)")] = None,
    epochs: Annotated[int, typer.Option(min=3, help="epochs a run; the first two are not counted")] = 12,
    repeats: Annotated[int, typer.Option(min=1, help="how often every case is run, in turn")] = 3,
    parties: Annotated[list[int] | None, typer.Option(min=2, help="party counts; default 2 and 3")] = None,
    runs: Annotated[Path, typer.Option(help="where run directories are")] = Path("runs"),
    out: Annotated[Path, typer.Option(help="directory of benchmarks.jsonl and benchmarks.md")] = Path(),
) -> None:
    """An epoch of the split network over `keras fit` and over a `tf.function` loop, per protocol and party count."""
    from rich.console import Console
    from rich.table import Table

    from coordinator.report.benchmarks.page import write_page
    from coordinator.sweeps.bench_log import BenchLog
    from coordinator.sweeps.epoch import VARIANTS, EpochCase, run_epochs

    console, log = Console(), BenchLog(out)
    cases = [
        EpochCase(file, variant, count)
        for file in plan or []
        for count in parties or [2, 3]
        for variant in VARIANTS
        if count == 2 or (variant.ring_bits is None and variant.cut_dtype == "float32")
    ]
    table = Table("case", "split ms", "keras fit ms", "tf.function ms", "over fit", "over tf.function", "MB", "AUC gap")
    with console.status("…") as status:
        for case, figures in run_epochs(
            cases,
            epochs,
            repeats,
            runs,
            lambda case, repetition: status.update(f"{case}: {repetition + 1} of {repeats}"),
        ):
            record = log.append("epoch", figures.record(case, epochs), case.plan(epochs)[1])
            in_ms = (record[key]["median"] * 1e3 for key in ("seconds", "keras_fit_seconds", "tf_function_seconds"))
            ratios = (record[key] for key in ("over_keras_fit", "over_tf_function"))
            table.add_row(
                str(case),
                *(f"{value:.1f}" for value in in_ms),
                *(f"{one['median']:.2f} ({one['lowest']:.2f}-{one['highest']:.2f})" for one in ratios),
                f"{record['epoch_megabytes']:.2f}",
                f"{record['largest_score_gap']:+.6f}",
            )
    console.print(table)
    console.print(f"written: {write_page(out)}")


_PLAN = Annotated[Path | None, typer.Argument(help="plan file; default: the fraud experiment (needs its table)")]
_PROTOCOLS = Annotated[list[str] | None, typer.Option("--protocol", help="masked_sum, beaver; default both")]
_EPOCHS = Annotated[int, typer.Option(min=1, help="epochs that count; one more is trained first")]
_SHAPING = Annotated[str, typer.Option(help="auto, namespaces (root, iproute2), relay (TCP, in this process)")]
_DELAY = Annotated[float, typer.Option(help="milliseconds added each way; the relay has it, namespaces need netem")]
_RUNS = Annotated[Path | None, typer.Option(help="keep run directories here; default: they go with the command")]
_OUT = Annotated[Path, typer.Option(help="directory of benchmarks.jsonl and benchmarks.md")]


@app.command()
def bandwidth(
    plan: _PLAN = None,
    rates: Annotated[str, typer.Option(help="Mbit/s of a party's link, each direction; none: no limit")] = (
        "10,50,100,200,500,1000,none"
    ),
    protocol: _PROTOCOLS = None,
    epochs: _EPOCHS = 3,
    shaping: _SHAPING = "auto",
    delay_ms: _DELAY = 0.0,
    runs: _RUNS = None,
    out: _OUT = Path(),
) -> None:
    """Seconds of an epoch over the rate of the parties' links, beside the limit of the wire (P2N2, Fig. 5)."""
    from coordinator.cli.link_benches import bench_bandwidth

    options = {"protocols": protocol, "epochs": epochs, "shaping": shaping, "delay_ms": delay_ms}
    bench_bandwidth(plan, rates, runs, out, **options)


@app.command()
def size(
    plan: _PLAN = None,
    fractions: Annotated[str, typer.Option(help="shares of the rows, three or more")] = (
        "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1.0"
    ),
    rate: Annotated[str, typer.Option(help="Mbit/s of a party's link, each direction; none: no limit")] = "100",
    rows: Annotated[int | None, typer.Option(help="rows of the whole; default: all of the tables'")] = None,
    protocol: _PROTOCOLS = None,
    epochs: _EPOCHS = 3,
    shaping: _SHAPING = "auto",
    delay_ms: _DELAY = 0.0,
    runs: _RUNS = None,
    out: _OUT = Path(),
) -> None:
    """Seconds of an epoch over the number of rows at one rate, and the line through them (P2N2, Fig. 6)."""
    from coordinator.cli.link_benches import bench_size

    options = {"protocols": protocol, "epochs": epochs, "shaping": shaping, "delay_ms": delay_ms}
    bench_size(plan, fractions, rate, rows, runs, out, **options)
