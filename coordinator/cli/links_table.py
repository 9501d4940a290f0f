"""Bytes per link of a run, on the screen."""

from typing import Any

from rich.table import Table


def links_table(metrics: dict[str, Any]) -> Table:
    """From metrics.json; an epoch is the last."""
    epoch: dict[str, int] = metrics.get("epoch_bytes", {})
    table = Table("link", "MB an epoch", "MB in all", "of which sealed between parties")
    sealed: dict[str, int] = metrics.get("relayed_bytes", {})
    for link, total in metrics["bytes"].items():
        sender, receiver = link.split(">")
        inside = sum(
            size
            for relayed, size in sealed.items()
            if relayed.startswith(f"{sender}>") and receiver == "neutral-server"
        )
        table.add_row(
            link,
            f"{epoch.get(link, 0) / 1e6:.3f}",
            f"{total / 1e6:.3f}",
            f"{inside / 1e6:.3f}" if inside else "",
        )
    return table
