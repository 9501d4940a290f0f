"""The tables a GAN run ends with."""

from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from coordinator.cli.links_table import links_table
from coordinator.report.gan.gan_record import gan_record
from coordinator.report.gan.words import by_words, source_words
from coordinator.report.run_record import read_run


def print_gan_summary(run_directory: Path, metrics: dict[str, Any], console: Console) -> None:
    """Accuracy by what a classifier learned from, membership attacks beside chance, bytes, and how rows are sampled."""
    shared = "" if metrics["protocol"] == "none" else f", sharing {metrics['protocol']}"
    console.print(f"\n{metrics['run']}  ({metrics['job']}{shared})")
    console.print(_accuracy(metrics))
    found = gan_record(read_run(run_directory))
    if found.membership:
        table = Table("membership attack by", "on rows of", "accuracy", "chance")
        for pool in found.pooled:
            table.add_row(by_words(pool.by), pool.party, f"{pool.accuracy.value:.3f}", f"{pool.chance:.3f}")
        console.print(table)
    console.print(links_table(metrics))
    console.print("synthetic rows have no differential privacy", soft_wrap=True)
    if found.parties:
        kept = "" if run_directory.parent == Path("runs") else f" --runs {run_directory.parent}"
        where = f"--local{kept}" if (run_directory / "roles").is_dir() else "--coordinator HOST:PORT"
        command = f"tertium sample {metrics['run']} --party {found.parties[0]} --rows 20 --out rows.png {where}"
        console.print(f"sample: {command}", markup=False, soft_wrap=True)


def _accuracy(metrics: dict[str, Any]) -> Table:
    table = Table("a classifier learned from", "accuracy", "95 % interval", "held-out rows")
    for name, score in metrics.get("scores", {}).items():
        interval = f"{score['low']:.4f}–{score['high']:.4f}"
        table.add_row(source_words(name.removeprefix("accuracy.")), f"{score['value']:.4f}", interval, str(score["n"]))
    seconds = metrics["seconds"]["epoch"]
    if seconds:
        table.add_row("epoch seconds", f"{median(seconds):.3f}", f"{min(seconds):.3f}–{max(seconds):.3f}", "")
    return table
