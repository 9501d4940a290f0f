"""The table a run ends with."""

import json
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table


def print_summary(run_directory: Path, console: Console) -> None:
    """Scores split and plain, epoch seconds, bytes per link, and where the report is."""
    metrics: dict[str, Any] = json.loads((run_directory / "metrics.json").read_bytes())
    plain = metrics.get("baseline", {}).get("scores", {})
    table = Table(title=f"{metrics['run']} · {metrics['protocol']}", title_justify="left")
    table.add_column("")
    table.add_column("split network", justify="right")
    if plain:
        table.add_column("plain network", justify="right")
        table.add_column("gap", justify="right")
    for name, score in metrics.get("scores", {}).items():
        cells = [f"{score['value']:.4f} [{score['low']:.4f}, {score['high']:.4f}]"]
        if name in plain:
            cells += [f"{plain[name]['value']:.4f}", f"{score['value'] - plain[name]['value']:+.5f}"]
        table.add_row(name, *cells)
    seconds = metrics["seconds"]["epoch"]
    if seconds:
        row = [f"{median(seconds):.3f}"]
        if plain:
            timing = metrics["baseline"]["seconds"]
            row += [
                f"keras fit {median(timing['keras_fit']):.3f}, tf.function {median(timing['tf_function']):.3f}",
                f"× {metrics['ratio']['keras_fit']:.2f}, × {metrics['ratio']['tf_function']:.2f}",
            ]
        table.add_row("epoch seconds (median)", *row)
    epoch_bytes: dict[str, int] = metrics.get("epoch_bytes", {})
    table.add_section()
    for link, total in metrics["bytes"].items():
        table.add_row(f"MB {link}", f"{total / 1e6:.3f} ({epoch_bytes.get(link, 0) / 1e6:.3f} an epoch)")
    for link, total in metrics.get("relayed_bytes", {}).items():
        table.add_row(f"  of which sealed {link}", f"{total / 1e6:.3f}")
    table.add_row("rounds", str(metrics["rounds"]))
    console.print(table)
    console.print(f"report: {run_directory / 'report.html'}")
