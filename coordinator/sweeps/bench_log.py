"""What benchmarks measured, one JSON line a record, appended: plan, versions and machine stand beside every figure."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from coordinator.job_plan import JobPlan
from coordinator.metrics_file import versions
from kernel.durable import append_durably, write_durably
from kernel.errors import BadInputError
from kernel.plan_message import plan_hash

Record = dict[str, Any]
LOG_NAME = "benchmarks.jsonl"


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles and extremes; ``n`` values."""

    median: float
    low_quartile: float
    high_quartile: float
    lowest: float
    highest: float
    n: int

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.lowest:.3g}–{self.highest:.3g})"


def spread_of(values: Sequence[float]) -> Spread:
    """The spread of one value or more.

    Raises:
      BadInputError: none.
    """
    if not values:
        raise BadInputError("no value was measured; a spread needs one at least")
    low, _, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else (values[0],) * 3
    return Spread(median(values), low, high, min(values), max(values), len(values))


class BenchLog:
    """``<directory>/benchmarks.jsonl``, or a file of another name."""

    def __init__(self, directory: Path, name: str = LOG_NAME) -> None:
        self._file = directory / name

    def mend(self) -> None:
        """Remove a last line that kill -9 left torn, so that the next record has a line of its own."""
        data = self._file.read_bytes() if self._file.exists() else b""
        if data and not data.endswith(b"\n"):
            write_durably(self._file, data[: data.rfind(b"\n") + 1])

    def append(self, bench: str, figures: Mapping[str, Any], plan: JobPlan | None = None) -> Record:
        """Note one record, durably; `Spread` values are written out.

        Args:
          bench: the benchmark's name, as on the command line; figures: what it measured, plain JSON and `Spread`.
        """
        record = {
            "bench": bench,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            **({} if plan is None else {"plan": plan.name, "plan_hash": plan_hash(plan.message()).hex()}),
            **json.loads(json.dumps(figures, default=_plain)),
            "versions": versions(),
            "machine": machine(),
        }
        self.repeat(record)
        return record

    def repeat(self, record: Record) -> None:
        """Note a record as it is, with the versions and the machine it was measured on."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        append_durably(self._file, json.dumps(record))

    def records(self, bench: str) -> list[Record]:
        """All records of a benchmark, oldest first.

        Raises:
          BadInputError: a line that is not a record of ours.
        """
        if not self._file.exists():
            return []
        found = []
        for number, line in enumerate(self._file.read_text(encoding="utf-8").splitlines(), 1):
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                raise BadInputError(f"line {number} of {self._file} is not JSON; repair or remove it") from None
            if not isinstance(record, dict) or "bench" not in record:
                raise BadInputError(f"line {number} of {self._file} is no record of a benchmark; remove it")
            if record["bench"] == bench:
                found.append(record)
        return found


def machine() -> dict[str, Any]:
    """What ran it: counts and models, no name of a host."""
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        models = [
            line for line in information.read_text(errors="replace").splitlines() if line.startswith("model name")
        ]
        processor = models[0].partition(":")[2].strip() if models else processor
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Spread):
        return asdict(value)
    raise TypeError(f"a record cannot hold a {type(value).__name__}")
