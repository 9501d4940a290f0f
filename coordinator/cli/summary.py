"""The tables a run ends with."""

import json
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from coordinator.cli.gan_summary import print_gan_summary
from coordinator.cli.links_table import links_table
from coordinator.job_plan import GAN_JOBS
from coordinator.report.privacy.section import privacy_section
from coordinator.report.run_record import read_run


def print_summary(run_directory: Path, console: Console) -> None:
    """Scores, epoch seconds, bytes per link, what was found out, and where the report is."""
    metrics: dict[str, Any] = json.loads((run_directory / "metrics.json").read_bytes())
    if metrics["job"] in GAN_JOBS:
        print_gan_summary(run_directory, metrics, console)
    else:
        console.print(f"\n{metrics['run']}  ({metrics['protocol']})")
        console.print(_scores(metrics))
        console.print(links_table(metrics))
        if metrics.get("privacy", {}).get("attacks"):
            console.print(_leaks(run_directory))
    console.print(f"report: {run_directory / 'report.html'}", soft_wrap=True)


def _scores(metrics: dict[str, Any]) -> Table:
    plain = metrics.get("baseline", {}).get("scores", {})
    table = Table("", "split", "95 % interval", *(("plain", "gap") if plain else ()))
    for name, score in metrics.get("scores", {}).items():
        cells = [f"{score['value']:.4f}", f"{score['low']:.4f}–{score['high']:.4f}"]
        if name in plain:
            cells += [f"{plain[name]['value']:.4f}", f"{score['value'] - plain[name]['value']:+.5f}"]
        table.add_row(name, *cells)
    seconds = metrics["seconds"]["epoch"]
    if seconds:
        table.add_row("epoch seconds", f"{median(seconds):.3f}", f"{min(seconds):.3f}–{max(seconds):.3f}")
    for loop, label in (("keras_fit", "keras fit"), ("tf_function", "tf.function loop")):
        if plain and seconds:
            timing = metrics["baseline"]["seconds"][loop]
            table.add_row(f"  over {label}", f"× {metrics['ratio'][loop]:.2f}", "", f"{median(timing):.3f}", "")
    return table


def _leaks(run_directory: Path) -> Table:
    """What each role could find out, by its strongest reader; the report has the others, and the controls."""
    table = Table("who", "could find out", "verdict", "strongest reader")
    for finding in privacy_section(read_run(run_directory)).findings:
        table.add_row(finding.who, finding.what, finding.verdict.word, finding.reader)
    return table
