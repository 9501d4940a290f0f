"""`tertium sweep PLAN`."""

from pathlib import Path
from typing import Annotated

import typer


def sweep(
    plan: Annotated[Path, typer.Argument(help="sweep file (TOML), as deploy/plans/privgan-sweep.toml")],
    size: Annotated[
        str | None, typer.Option(help="one of the file's [sizes]: smoke, half, paper (default: the file as it is)")
    ] = None,
    runs: Annotated[Path, typer.Option(help="where run directories are")] = Path("runs"),
    out: Annotated[Path | None, typer.Option(help="where sweep.jsonl and the page are (sweeps/NAME-SIZE)")] = None,
    listed: Annotated[
        bool, typer.Option("--list", help="print the tasks and what they cost, and train nothing")
    ] = False,
    only: Annotated[list[str] | None, typer.Option(help="fractions, grid, weights or skews (repeat)")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="seeds 1 to N instead of the file's")] = None,
    seed: Annotated[list[int] | None, typer.Option(min=0, help="this seed instead (repeat)")] = None,
    report_only: Annotated[bool, typer.Option("--report-only", help="write the page of what was trained")] = False,
) -> None:
    """Train a GAN experiment over its axes, one task after the other, and draw its figures; go on where it was stopped."""
    from rich.console import Console

    from coordinator.report.quantities import duration
    from coordinator.report.sweeps.gan_page import write_page
    from coordinator.sweeps.gan_sweep import SWEEP, done_keys, expected_seconds, run_sweep, sweep_log
    from coordinator.sweeps.gan_sweep_file import read_sweep
    from coordinator.sweeps.gan_tasks import gan_tasks

    console = Console(soft_wrap=True)
    described = read_sweep(plan, size)
    out = out or Path("sweeps") / f"{described.name}-{size or 'file'}"
    if report_only:
        console.print(f"page: {write_page(out)}", markup=False)
        return
    tasks, records = gan_tasks(described, only or (), seed or range(1, (seeds or 0) + 1)), sweep_log(out).records(SWEEP)
    done = done_keys(records)
    left = sum(expected_seconds(task, records) for task in tasks if task.key not in done)
    console.print(
        f"{described.name}, size {described.size}: {len(tasks)} tasks, {len({task.key for task in tasks} & done)} done; "
        f"about {duration(left)} left",
        markup=False,
    )
    if listed:
        for number, task in enumerate(tasks, 1):
            cost = "done" if task.key in done else f"about {duration(expected_seconds(task, records))}"
            console.print(f"{number:3} {task.setting}: {cost}, {task.multiplications:.1e} multiply-adds", markup=False)
        return
    for one in run_sweep(described, tasks, runs, out):
        outcome = f"failed: {one.failed}" if one.failed else duration(one.seconds)
        console.print(f"{one.number} of {one.tasks}, {one.task.setting}: {outcome}", markup=False)
        if not one.failed:
            write_page(out)
    console.print(f"recorded in {out}; page: {write_page(out)}", markup=False)
