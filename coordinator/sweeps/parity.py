"""Parity: the split network against the plain one, over plans, protocols and seeds.

The plain network starts from the same weights and sees the same batches (party/baseline), so a gap is what fixed point,
masks and the network in between cost.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from coordinator.cli.training import train_here
from coordinator.metrics_file import versions
from coordinator.plan import parse_plan
from kernel.durable import append_durably
from kernel.settings import parse_toml


@dataclass(frozen=True)
class ParityResult:
    """One score of one run beside its plain network."""

    plan: str
    protocol: str
    seed: int
    score: str
    split: float
    plain: float

    @property
    def gap(self) -> float:
        return self.split - self.plain


def run_parity(
    plan_files: Sequence[Path], protocols: Sequence[str], seeds: Sequence[int], runs: Path, results: Path
) -> Iterator[ParityResult]:
    """Train every combination with every role as its own process; a line of JSON per score is appended to ``results``."""
    for file in plan_files:
        for protocol in protocols:
            for seed in seeds:
                document = parse_toml(file.read_text(encoding="utf-8"), str(file))
                document |= {"seed": seed, "first_layer": {"protocol": protocol}}
                text = tomli_w.dumps(document)
                directory = train_here(text, parse_plan(text, str(file)), "", runs, resume=False, baseline=True)
                metrics: dict[str, Any] = json.loads((directory / "metrics.json").read_bytes())
                for name, score in metrics["scores"].items():
                    result = ParityResult(
                        document["name"],
                        protocol,
                        seed,
                        name,
                        score["value"],
                        metrics["baseline"]["scores"][name]["value"],
                    )
                    line = {
                        **vars(result),
                        "gap": result.gap,
                        "plan_hash": metrics["plan_hash"],
                        "versions": versions(),
                    }
                    append_durably(results, json.dumps(line))
                    yield result
