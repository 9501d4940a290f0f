"""`benchmarks.md`: written by the benchmarks themselves, from the log of what they measured."""

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path

from coordinator.sweeps.bench_log import BenchLog, Record

SECTIONS = ("epoch", "bandwidth", "size", "depth", "truncation", "memory", "privgan", "parity", "defender", "frontier")
"""One module of this package each, with ``section``; in the page's order."""

PAGE_NAME, PLOT_DIRECTORY = "benchmarks.md", "benchmarks"

_HEAD = """# Benchmarks

Written by `tertium bench …` from `benchmarks.jsonl` beside it; do not edit. Every figure is a median with its lowest and
highest value; every ratio is to a baseline measured in the same run. Mutual TLS is on in every number.
"""

Section = Callable[[list[Record], Path], str]
"""(records of this benchmark, oldest first; where to put plots) -> Markdown, "" without records."""


def write_page(directory: Path, sections: Mapping[str, Section] | None = None) -> Path:
    """``benchmarks.md`` and ``benchmarks/*.png`` of everything ``directory``'s log holds; returns the page."""
    log, plots = BenchLog(directory), directory / PLOT_DIRECTORY
    parts = [_HEAD]
    for name, section in (sections or _sections()).items():
        records = log.records(name)
        if records:
            plots.mkdir(parents=True, exist_ok=True)
            parts.append(section(records, plots))
    page = directory / PAGE_NAME
    page.write_text("\n".join(part.strip("\n") + "\n" for part in parts if part), encoding="utf-8")
    return page


def environment_line(record: Record) -> str:
    """What a section's figures were measured on, one line."""
    machine = record["machine"]
    return (
        f"{record['time'][:10]}, {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        + ", ".join(f"{name} {version}" for name, version in sorted(record["versions"].items()))
    )


def markdown_table(head: list[str], rows: list[list[str]]) -> str:
    """A table; columns after the first are right-aligned."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _sections() -> dict[str, Section]:
    return {name: partial(_section, name) for name in SECTIONS}


def _section(name: str, records: list[Record], plots: Path) -> str:
    """A benchmark's module is loaded when there is something to show."""
    section: Section = import_module(f"coordinator.report.benchmarks.{name}").section
    return section(records, plots)
