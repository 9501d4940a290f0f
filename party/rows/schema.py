"""What a table is declared to hold: public facts that a party writes down before any row is read.

A schema is public: bounds and categories come from its author's knowledge of the field, not from the rows.
Encoders take categories and mechanisms take bounds from here.
"""

import difflib
import math
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from kernel.errors import RowsError

ColumnType = Literal["real", "integer", "boolean", "category"]
Align = Literal["sort", "file_order"]

Storage = Literal["memory", "disk"]

BUILTIN_PREFIX = "builtin:"
GENERATED = "generated"


class Column(BaseModel):
    """One declared column.

    ``low`` and ``high`` are inclusive, in the column's own unit, and belong to real and integer columns only.
    ``categories`` are the only texts a category column may hold, in the order of their one-hot positions.
    ``scale`` says how a real or integer column is encoded: "standard" by mean and deviation of the training rows, "unit"
    from ``low`` and ``high`` to 0 and 1, without looking at a row; pixels are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: ColumnType
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] = ()
    scale: Literal["standard", "unit"] = "standard"

    @field_validator("low", "high")
    @classmethod
    def _finite(cls, bound: float | None) -> float | None:
        if bound is not None and not math.isfinite(bound):
            raise ValueError("a bound must be finite; leave it out where there is none")
        return bound

    @model_validator(mode="after")
    def _fits_type(self) -> Self:
        if self.type in ("boolean", "category") and not (self.low is None and self.high is None):
            raise ValueError(f"low and high belong to real and integer columns, not to a {self.type} column")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}; swap them")
        if self.scale == "unit" and (self.low is None or self.high is None or self.low == self.high):
            raise ValueError('scale = "unit" maps low to 0 and high to 1; declare both, and low below high')
        if self.type != "category":
            if self.categories:
                raise ValueError(f"categories belong to a category column, not to a {self.type} column")
            return self
        if not self.categories:
            raise ValueError("a category column needs its categories declared")
        if len(set(self.categories)) != len(self.categories):
            repeated = len(self.categories) - len(set(self.categories))
            raise ValueError(f"{repeated} of {len(self.categories)} categories are repeated; list each once")
        if any(not text or text != text.strip() for text in self.categories):
            raise ValueError("a category is empty or has spaces around it; cells are trimmed before the look-up")
        return self


class Generated(BaseModel):
    """The made-up table ``builtin:generated``: the same numbers make the same table, at every party."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int = Field(ge=2, le=2**40)
    columns: int = Field(ge=1, le=10_000, description="V1 to Vn; the label y comes on top")
    seed: int = Field(default=0, ge=0, lt=2**63)


class SelectedShare(BaseModel):
    """``select``: rows between two fractions of the rows in an order shuffled with ``seed`` (selection.py)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0, lt=2**63)
    first: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)
    last: float = Field(ge=0, le=1, allow_inf_nan=False)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.first >= self.last:
            raise ValueError(f"first = {self.first:g} is not below last = {self.last:g}; no row lies between")
        return self


class KeptShares(BaseModel):
    """``keep``: the share of each class's rows that is used; classes as texts ("3", "true", a category)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str = Field(min_length=1, description="integer, boolean or category; it need not be used otherwise")
    shares: dict[str, Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]] = Field(default_factory=dict)
    otherwise: float = Field(default=1.0, ge=0, le=1, allow_inf_nan=False, description="of classes not in shares")
    seed: int = Field(default=0, ge=0, lt=2**63)


class TableSettings(BaseModel):
    """Where one table is and what it holds.

    ``source`` is ``builtin:NAME`` or a path ending in .csv, .parquet or .npz (a relative path counts from the
    working directory). ``id`` is the column whose text identifies a row across parties; without it the row
    number does. With ``storage = "disk"`` the rows of a Parquet file are read in batches and kept in a scratch file of
    the party's, not in memory.

    Which rows are used (selection.py), in this order and in the order of the source: after the first ``skip_rows`` the
    next ``first_rows``; of them ``select``, a share at random, disjoint from another with the same seed and another range;
    of them ``keep``, a share of each class. Rows that are skipped are not checked; rows not selected are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(min_length=1)
    id: str | None = None
    align: Align = "sort"
    columns: dict[str, Column] = Field(default_factory=dict)
    clip_deviations: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    skip_rows: int = Field(default=0, ge=0, description="leave out the first N rows of the source")
    first_rows: int | None = Field(default=None, ge=1, description="use the first N rows (after skip_rows) only")
    select: SelectedShare | None = Field(
        default=None, description="a share of the rows, in an order shuffled by a seed"
    )
    keep: KeptShares | None = Field(default=None, description="a share of each class's rows")
    storage: Storage = Field(default="memory", description='"disk" for a Parquet file larger than memory')
    generate: Generated | None = Field(default=None, description="with source builtin:generated: its size and seed")

    @property
    def builtin(self) -> str | None:
        """NAME of ``builtin:NAME``, or None where the source is a file."""
        if self.source.startswith(BUILTIN_PREFIX):
            return self.source.removeprefix(BUILTIN_PREFIX)
        return None

    @model_validator(mode="after")
    def _storage_fits_source(self) -> Self:
        if self.storage == "disk" and not self.source.lower().endswith(".parquet"):
            raise ValueError(
                f'storage = "disk" reads a .parquet file in batches, and {self.source} is none; '
                'save the table as Parquet or use storage = "memory"'
            )
        return self

    @model_validator(mode="after")
    def _selection_fits_storage(self) -> Self:
        if self.storage == "disk" and (self.skip_rows or self.select or self.keep):
            raise ValueError(
                'storage = "disk" reads the first rows of a file, and skip_rows, select and keep choose among them; '
                'remove them or use storage = "memory"'
            )
        return self

    @model_validator(mode="after")
    def _generated_is_sized(self) -> Self:
        if (self.builtin == GENERATED) != (self.generate is not None):
            raise ValueError(
                f"source {BUILTIN_PREFIX}{GENERATED} and generate = {{ rows = …, columns = … }} belong together; "
                f"source is {self.source}"
            )
        wanted = self.skip_rows + (self.first_rows or 1)
        if self.generate is not None and wanted > self.generate.rows:
            skipped = f" after skip_rows = {self.skip_rows}" if self.skip_rows else ""
            raise ValueError(
                f"first_rows is {self.first_rows or 1}{skipped}, of a table of {self.generate.rows} generated rows"
            )
        return self

    @model_validator(mode="after")
    def _builtin_is_complete(self) -> Self:
        if self.builtin is None:
            return self
        if self.columns:
            raise ValueError(f"{self.source} carries its own schema; remove the {len(self.columns)} columns")
        if self.id is not None:
            raise ValueError(f"{self.source} has no id column, its row number is the identity; remove id")
        return self


def suggestion(name: str, available: Sequence[str]) -> str:
    """A closing sentence for an unknown ``name``: the nearest name, or how many there are."""
    near = difflib.get_close_matches(name, available, n=1)
    if near:
        return f'did you mean "{near[0]}"?'
    if 0 < len(available) <= 12:
        return "the names are " + ", ".join(f'"{one}"' for one in available) + "."
    if available:
        return f'there are {len(available)} names, from "{available[0]}" to "{available[-1]}".'
    return "there are none."


def select_columns(available: Sequence[str], patterns: Sequence[str]) -> tuple[str, ...]:
    """The columns that ``patterns`` name, in the order of the patterns.

    Args:
      available: the table's columns, in table order.
      patterns: each a column name, or an inclusive range ``"V1..V14"`` by table order.

    Raises:
      RowsError: a name that is not there (with the nearest one), a range that runs backwards, a column named
        twice.
    """
    position = {name: index for index, name in enumerate(available)}

    def place(name: str, pattern: str) -> int:
        if name not in position:
            inside = "" if name == pattern else f' (in the range "{pattern}")'
            raise RowsError(f'No column is called "{name}"{inside}; {suggestion(name, available)}')
        return position[name]

    chosen: list[str] = []
    for pattern in patterns:
        if pattern in position or ".." not in pattern:
            chosen.append(available[place(pattern, pattern)])
            continue
        first, _, last = pattern.partition("..")
        start, stop = place(first, pattern), place(last, pattern)
        if start > stop:
            raise RowsError(f'Range "{pattern}" runs backwards in table order; write "{last}..{first}".')
        chosen.extend(available[start : stop + 1])
    if len(set(chosen)) != len(chosen):
        repeated = [name for name in dict.fromkeys(chosen) if chosen.count(name) > 1]
        more = "" if len(repeated) <= 5 else f" and {len(repeated) - 5} more"
        names = ", ".join(f'"{name}"' for name in repeated[:5])
        raise RowsError(f"Columns selected more than once: {names}{more}; name each column once.")
    return tuple(chosen)
