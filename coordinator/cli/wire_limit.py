"""How long an epoch's bytes take, on the screen."""

from rich.console import Console

from coordinator.message_sizes import LinkForecast


def print_wire_limit(expected: LinkForecast, console: Console) -> None:
    """At usual bandwidths, on the busiest link."""
    limits = ", ".join(f"{rate} Mbit/s {expected.seconds(rate):.2f} s" for rate in (10, 100, 1000))
    console.print(f"wire limit of an epoch on the busiest link ({expected.busiest()[0]}): {limits}")
