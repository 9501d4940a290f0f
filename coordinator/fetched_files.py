"""Which files of a run directory an operator is sent: the coordinator's own, and synthetic rows."""

import re
from pathlib import Path

RUN_FILES = ("plan.toml", "events.jsonl", "metrics.json")
_SAMPLES = "samples"
_SAMPLE = re.compile(_SAMPLES + r"/[A-Za-z0-9][A-Za-z0-9._-]*\.npz")


def files_of(directory: Path) -> list[str]:
    """Those that are there, relative to the run directory."""
    samples = [f"{_SAMPLES}/{file.name}" for file in sorted((directory / _SAMPLES).glob("*.npz"))]
    return [file for file in (*RUN_FILES, *samples) if is_fetched(file) and (directory / file).is_file()]


def is_fetched(path: str) -> bool:
    """Whether ``path`` is one a coordinator may send: none leads out of the run directory."""
    return path in RUN_FILES or _SAMPLE.fullmatch(path) is not None
