"""What the benchmarks over shaped links share: their settings, the plans they train, and figures of timed epochs.

The wire limit of an epoch is what the busiest access link carries, up and down together, over its rate: within a step in
one piece the directions follow one another (share up, h_L down, dL/dh_L up, dL/dz1 down) and never share the time. The
micro-batches of a step do overlap, and an epoch may then take less.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import tomli_w
from rich.console import Console

from coordinator.cli.overrides import with_protocol
from coordinator.cli.progress import follow
from coordinator.local.baseline import run_baseline
from coordinator.local.federation import LocalFederation, local_table
from coordinator.local.links.shaped_links import ShapedLinks
from coordinator.local.links.throughput import Throughput, measure_throughput
from coordinator.plan import Plan, parse_plan
from coordinator.run_store import Event, RunRecord
from coordinator.sweeps.bench_log import spread_of
from kernel.errors import SettingsError, TertiumError
from kernel.settings import parse_toml

Figures = dict[str, Any]
_GENERATED = re.compile(r"V[1-9]\d{0,3}")
DEFINITION = (
    "wire limit = bytes of the busiest party's access link in an epoch (up + down, as metered) / rate; "
    "the rate is that of each direction of a party's link; with micro-batches the directions work at the same time, so an epoch "
    "may be below it"
)


@dataclass(frozen=True)
class Line:
    """What one line of a plot is measured with."""

    protocol: str
    micro_batches: int

    @property
    def name(self) -> str:
        """For run ids and for people; a step in one piece is not worth a word."""
        return self.protocol if self.micro_batches == 1 else f"{self.protocol}-in-{self.micro_batches}"


@dataclass(frozen=True)
class LinkBench:
    """What is trained, and on what links.

    Args:
      what: names the plan in errors; micro_batches: pieces of a training step, each number measured; epochs: counted ones, one more is trained first and not counted.
      delay_ms: each way; runs: where run directories go.
      generated_rows: a made-up table of so many rows in place of the plan's own.
    """

    plan_text: str
    what: str
    protocols: tuple[str, ...]
    epochs: int
    shaping: str
    delay_ms: float
    runs: Path
    generated_rows: int | None = None
    micro_batches: tuple[int, ...] = (1,)

    @property
    def lines(self) -> tuple[Line, ...]:
        return tuple(Line(protocol, pieces) for protocol in self.protocols for pieces in self.micro_batches)

    @property
    def text(self) -> str:
        """The plan file, over made-up rows where these are asked for."""
        if self.generated_rows is None:
            return self.plan_text
        return generated_plan(self.plan_text, self.what, self.generated_rows)

    def plan(self, line: Line, text: str | None = None) -> tuple[str, Plan]:
        """The plan as it is trained: text and model.

        Raises:
          SettingsError: the plan, the protocol or the number of micro-batches is none.
        """
        document = parse_toml(text or self.text, self.what)
        own = document.get("first_layer", {})
        changed = (
            None if isinstance(own, dict) and own.get("protocol", "masked_sum") == line.protocol else line.protocol
        )
        document |= {"epochs": self.epochs + 1, "barrier_every_epochs": self.epochs + 1}
        document["micro_batches"] = line.micro_batches
        made = with_protocol(tomli_w.dumps(document), changed, self.what)
        return made, parse_plan(made, self.what)

    def check(self) -> Plan:
        """The plan of the first line, all of them having been looked at."""
        if not self.protocols or len(set(self.protocols)) != len(self.protocols):
            raise SettingsError("name each protocol once: --protocol masked_sum --protocol beaver")
        if not self.micro_batches or len(set(self.micro_batches)) != len(self.micro_batches):
            raise SettingsError("name each number of micro-batches once: --micro-batches 1 --micro-batches 3")
        if self.epochs < 1:
            raise SettingsError(f"{self.epochs} epochs were asked for; at least one must be counted")
        plans = [self.plan(line)[1] for line in self.lines]
        return plans[0]


def default_plan() -> str:
    """The paper's fraud experiment, as in deploy/plans/fraud.toml."""
    return (files("coordinator.sweeps") / "plans" / "fraud.toml").read_text(encoding="utf-8")


def sized_plan(plan_text: str, what: str, rows: int) -> str:
    """The plan over the first ``rows`` rows of every party's table: the one place that knows how a table is cut."""
    plan, document = parse_plan(plan_text, what), parse_toml(plan_text, what)
    tables = {table: local_table(plan, table) for table in {party.table for party in plan.parties}}
    document["local"] = {"tables": {table: {**section, "first_rows": rows} for table, section in tables.items()}}
    return tomli_w.dumps(document)


def generated_plan(plan_text: str, what: str, rows: int) -> str:
    """The plan over the made-up table, which has as many columns as the plan names: V1, V2, … and the label y.

    Raises:
      SettingsError: the plan names other columns; too few rows.
    """
    plan, document = parse_plan(plan_text, what), parse_toml(plan_text, what)
    if rows < 2:
        raise SettingsError(f"{rows} made-up rows were asked for; wanted 2 or more")
    names = [end for party in plan.parties for columns in party.columns for end in columns.split("..")]
    strange = [name for name in names if not _GENERATED.fullmatch(name)]
    strange += [party.label for party in plan.parties if party.label not in (None, "y")]
    if strange:
        raise SettingsError(
            f"{what} names the column {strange[0]!r}; the made-up table has V1, V2, … and the label y: use a plan with these"
        )
    size = {"rows": rows, "columns": max(int(name[1:]) for name in names)}
    tables = {party.table for party in plan.parties}
    document["local"] = {"tables": {table: {"source": "builtin:generated", "generate": size} for table in tables}}
    return tomli_w.dumps(document)


@dataclass(frozen=True)
class TimedEpochs:
    """A run's epochs, the first left out; ``parties`` in the plan's order."""

    parties: tuple[str, ...]
    seconds: tuple[float, ...]
    rows: int
    link_bytes: Mapping[str, int]
    """Sender>receiver, of one epoch."""
    set_up_bytes: Mapping[str, int]
    set_up_seconds: float
    """From the tables' being ready to the run's: compilation, dealing, and beaver's opening of X."""

    def busiest(self) -> tuple[str, int, int]:
        """(party, bytes up, bytes down) of the access link with the most in an epoch."""
        return max(
            ((party, *access(self.link_bytes, party)) for party in self.parties), key=lambda one: one[1] + one[2]
        )

    def figures(self, rate_mbps: float | None, achieved: Mapping[str, Throughput]) -> Figures:
        """For a record: seconds, bytes and wire limit at a nominal rate, beside what the links really let through."""
        party, up, down = self.busiest()
        set_up = access(self.set_up_bytes, party)
        found: Figures = {
            "rate_mbps": rate_mbps,
            "seconds": spread_of(self.seconds),
            "rows": self.rows,
            "link": {"party": party, "up_bytes": up, "down_bytes": down},
            "achieved_mbps": {name: {"up": one.up_mbps, "down": one.down_mbps} for name, one in achieved.items()},
            "set_up": {"seconds": self.set_up_seconds, "up_bytes": set_up[0], "down_bytes": set_up[1]},
        }
        if rate_mbps is not None:
            wire = (up + down) * 8 / (rate_mbps * 1e6)
            found |= {"wire_seconds": wire, "over_wire": spread_of([one / wire for one in self.seconds])}
        return found


def access(link_bytes: Mapping[str, int], party: str) -> tuple[int, int]:
    """(up, down): what a party sends to and receives from all others."""
    up = sum(count for link, count in link_bytes.items() if link.startswith(f"{party}>"))
    down = sum(count for link, count in link_bytes.items() if link.endswith(f">{party}"))
    return up, down


def time_epochs(federation: LocalFederation, text: str, run: str) -> TimedEpochs:
    """Train a plan once, and take its epochs' figures from the events.

    Raises:
      TertiumError: the run failed; the class carries the exit code.
    """
    plan, events = parse_plan(text), []
    _, first = federation.client.submit(text, run)

    def kept() -> Iterator[Event]:
        for event in federation.client.watch(run, first):
            events.append(event)
            yield event

    follow(kept(), plan.epochs, Console(quiet=True))
    return timed_epochs(events, tuple(party.name for party in plan.parties))


def timed_epochs(events: list[Event], parties: tuple[str, ...]) -> TimedEpochs:
    """From the events of a run that is done."""
    epochs = [event for event in events if event["event"] == "epoch"][1:]
    if not epochs:
        raise TertiumError("the run trained no epoch after the first; nothing can be counted")
    begun = next(event for event in events if event["event"] == "generation")
    prepared = [event for event in events if event["event"] == "prepared"][-1]
    forecast = next(event for event in events if event["event"] == "forecast")
    return TimedEpochs(
        parties,
        tuple(event["seconds"] for event in epochs),
        epochs[-1]["rows"],
        epochs[-1]["bytes"],
        forecast["set_up_bytes"],
        (datetime.fromisoformat(begun["time"]) - datetime.fromisoformat(prepared["time"])).total_seconds(),
    )


def set_links(links: ShapedLinks, parties: tuple[str, ...], rate_mbps: float | None) -> dict[str, Throughput]:
    """Give every link the rate, and measure what each lets through."""
    links.set_rate(rate_mbps)
    return {party: measure_throughput(links, party, rate_mbps) for party in parties}


def plain_seconds(federation: LocalFederation, run_directory: Path) -> Figures:
    """Both plain loops on the rows and batches of a run whose roles have stopped."""
    run_baseline(RunRecord.load(run_directory), federation)
    metrics = json.loads((run_directory / "metrics.json").read_bytes())
    return {loop: spread_of(seconds) for loop, seconds in metrics["baseline"]["seconds"].items()}
