"""The tasks of a GAN sweep: one plan each, in the order in which they tell most, none twice."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Any, Literal

import tomli_w

from coordinator.gan_plan import GanPlan
from coordinator.sweeps.gan_sweep_file import GanSweep
from kernel.errors import SettingsError
from kernel.settings import parse_settings

Method = Literal["privgan", "gan", "gan_equal"]
Axis = Literal["fractions", "grid", "weights", "skews"]
AXES: tuple[Axis, ...] = ("fractions", "grid", "weights", "skews")
PARTIES = ("party-a", "party-b")
_HELD_OUT = "held-out"
_SECOND_PARTY = 0.5
"""Where the second party's rows begin in the shuffled order: a party has at most half of the rows."""


@dataclass(frozen=True)
class Setting:
    """Where a task stands on the axes.

    Attributes:
      fractions: of the training rows, one a party.
      weight: lambda; 0 for GANs, of which every party trains its own (two cost no more time than one on two cores). skew: share of the other party's classes' rows that a party lacks.
    """

    method: Method
    fractions: tuple[float, float]
    weight: float
    skew: float
    seed: int

    def __str__(self) -> str:
        names = {"privgan": "privGAN", "gan": "GAN, the paper's steps", "gan_equal": "GAN, equal steps"}
        rows = " + ".join(f"{fraction:.3g}" for fraction in self.fractions)
        weight = f", lambda {self.weight:g}" if self.method == "privgan" else ""
        skew = f", skew {self.skew:g}" if self.skew else ""
        return f"{names[self.method]}, fractions {rows}{weight}{skew}, seed {self.seed}"


@dataclass(frozen=True)
class GanTask:
    """A setting with its plan. ``multiplications``: of its training, at the nets' sizes; evaluations come on top."""

    setting: Setting
    text: str
    plan: GanPlan
    multiplications: float

    @property
    def key(self) -> str:
        """Equal for tasks that train the same models on the same rows, whatever their names: 32 hex digits."""
        document = self.plan.model_dump(mode="json", exclude={"name"})
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]


def gan_tasks(sweep: GanSweep, only: Sequence[str] = (), seeds: Sequence[int] = ()) -> list[GanTask]:
    """All tasks, seed by seed; the axes take turns, each in the order of the file, so that every figure has its first points early.

    Args:
      only: axes to train; empty is all. seeds: instead of the file's.

    Raises:
      SettingsError: an axis that is none or that the file leaves empty, a plan that cannot be.
    """
    unknown = [axis for axis in only if axis not in AXES]
    if unknown:
        raise SettingsError(f"there is no axis {unknown[0]!r}; axes are {', '.join(AXES)}")
    tasks: dict[str, GanTask] = {}
    for seed in seeds or sweep.axes.seeds:
        turns = [list(_stages(sweep, axis, seed)) for axis in AXES if not only or axis in only]
        for stage in zip_longest(*turns, fillvalue=()):
            for setting in (one for settings in stage for one in settings):
                task = gan_task(sweep, setting)
                tasks.setdefault(task.key, task)
    if not tasks:
        raise SettingsError(f"{sweep.name} names no value on {', '.join(only)}; there is nothing to train")
    return list(tasks.values())


def _stages(sweep: GanSweep, axis: Axis, seed: int) -> Iterator[tuple[Setting, ...]]:
    axes, weight = sweep.axes, sweep.shared.weight
    match axis:
        case "fractions":
            for fraction in axes.fractions:
                both = (fraction, fraction)
                yield (
                    Setting("privgan", both, weight, 0.0, seed),
                    Setting("gan_equal", both, 0.0, 0.0, seed),
                    Setting("gan", both, 0.0, 0.0, seed),
                )
        case "grid":
            for place, fraction in enumerate(axes.grid):
                for other in axes.grid[:place]:
                    low, high = min(fraction, other), max(fraction, other)
                    yield (Setting("privgan", (low, high), weight, 0.0, seed),)
                    if not axes.mirrored:
                        yield (Setting("privgan", (high, low), weight, 0.0, seed),)
                yield (Setting("privgan", (fraction, fraction), weight, 0.0, seed),)
        case "weights":
            for value in axes.weights:
                yield (Setting("privgan", (axes.weights_fraction, axes.weights_fraction), value, 0.0, seed),)
        case "skews":
            for skew in axes.skews:
                both = (axes.skews_fraction, axes.skews_fraction)
                yield (
                    Setting("privgan", both, weight, skew, seed),
                    Setting("gan_equal", both, 0.0, skew, seed),
                )


def gan_task(sweep: GanSweep, setting: Setting) -> GanTask:
    """The task of a setting.

    Raises:
      SettingsError: its plan cannot be.
    """
    steps = steps_per_epoch(sweep, setting)
    document = _document(sweep, setting, steps)
    text = tomli_w.dumps(document)
    plan = parse_settings(GanPlan, text, f"the plan of {setting}")
    return GanTask(setting, text, plan, multiplications(plan, steps, columns_named(sweep.data.columns)))


def steps_per_epoch(sweep: GanSweep, setting: Setting) -> int:
    """Of every class (see `TrainingSection`)."""
    training, data = sweep.training, sweep.data
    if setting.method != "gan":
        return training.steps_per_epoch
    return max(1, int(setting.fractions[0] * data.rows / len(data.classes) / training.paper_batch_rows))


def _document(sweep: GanSweep, setting: Setting, steps: int) -> dict[str, Any]:
    training, data = sweep.training, sweep.data
    document: dict[str, Any] = {
        "name": f"{sweep.name}-{setting.method.replace('_', '-')}",
        "job": "privgan" if setting.method == "privgan" else "gan",
        "seed": setting.seed,
        "epochs": training.gan_epochs if setting.method == "gan" else training.epochs,
        "batch_rows": training.batch_rows,
        "barrier_every_epochs": training.barrier_every_epochs,
        "classes": list(data.classes),
        "nets": _plain(sweep.nets.model_dump(mode="json")),
        "steps": {"policy": "equal_steps", "per_epoch": steps},
        "evaluation": sweep.evaluation.model_dump(mode="json"),
        "parties": [
            {
                "name": name,
                "table": f"rows-{name}",
                "columns": list(data.columns),
                "label": data.label,
                "holdout": _HELD_OUT,
            }
            for name in PARTIES
        ],
        "local": {"tables": _tables(sweep, setting)},
    }
    if setting.method == "privgan":
        document["shared"] = _plain(sweep.shared.model_dump(mode="json")) | {"weight": setting.weight}
    return document


def _tables(sweep: GanSweep, setting: Setting) -> dict[str, dict[str, Any]]:
    data = sweep.data
    half = len(data.classes) // 2
    lacking = (data.classes[half:], data.classes[:half])
    tables = {}
    for place, (name, fraction) in enumerate(zip(PARTIES, setting.fractions, strict=True)):
        start = place * _SECOND_PARTY
        tables[f"rows-{name}"] = _training_rows(sweep, start, start + fraction)
        if setting.skew:
            shares = {str(label): round(1 - setting.skew, 9) for label in lacking[place]}
            tables[f"rows-{name}"]["keep"] = {"column": data.label, "shares": shares, "seed": data.seed}
    if data.train_rows is not None:
        tables[_HELD_OUT] = {**data.table, "skip_rows": data.train_rows}
    elif data.holdout_share is not None:
        select = {"seed": data.seed, "first": 1 - data.holdout_share, "last": 1.0}
        tables[_HELD_OUT] = {**data.table, "select": select}
    return tables


def _training_rows(sweep: GanSweep, first: float, last: float) -> dict[str, Any]:
    data = sweep.data
    if data.train_rows is not None:
        select = {"seed": data.seed, "first": first, "last": last}
        return {**data.table, "first_rows": data.train_rows, "select": select}
    share = 1 - (data.holdout_share or 0.0)
    return {**data.table, "select": {"seed": data.seed, "first": share * first, "last": share * last}}


def multiplications(plan: GanPlan, steps: int, columns: int) -> float:
    """Multiply-adds of a plan's training, without evaluations: layers x passes x rows x steps x models x parties.

    Per row a step passes the discriminator forward and back for a real and a fake row (6 of its size) and for the generator's move
    (2), the generator to make fakes and to move (4), and a shared discriminator forward and back (3) and back to the fakes (2).
    Convolutional nets are counted as dense ones of their channels, which is too low.
    """
    row = 4 * _size((plan.nets.latent, *plan.nets.generator, columns)) + 8 * _size(
        (columns, *plan.nets.discriminator, 1)
    )
    if plan.shared is not None:
        row += 5 * _size((columns, *plan.shared_widths, len(plan.parties)))
    return float(row) * plan.batch_rows * steps * plan.epochs * len(plan.classes) * len(plan.parties)


def columns_named(patterns: Sequence[str]) -> int:
    """How many columns patterns name, where ranges end in numbers ("pixel0..pixel783"); any other counts as one."""
    count = 0
    for pattern in patterns:
        low, high = (re.search(r"\d+$", name) for name in (pattern.partition("..")[0], pattern.partition("..")[2]))
        count += int(high[0]) - int(low[0]) + 1 if low and high else 1
    return count


def _size(widths: Sequence[int]) -> int:
    return sum(one * other for one, other in pairwise(widths))


def _plain(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section as TOML can say it: without what is not set."""
    return {key: value for key, value in section.items() if value is not None}
