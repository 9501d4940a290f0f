"""The file of `tertium sweep`: settings of a privgan plan, the rows its parties are cut from, the axes, and sizes.

A size is a table of overrides, merged into the file as a variant's into a plan: the same experiment in minutes or in days.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from coordinator.gan_plan import GanEvaluationPlan, GanNetsPlan, SharedPlan
from coordinator.plan import read_plan_text
from coordinator.sweeps.variants import merged
from kernel.errors import SettingsError
from kernel.settings import Settings, parse_settings, parse_toml

Fraction = Annotated[float, Field(gt=0, le=0.5, allow_inf_nan=False)]
Skew = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]

OWN_SETTINGS = "as the file has it"
"""The size where none is named."""


class DataSection(Settings):
    """The rows. Fractions are of the training rows; both parties are held to the same held-out rows."""

    table: dict[str, Any] = Field(description="a party config's [tables.…] section, without a choice of rows")
    columns: tuple[str, ...] = Field(min_length=1)
    label: str
    classes: tuple[int, ...] = Field(min_length=2, description="labels to learn, which skews divide in two halves")
    train_rows: int | None = Field(
        None, ge=2, description="the first so many rows of the table; the others are held out"
    )
    holdout_share: float | None = Field(
        None, gt=0, lt=1, description="instead: so large a share of the rows, drawn at random, is held out"
    )
    rows: int = Field(ge=4, description="training rows there are: for the number of steps and what a task costs")
    seed: int = Field(0, ge=0, lt=2**63, description="of who gets which row: not of the nets, so that seeds share rows")

    @model_validator(mode="after")
    def _rows_are_free(self) -> "DataSection":
        chosen = [key for key in ("skip_rows", "first_rows", "select", "keep", "storage") if key in self.table]
        if chosen:
            raise ValueError(f"data.table chooses rows by {chosen[0]}, which the sweep does; remove it")
        if (self.train_rows is None) == (self.holdout_share is None):
            raise ValueError("say either data.train_rows or data.holdout_share: what is held out")
        return self


class TrainingSection(Settings):
    """How long. Every privGAN, and the GANs with equal steps, take ``epochs`` times ``steps_per_epoch`` steps a class, however
    few rows a party has: what differs between fractions is rows, not training. The GAN with the paper's steps takes
    ``gan_epochs`` times floor(rows of a class / ``paper_batch_rows``), and where that is none, 1: the published code would
    train for no step at all there."""

    epochs: int = Field(200, ge=1, le=100_000)
    gan_epochs: int = Field(250, ge=1, le=100_000)
    steps_per_epoch: int = Field(11, ge=1, description="of a class, for privGAN and the GANs with equal steps")
    batch_rows: int = Field(256, ge=1)
    paper_batch_rows: int = Field(256, ge=1, description="by which the GAN with the paper's steps counts them")
    barrier_every_epochs: int = Field(10, ge=1)


class AxesSection(Settings):
    """What is varied. Tasks are taken in the order written here, an axis in turn with the others: write what tells most first."""

    seeds: tuple[int, ...] = Field((1,), min_length=1)
    fractions: tuple[Fraction, ...] = Field((), description="of the training rows at each party: Figs. 4, 6, 7")
    grid: tuple[Fraction, ...] = Field((), description="of party-a by party-b: Fig. 5")
    mirrored: bool = Field(False, description="train a cell of the grid and its mirror once, and exchange the parties")
    weights: tuple[Weight, ...] = Field((), description="lambda of the origin loss: utility against attacks")
    weights_fraction: Fraction = 0.05
    skews: tuple[Skew, ...] = Field(
        (), description="a party lacks this share of the rows of half the classes, the other party of the other half"
    )
    skews_fraction: Fraction = 0.05

    @model_validator(mode="after")
    def _once_each(self) -> "AxesSection":
        for name in ("seeds", "fractions", "grid", "weights", "skews"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"axes.{name} names a value twice; each is trained once")
        if not (self.fractions or self.grid or self.weights or self.skews):
            raise ValueError("axes vary nothing; give fractions, grid, weights or skews")
        return self


class GanSweep(Settings):
    """A sweep at one size."""

    name: str = Field(min_length=1, max_length=24, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    size: str = OWN_SETTINGS
    about: str = Field("", description="a sentence for the page: what this size is")
    data: DataSection
    training: TrainingSection = TrainingSection()
    nets: GanNetsPlan = GanNetsPlan()
    shared: SharedPlan = SharedPlan()
    evaluation: GanEvaluationPlan = GanEvaluationPlan()
    axes: AxesSection


class _SweepFile(GanSweep):
    sizes: dict[str, dict[str, Any]] = Field(default_factory=dict, description="size -> keys of this file to replace")


def read_sweep(file: Path, size: str | None = None) -> GanSweep:
    """The sweep of a file at one of its sizes; None is the file without any.

    Raises:
      SettingsError: the file cannot be read, has an unknown key, or has no such size.
    """
    return parse_sweep(read_plan_text(file), str(file), size)


def parse_sweep(text: str, what: str, size: str | None = None) -> GanSweep:
    """As `read_sweep`, of a file's text."""
    sizes = parse_settings(_SweepFile, text, what).sizes
    document = parse_toml(text, what)
    document.pop("sizes", None)
    if size is None:
        return _sweep(document, what)
    if size not in sizes:
        known = f"sizes are {', '.join(sizes)}" if sizes else "it has none; leave --size out"
        raise SettingsError(f"{what} has no size {size!r}; {known}")
    return _sweep(merged(document, sizes[size]) | {"size": size}, f"size {size} of {what}")


def _sweep(document: Mapping[str, Any], what: str) -> GanSweep:
    import tomli_w

    return parse_settings(GanSweep, tomli_w.dumps(document), what)
