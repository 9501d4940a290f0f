"""`tertium bench defender` and `tertium bench frontier`: from options to records, tables and the page."""

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from coordinator.local.attacks import AttackOptions, attack_options
from coordinator.plan import parse_plan, read_plan_text
from coordinator.report.benchmarks.defender import curves_of, lost, own_interval
from coordinator.report.benchmarks.frontier import (
    LEAK_NAMES,
    UTILITY_NAMES,
    newest_sweep,
    outcomes,
    target_line,
    with_interval,
)
from coordinator.report.benchmarks.page import PLOT_DIRECTORY, write_page
from coordinator.report.benchmarks.targets import targets_for
from coordinator.report.quantities import DASH, gap
from coordinator.sweeps import defender, frontier
from coordinator.sweeps.axes import parse_weights
from coordinator.sweeps.bench_log import BenchLog, Record
from coordinator.sweeps.variants import read_variants, variants_of
from kernel.defender_plan import OBJECTIVES
from kernel.errors import SettingsError

_SHORT_NAMES = {
    "re_identification": "re-id",
    "r2_single": "R² one",
    "r2_stacked": "R² all",
    "label_auc": "label",
    "label_auc_server": "label srv",
    "peer_r2": "R² party",
}


def bench_defender(
    plan: Path | None,
    weights: str,
    seeds: Sequence[int],
    objective: str | None,
    attacks: AttackOptions,
    runs: Path,
    out: Path,
) -> None:
    """Every seed at every weight; prints the curve and writes the page.

    Raises:
      SettingsError: an objective that is none, or anything else that cannot be used.
    """
    if objective is not None and objective not in OBJECTIVES:
        raise SettingsError(f"--objective is {objective!r}; it is {' or '.join(OBJECTIVES)}")
    console, records = Console(), []
    plans = defender.defender_plans(plan, parse_weights(weights), seeds, objective)
    with console.status("…") as status:
        status.update(f"{len(plans)} runs …")
        for record in defender.run_defender(plans, attacks, runs, BenchLog(out), out / PLOT_DIRECTORY):
            records.append(record)
            status.update(f"{len(records)} of {len(plans)} runs …")
            console.print(f"[dim]λ = {record['weight']:g}, seed {record['seed']}: {_scored(record)}[/dim]")
    for name, curve in curves_of(records).items():
        table = Table(title=name, title_justify="left", box=SIMPLE, padding=(0, 1))
        for column in ("λ", "seeds", "mean (95 %)", "of one seed", "lost"):
            table.add_column(column, justify="right", no_wrap=True)
        for one in curve.values():
            table.add_row(
                one.name, str(len(one.seeds)), with_interval(one.utility, 4), own_interval(one.utility), lost(one)
            )
        console.print(table)
    _close(out, console)


def bench_frontier(
    plans: Sequence[Path] | None,
    variants: Path | None,
    only: Sequence[str],
    seeds: Sequence[int],
    effort: str,
    leaked_fraction: float,
    runs: Path,
    out: Path,
) -> None:
    """Every variant of every plan; prints a table a plan and writes the page, also of the runs before one that failed.

    Raises:
      SettingsError: attacks "none", or anything else that cannot be used.
    """
    options = attack_options(effort, leaked_fraction, local=True)
    if not options.wanted:
        raise SettingsError(
            "the frontier is of leakage over score, and without attacks there is none; say quick or full"
        )
    console, listed, log, records = Console(), read_variants(variants), BenchLog(out), []

    def note(sentence: str) -> None:
        console.print(sentence, soft_wrap=True, markup=False)

    cases = frontier.frontier_cases(plans or frontier.default_plans(note), listed, seeds, only)
    try:
        with console.status(f"{len(cases)} runs …") as status:
            for record in frontier.run_frontier(cases, options, runs, log, note):
                records.append(record)
                status.update(f"{len(records)} of {len(cases)} runs …")
                note(f"{record['plan']}, {record['variant']}, seed {record['seed']}: {_scored(record)}")
    finally:
        if records:
            for name in dict.fromkeys(record["plan"] for record in records):
                print_sweep([one for one in log.records(frontier.BENCH) if one["plan"] == name], console)
            _close(out, console)


def list_variants(plans: Sequence[Path] | None, variants: Path | None) -> None:
    """Every plan's variants, one a line in quotes, as --variant takes them.

    Raises:
      SettingsError: a plan or the file of variants cannot be used.
    """
    console, listed = Console(), read_variants(variants)
    for file in plans or frontier.packaged_plans():
        name = parse_plan(read_plan_text(file), str(file)).name
        console.print(f"{name}:", markup=False, highlight=False)
        for variant in variants_of(listed, name):
            console.print(f"  {variant.name!r}", markup=False, highlight=False, soft_wrap=True)


def print_sweep(records: Sequence[Record], console: Console) -> None:
    """One plan's newest sweep, with what was measured of it before."""
    found = outcomes(newest_sweep(records))
    leaks = list(_SHORT_NAMES)
    head = ["setting", UTILITY_NAMES[found[0].measure], "lost", *(_SHORT_NAMES[leak] for leak in leaks)]
    table = Table(title=str(records[-1]["plan"]), title_justify="left", box=SIMPLE, padding=(0, 1))
    for column in head:
        table.add_column(column, justify="left" if column == head[0] else "right", no_wrap=column != head[0])
    for one in found:
        table.add_row(
            one.name,
            f"{one.utility.mean:.4f}",
            DASH if one.lost is None else gap(one.lost.mean),
            *(f"{one.leaks[leak].mean:.3f}" if leak in one.leaks else DASH for leak in leaks),
        )
    console.print(table)
    for target in targets_for(found[0].measure):
        console.print(target_line(target, found).removeprefix("* ").replace("**", ""), soft_wrap=True, markup=False)


def _scored(record: Record) -> str:
    utility = record["utility"]
    leaks = [
        f"{LEAK_NAMES[name]} {leak['value']:.3f}"
        for name, leak in record.get("leakage", {}).items()
        if leak is not None and name != "r2"
    ]
    return ", ".join([f"{UTILITY_NAMES[utility['measure']]} {utility['value']:.4f}", *leaks])


def _close(out: Path, console: Console) -> None:
    console.print(f"recorded in {out}; page: {write_page(out)}", soft_wrap=True)
