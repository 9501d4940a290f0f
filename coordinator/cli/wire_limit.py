"""A forecast's bytes per link and how long an epoch's take, on the screen."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from coordinator.forecast import Forecast
from coordinator.gan_forecast import GanForecast
from coordinator.message_sizes import LinkForecast


def print_links(
    expected: Forecast | GanForecast, other: str, other_bytes: Mapping[str, int] | None, console: Console
) -> None:
    """A line for every link.

    Args:
      other: what epochs are called that cost ``other_bytes``; None: there are none.
    """
    extra = other_bytes is not None
    table = Table("link", "MB an epoch", *([f"MB a {other} epoch"] if extra else []), "MB set-up", "MB a run")
    for link in sorted(expected.epoch_bytes.keys() | expected.set_up_bytes.keys()):
        counts = [expected.epoch_bytes.get(link, 0), expected.set_up_bytes.get(link, 0), expected.run_bytes(link)]
        if other_bytes is not None:
            counts.insert(1, other_bytes.get(link, 0))
        table.add_row(link, *(f"{count / 1e6:.3f}" for count in counts))
    console.print(table)


def print_wire_limit(expected: LinkForecast, console: Console) -> None:
    """At usual bandwidths, on the busiest link."""
    limits = ", ".join(f"{rate} Mbit/s {expected.seconds(rate):.2f} s" for rate in (10, 100, 1000))
    console.print(f"wire limit of an epoch on the busiest link ({expected.busiest()[0]}): {limits}")
