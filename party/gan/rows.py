"""A party's rows as its GANs read them: by class, in [-1, 1] by the columns' declared bounds, some of each class held out.

Nothing is fitted: bounds, classes and the split follow from declarations and the plan's seed. Parties of a GAN run have rows of
their own, so nothing is compared between them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernel.errors import RowsError, SettingsError
from kernel.gan.spec import ImageShape
from party.rows.encoding import RowEncoder
from party.rows.image_shape import image_shape
from party.rows.loaders import declared_columns
from party.rows.schema import Column, TableSettings, select_columns
from party.run_rows import load_aligned
from protos.v1 import plan_pb2

Rows = NDArray[np.float32]
ByClass = dict[int, Rows]
_SPLIT = 0x6A15
_WHICH_ROWS = {"source", "skip_rows", "first_rows", "select", "keep", "generate"}
"""Settings of a table that say which rows it has."""


@dataclass(frozen=True, eq=False)
class GanRows:
    """Rows in memory, float32[rows, columns] in [-1, 1]; a class without rows has an array of none.

    Attributes:
      columns: in the order of the plan. image: what a row is the pixels of, if anything.
      train, holdout: class -> rows, classes in ascending order, the same in both.
    """

    columns: tuple[str, ...]
    image: ImageShape | None
    train: ByClass
    holdout: ByClass


def load_gan_rows(
    part: plan_pb2.PartyPlan,
    tables: Mapping[str, TableSettings],
    data_directory: Path | None,
    classes: Sequence[int],
    test_fraction: float,
    seed: int,
) -> GanRows:
    """Read this party's part of a plan.

    Args:
      part: its columns are inputs, its label says a row's class: an integer, a category by its place, or a boolean as 0 and 1.
      classes: to keep, of any order; none: all there are.
      test_fraction, seed: what of each class is held out where the part names no table for it: ``round(rows *
        test_fraction)`` rows, but one at least and not all.

    Raises:
      RowsError: a column without bounds or of another kind than numbers, a label that is none, a negative class, a class with
        one row, a holdout table declared otherwise or with the same rows, or what a table's cells do not allow. SettingsError: rows on disk.
    """
    declared = declared_columns(_in_memory(part.table, tables))
    columns = select_columns(list(declared), part.columns)
    for name in columns:
        _check_input(name, declared[name], part.table)
    if part.label in columns:
        raise RowsError(
            f'The label "{part.label}" is among the columns that the plan takes from {part.table}; remove it there, each class '
            "has a GAN of its own."
        )
    if part.holdout:
        _check_other_rows(part, tables)
        _check_alike([*columns, part.label], part, declared, declared_columns(_in_memory(part.holdout, tables)))
    found = _by_class(part.table, tables, columns, part.label, data_directory)
    shape = image_shape([{name: declared[name] for name in columns}])
    if part.holdout:
        train, holdout = found, _by_class(part.holdout, tables, columns, part.label, data_directory)
    else:
        kept = {label: rows for label, rows in found.items() if label in classes or not classes}
        train, holdout = _split(kept, test_fraction, seed, part)
    none = np.empty((0, len(columns)), np.float32)
    wanted = sorted(classes or {*train, *holdout})
    return GanRows(
        columns,
        None if shape is None else ImageShape(*shape),
        {label: train.get(label, none) for label in wanted},
        {label: holdout.get(label, none) for label in wanted},
    )


def to_unit(rows: Rows) -> Rows:
    """[-1, 1] to [0, 1], as synthetic rows leave the party and classifiers read them; never outside by a rounding."""
    unit: Rows = np.clip((rows + np.float32(1)) / np.float32(2), np.float32(0), np.float32(1))
    return unit


def _in_memory(table: str, tables: Mapping[str, TableSettings]) -> TableSettings:
    settings = tables[table]
    if settings.storage == "disk":
        raise SettingsError(
            f'GANs draw rows at random and hold them in memory, and table {table!r} says storage = "disk"; '
            'use storage = "memory", with first_rows if it is too large'
        )
    return settings


def _check_input(name: str, column: Column, table: str) -> None:
    if column.type in ("boolean", "category"):
        raise RowsError(
            f'Column "{name}" of {table} is {column.type}; a GAN makes numbers. Leave it out of the plan\'s columns'
            + (", or declare it as an integer from low = 0 to high = 1." if column.type == "boolean" else ".")
        )
    if column.low is None or column.high is None or column.low == column.high:
        raise RowsError(
            f'Column "{name}" of {table} has no low and high to scale it by; declare both, low below high, from what is known '
            "of it without looking at rows."
        )


def _check_other_rows(part: plan_pb2.PartyPlan, tables: Mapping[str, TableSettings]) -> None:
    """Scores on rows that were learnt from are none."""
    train, holdout = (tables[name].model_dump(include=_WHICH_ROWS) for name in (part.table, part.holdout))
    if train == holdout:
        raise RowsError(
            f"The holdout table {part.holdout} has the rows of {part.table}, which are trained on; declare it with another source, "
            "select, skip_rows or first_rows, or leave holdout out of the plan (test_fraction of each class is held out)."
        )


def _check_alike(
    names: Sequence[str], part: plan_pb2.PartyPlan, train: Mapping[str, Column], holdout: Mapping[str, Column]
) -> None:
    """Rows of both tables must mean the same once they are scaled."""
    for name in select_columns(list(holdout), names):
        one, other = train[name], holdout[name]
        if (one.type, one.low, one.high, one.categories) != (other.type, other.low, other.high, other.categories):
            raise RowsError(
                f'Column "{name}" is declared otherwise in {part.holdout} than in {part.table}; give it one type, low, high '
                "and categories in both."
            )


def _by_class(
    name: str,
    tables: Mapping[str, TableSettings],
    columns: Sequence[str],
    label: str,
    data_directory: Path | None,
) -> ByClass:
    loaded = load_aligned(name, tables[name], columns, label, data_directory).table
    numbers, declared = loaded.column(label)
    if declared.type == "real":
        raise RowsError(f'Label "{label}" of {name} is real; classes need an integer, category or boolean column.')
    labels = numbers.astype(np.int64)
    if labels.size and labels.min() < 0:
        raise RowsError(f'Label "{label}" of {name} has negative classes; number them from 0.')
    low = np.array([loaded.schema[column].low for column in columns], np.float64)
    high = np.array([loaded.schema[column].high for column in columns], np.float64)
    schema = {column: loaded.schema[column] for column in columns}
    # from the middle by half the width: the encoder's "mean and deviation" that lead to [-1, 1]
    rows = RowEncoder(tuple(columns), schema, (low + high) / 2, (high - low) / 2, None).encode(loaded)
    np.clip(rows, -1, 1, out=rows)
    return {int(one): rows[labels == one] for one in np.unique(labels)}


def _split(found: ByClass, test_fraction: float, seed: int, part: plan_pb2.PartyPlan) -> tuple[ByClass, ByClass]:
    train: ByClass = {}
    holdout: ByClass = {}
    for label, rows in found.items():
        if len(rows) < 2:
            raise RowsError(
                f"Class {label} of {part.table} has a single row, which cannot be both learnt and held out; leave the class out of "
                "the plan's classes, or name a holdout table."
            )
        held = min(len(rows) - 1, max(1, round(len(rows) * test_fraction)))
        order = np.random.default_rng([_SPLIT, seed, label]).permutation(len(rows))
        holdout[label], train[label] = rows[np.sort(order[:held])], rows[np.sort(order[held:])]
    return train, holdout
