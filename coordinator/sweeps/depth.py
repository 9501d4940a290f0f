"""`tertium bench depth`: an epoch with 1, 2, … layers on shares, forecast and measured, over masked_sum with an open gradient.

Every variant (depth_variants.py) is trained in turn with every role as its own process and mutual TLS on, so that drift of the
machine meets all alike; a ratio is taken within its repetition. The first epoch of a run, which compiles, is in no figure.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from coordinator.cli.training import train_here
from coordinator.report.events import read_events
from coordinator.sweeps.bench_log import Record, spread_of
from coordinator.sweeps.depth_variants import DepthVariant
from kernel.errors import BadInputError

_WARM_UP_EPOCHS = 1


@dataclass(frozen=True)
class MeasuredRun:
    """One run of a variant: seconds of the epochs that count, and what one of them sent beside what was forecast.

    Attributes:
      link_bytes: link -> (forecast, measured), of an epoch; rounds: the same; rows: of an epoch.
    """

    seconds: tuple[float, ...]
    link_bytes: Mapping[str, tuple[int, int]]
    rounds: tuple[int, int]
    rows: int


@dataclass
class DepthFigures:
    """What the repetitions of all variants measured, by the variant's name."""

    variants: Sequence[DepthVariant]
    runs: dict[str, list[MeasuredRun]] = field(default_factory=lambda: defaultdict(list))
    stopped: dict[str, str] = field(default_factory=dict)
    """Of variants whose values left their range: the sentence that says which."""

    def record(self, *, columns: int, generated_rows: int | None) -> Record:
        """For a `BenchLog` record.

        Returns:
          ``shape``: encoded columns, widths of all layers, rows of an epoch and of a batch, parties; ``rows_are``: generated or real;
          ``variants``: for each name, i, gradient, weights and protocol, seconds an epoch with their spread, their ratio to
          the reference in the same repetition, rounds and bytes of an epoch as forecast and as measured; ``stopped``: a sentence
          for each name that could not be trained.
        """
        reference = self.variants[0]
        plan, rows = reference.plan, self.runs[reference.name][0].rows
        return {
            "shape": {
                "columns": columns,
                "widths": list(plan.network.widths),
                "rows": rows,
                "batch_rows": min(plan.batch_rows, rows),
                "parties": len(plan.parties),
            },
            "rows_are": "generated" if generated_rows else "real",
            "steps": -(-rows // plan.batch_rows),
            "epochs": plan.epochs - _WARM_UP_EPOCHS,
            "repeats": len(self.runs[reference.name]),
            "variants": [self._variant(variant) for variant in self.variants if variant.name not in self.stopped],
            "stopped": self.stopped,
        }

    def _variant(self, variant: DepthVariant) -> dict[str, Any]:
        runs, references = self.runs[variant.name], self.runs[self.variants[0].name]
        links = runs[-1].link_bytes
        busiest = max(links, key=lambda link: links[link][1])
        return {
            "name": variant.name,
            "reference": variant.reference,
            "depth": variant.depth,
            "gradient": variant.gradient,
            "weights": variant.plan.weights,
            "protocol": variant.plan.first_layer.protocol,
            "activations": [layer.activation for layer in variant.plan.secret_layers],
            "seconds": spread_of([one for run in runs for one in run.seconds]),
            "over_reference": spread_of(
                [median(run.seconds) / median(other.seconds) for run, other in zip(runs, references, strict=True)]
            ),
            "rounds": _pair(runs[-1].rounds),
            "busiest_link": busiest,
            "busiest_bytes": _pair(links[busiest]),
            "all_bytes": _pair(_sums(links.values())),
            "link_bytes": {link: _pair(both) for link, both in links.items()},
        }


def run_depth(variants: Sequence[DepthVariant], repeats: int, runs: Path, done: Callable[[str], None]) -> DepthFigures:
    """Train all variants ``repeats`` times in turn; one whose values leave their range is noted as stopped, and the others go on.

    Args:
      runs: where run directories go; done: hears what is being trained.

    Raises:
      BadInputError: no repeat, or no epoch after the warm-up, or the reference cannot be trained; PeerError: a role was lost.
    """
    if repeats < 1 or variants[0].plan.epochs <= _WARM_UP_EPOCHS:
        raise BadInputError(
            f"{repeats} repeats of {variants[0].plan.epochs} epochs measure nothing; ask for one repeat or more, and "
            f"{_WARM_UP_EPOCHS + 1} epochs or more"
        )
    figures = DepthFigures(variants)
    for repetition in range(1, repeats + 1):
        for variant in variants:
            if variant.name in figures.stopped:
                continue
            done(f"{variant.plan.name}: {variant.name}, {repetition} of {repeats}")
            try:
                figures.runs[variant.name].append(_trained(variant, runs))
            except BadInputError as error:
                if variant.reference:
                    raise
                figures.stopped[variant.name] = str(error).partition(" (resume with")[0]
    return figures


def _trained(variant: DepthVariant, runs: Path) -> MeasuredRun:
    console = Console(quiet=True)
    options: dict[str, Any] = {"resume": False, "baseline": False, "report": False, "console": console}
    return measured_run(read_events(train_here(variant.text, variant.plan, "", runs, **options) / "events.jsonl"))


def measured_run(events: Iterable[Mapping[str, Any]]) -> MeasuredRun:
    """From a run's events. Links of orders and reports, which the forecast leaves out, are left out.

    Raises:
      BadInputError: no forecast, or no epoch after the warm-up.
    """
    events = list(events)
    expected = next((event for event in events if event["event"] == "forecast"), None)
    epochs = [event for event in events if event["event"] == "epoch"][_WARM_UP_EPOCHS:]
    if expected is None or not epochs:
        raise BadInputError(f"the run has {'no epoch that counts' if expected else 'no forecast'}; was it interrupted?")
    last = epochs[-1]
    return MeasuredRun(
        seconds=tuple(epoch["seconds"] for epoch in epochs),
        link_bytes={link: (count, last["bytes"].get(link, 0)) for link, count in expected["bytes"].items()},
        rounds=(expected["rounds"], last["rounds"]),
        rows=last["rows"],
    )


def _sums(pairs: Iterable[tuple[int, int]]) -> tuple[int, int]:
    forecast, measured = zip(*pairs, strict=True)
    return sum(forecast), sum(measured)


def _pair(both: tuple[int, int]) -> dict[str, int]:
    return {"forecast": both[0], "measured": both[1]}
