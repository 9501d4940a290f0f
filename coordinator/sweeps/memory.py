"""Memory over rows: a made-up table in Parquet, every role a process, a tenth of the rows and all of them.

Claim: a party that keeps its rows on disk stays within

    idle daemon + fixed_bytes + bytes_per_row * rows

(``disk_memory``, said by the party package: whatever the number of columns), and the neutral server's memory depends on
neither rows nor epochs.
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from rich.console import Console

from coordinator.cli.progress import follow
from coordinator.local.federation import LocalFederation
from coordinator.local.tables import disk_memory, write_table
from coordinator.plan import Plan, parse_plan
from coordinator.run_store import Event
from coordinator.sweeps.resident_memory import MemoryWatch, Resident, check_proc
from kernel.errors import BadInputError

Figures = dict[str, Any]

FEWEST_ROWS, FEWEST_COLUMNS = 200, 2
SERVER, COORDINATOR, LABEL_HOLDER, FEATURE_HOLDER = "neutral-server", "coordinator", "party-a", "party-b"
_TENTH = 10
_POINTS = 200
_SEED = 1


@dataclass(frozen=True)
class MemoryCase:
    """What is trained.

    Attributes:
      rows, columns: of the whole table, columns split between two parties; epochs, batch_rows: of the plan.

    Raises:
      BadInputError: too few of something.
    """

    rows: int
    columns: int
    epochs: int = 2
    batch_rows: int = 5000

    def __post_init__(self) -> None:
        for value, least, what in (
            (self.rows, FEWEST_ROWS, "rows"),
            (self.columns, FEWEST_COLUMNS, "columns"),
            (self.epochs, 1, "epochs"),
            (self.batch_rows, 1, "rows a batch"),
        ):
            if value < least:
                raise BadInputError(f"{value} {what} were asked for; {least} or more are needed")

    def widths(self) -> dict[str, int]:
        """Columns by party; the label holder has the first half."""
        return {LABEL_HOLDER: -(-self.columns // 2), FEATURE_HOLDER: self.columns // 2}

    def patterns(self) -> dict[str, str]:
        """Columns by party, as a plan names them."""
        half = self.widths()[LABEL_HOLDER]
        return {LABEL_HOLDER: f"V1..V{half}", FEATURE_HOLDER: f"V{half + 1}..V{self.columns}"}


def memory_plan(case: MemoryCase, tables: dict[str, dict[str, Any]]) -> str:
    """The plan file: network [8, 8], masked_sum, rows on disk; ``tables`` by party, as ``write_table`` gave them."""
    patterns = case.patterns()
    return tomli_w.dumps(
        {
            "name": "memory",
            "seed": _SEED,
            "epochs": case.epochs,
            "batch_rows": case.batch_rows,
            "network": {"widths": [8, 8], "activations": ["sigmoid", "sigmoid"]},
            "optimizer": {"name": "adam", "learning_rate": 0.01},
            "parties": [
                {"name": LABEL_HOLDER, "table": LABEL_HOLDER, "columns": [patterns[LABEL_HOLDER]], "label": "y"},
                {"name": FEATURE_HOLDER, "table": FEATURE_HOLDER, "columns": [patterns[FEATURE_HOLDER]]},
            ],
            "local": {"tables": {name: {**section, "storage": "disk"} for name, section in tables.items()}},
        }
    )


def measure_memory(case: MemoryCase, console: Console) -> tuple[Figures, Plan]:
    """Figures for `BenchLog`, and the plan of all rows. Files lie in a temporary directory that is gone at the end.

    Raises:
      BadInputError: this system does not show memory of processes; TertiumError: a run failed.
    """
    check_proc()
    runs: list[Figures] = []
    with tempfile.TemporaryDirectory(prefix="tertium-memory-") as name:
        directory = Path(name)
        with console.status(f"writing {case.rows:,} rows of {case.columns} columns as Parquet …"):
            tables = _write(case, directory)
        size = sum(file.stat().st_size for file in directory.glob("*.parquet"))
        for rows in (case.rows // _TENTH, case.rows):
            console.print(f"{rows:,} rows, {case.epochs} epochs, rows on disk, roles on loopback")
            text = memory_plan(case, {party: {**section, "first_rows": rows} for party, section in tables.items()})
            plan = parse_plan(text)
            runs.append(_measure_run(case, plan, text, rows, directory / "runs" / f"rows-{rows}", console))
    few, many = (run["roles"] for run in runs)
    return {
        "rows": case.rows,
        "columns": case.columns,
        "epochs": case.epochs,
        "batch_rows": case.batch_rows,
        "test_fraction": plan.test_fraction,
        "parquet_bytes": size,
        "runs": runs,
        "within_bound": all(roles[party]["peak"] <= roles[party]["bound"] for roles in (few, many) for party in tables),
        "server_growth_bytes": {
            "with_rows": many[SERVER]["peak"] - few[SERVER]["peak"],
            "with_epochs": many[SERVER]["after_last_epoch"] - many[SERVER]["after_first_epoch"],
        },
    }, plan


def _write(case: MemoryCase, directory: Path) -> dict[str, dict[str, Any]]:
    source = {"source": "builtin:generated", "generate": {"rows": case.rows, "columns": case.columns, "seed": _SEED}}
    patterns = case.patterns()
    wanted = {LABEL_HOLDER: [patterns[LABEL_HOLDER], "y"], FEATURE_HOLDER: [patterns[FEATURE_HOLDER]]}
    return {party: write_table(source, columns, directory / f"{party}.parquet") for party, columns in wanted.items()}


def _measure_run(case: MemoryCase, plan: Plan, text: str, rows: int, run_directory: Path, console: Console) -> Figures:
    roles = (COORDINATOR, SERVER, LABEL_HOLDER, FEATURE_HOLDER)
    with (
        LocalFederation(run_directory, plan) as federation,
        MemoryWatch({role: federation.process_id(role) for role in roles}) as watch,
    ):
        idle = watch.now()
        _, first = federation.client.submit(text, run_directory.name)
        seen = _Seen(watch)
        follow(seen.note(federation.client.watch(run_directory.name, first)), case.epochs, console)
        end = watch.now()
        figures: dict[str, Figures] = {
            role: {
                "idle": idle[role].now,
                "after_first_epoch": seen.after_epochs[0][role].now,
                "after_last_epoch": seen.after_epochs[-1][role].now,
                # the kernel's peak lags behind by some pages
                "peak": max(end[role].peak, *(size for _, size in watch.series(role, _POINTS))),
                "series": watch.series(role, _POINTS),
            }
            for role in roles
        }
    for party, width in case.widths().items():
        bound = disk_memory(width, case.batch_rows, plan.test_fraction, holds_label=party == LABEL_HOLDER)
        most = idle[party].now + bound["fixed_bytes"] + bound["bytes_per_row"] * rows
        figures[party] |= {**bound, "bound": round(most)}
    return {
        "rows": rows,
        "epoch_seconds": [event["seconds"] for event in seen.epochs],
        "rows_seconds": {party: [event["phases"][party]["rows"] for event in seen.epochs] for party in case.widths()},
        "auc": seen.scores["auc"]["value"],
        "marks": seen.marks,
        "roles": figures,
    }


class _Seen:
    """What a run's events said, and how much memory the roles had at each epoch's end."""

    def __init__(self, watch: MemoryWatch) -> None:
        self._watch = watch
        self.marks: list[tuple[str, float]] = []
        self.epochs: list[Event] = []
        self.after_epochs: list[dict[str, Resident]] = []
        self.scores: dict[str, Any] = {}

    def note(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            if event["event"] in ("generation", "epoch", "evaluated"):
                self.marks.append((event["event"], self._watch.seconds))
            if event["event"] == "epoch":
                self.epochs.append(event)
                self.after_epochs.append(self._watch.now())
            if event["event"] == "evaluated":
                self.scores = event["scores"]
            yield event
