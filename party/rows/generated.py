"""A made-up table of any size, for benchmarks: every row is a function of (seed, block), every party can make its part.

Columns V1 … Vn are independent standard normal, float32; the label is

    y = [ (V1 - V2 + V3 - …) / sqrt(n) + e > 0 ],  e standard normal,

so that half the rows are positive, every column carries 1/n of what can be known, and the best AUC is about 0.835. A block
has 65,536 rows and one generator per column, seeded with (seed, block, column), so a block can be made without the
others, a column without its neighbours, and a shorter table is the beginning of a longer one.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kernel.errors import RowsError
from party.rows.schema import Column, Generated
from party.rows.table import Table

BLOCK_ROWS = 1 << 16
LABEL = "y"

_PURPOSE = 0x7AB1E
_LABEL_NOISE = 0  # columns count from 1

Values = dict[str, NDArray[Any]]


def generated_columns(size: Generated) -> dict[str, Column]:
    """The schema: V1 … Vn, then y."""
    names = (f"V{number}" for number in range(1, size.columns + 1))
    return {**dict.fromkeys(names, Column(type="real")), LABEL: Column(type="boolean")}


def generated_blocks(size: Generated, columns: Sequence[str], *, rows: int | None = None) -> Iterator[Values]:
    """The wanted columns, block by block: float32[block] and, of y, bool[block].

    Args:
      columns: names of ``generated_columns``, at least one; rows: the first so many rows only.
    """
    total = size.rows if rows is None else rows
    for block, start in enumerate(range(0, total, BLOCK_ROWS)):
        yield _block(size, columns, block, min(BLOCK_ROWS, total - start))


def load_generated(name: str, size: Generated, columns: Sequence[str], *, rows: int) -> Table:
    """The wanted columns of the first ``rows`` rows, in memory."""
    schema = generated_columns(size)
    values: Values = {column: np.empty(rows, bool if column == LABEL else np.float32) for column in columns}
    start = 0
    for block in generated_blocks(size, columns, rows=rows):
        for column, cells in block.items():
            values[column][start : start + len(cells)] = cells
        start += len(next(iter(block.values())))
    return Table(name, None, rows, values, {column: schema[column] for column in columns})


def write_generated(size: Generated, columns: Sequence[str], path: Path) -> None:
    """The wanted columns as a Parquet file, one row group a block, holding one block at a time.

    Raises:
      RowsError: the file cannot be written.
    """
    kinds: Mapping[str, pa.DataType] = {LABEL: pa.bool_()}
    schema = pa.schema([(column, kinds.get(column, pa.float32())) for column in columns])
    try:
        # noise does not compress, and no value comes twice
        with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
            for block in generated_blocks(size, columns):
                writer.write_table(pa.table(block, schema=schema), row_group_size=BLOCK_ROWS)
    except OSError as error:
        raise RowsError(f"cannot write {path}: {error.strerror or 'the disk refused'}; free some space.") from error


def _block(size: Generated, columns: Sequence[str], block: int, rows: int) -> Values:
    made: Values = {}
    score = np.zeros(rows, np.float64)
    for number in range(1, size.columns + 1):
        name = f"V{number}"
        if name not in columns and LABEL not in columns:
            continue
        cells = _generator(size, block, number).standard_normal(rows, dtype=np.float32)
        if name in columns:
            made[name] = cells
        score += cells if number % 2 else -cells
    if LABEL in columns:
        noise = _generator(size, block, _LABEL_NOISE).standard_normal(rows)
        made[LABEL] = score / np.sqrt(size.columns) + noise > 0
    return {column: made[column] for column in columns}


def _generator(size: Generated, block: int, column: int) -> np.random.Generator:
    return np.random.default_rng([_PURPOSE, size.seed, block, column])
