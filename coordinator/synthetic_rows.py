"""Rows that generators made, as a coordinator keeps them, and the three formats an operator can have them in.

Nothing here was a row: each value is a generator's answer to latent noise. It is in [0, 1], 0 a column's lowest value and 1 its
highest as the party declares them. Every format has the class of every row.
"""

import io
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernel.durable import write_durably
from kernel.errors import BadInputError

SHOWN_OF_A_CLASS = 20
_BORDER = 2
_PAPER = 0.35
"""Grey between the tiles of a grid, so that dark and light tiles both have an edge."""


@dataclass(frozen=True)
class SyntheticRows:
    """Attributes:
    values: float32[rows, columns] in [0, 1]; labels: int64[rows].
    image: height and width of a row that is an image, else (0, 0).
    columns: names in order.
    """

    values: NDArray[np.float32]
    labels: NDArray[np.int64]
    image: tuple[int, int]
    columns: tuple[str, ...]


def read_synthetic_rows(path: Path) -> SyntheticRows:
    """From the .npz file that a coordinator wrote; columns it does not name are numbered.

    Raises:
      BadInputError: there is no such file, or it holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            values, labels = arrays["values"], arrays["labels"]
            image = arrays["image"] if "image" in arrays else np.zeros(2, np.int64)
            names = arrays["columns"] if "columns" in arrays else np.zeros(0, "U1")
    except (OSError, KeyError, ValueError) as error:
        raise BadInputError(f"{path} holds no synthetic rows; sample them again") from error
    if values.ndim != 2 or labels.shape != values.shape[:1] or image.shape != (2,):
        raise BadInputError(f"{path} holds {values.shape} values and {labels.shape} labels; sample them again")
    columns = tuple(str(name) for name in names)
    if len(columns) != values.shape[1]:
        columns = tuple(f"column_{place}" for place in range(values.shape[1]))
    height, width = (int(side) for side in image)
    shape = (height, width) if height * width == values.shape[1] else (0, 0)
    return SyntheticRows(np.asarray(values, np.float32), np.asarray(labels, np.int64), shape, columns)


def check_suffix(path: Path) -> str:
    """Its suffix, which says in which format rows are written.

    Raises:
      BadInputError: none of `FORMATS`.
    """
    if path.suffix not in FORMATS:
        raise BadInputError(
            f"{path} ends in none of {', '.join(FORMATS)}; the suffix says in which format rows are written"
        )
    return path.suffix


def write_synthetic_rows(rows: SyntheticRows, label: str, path: Path) -> None:
    """Into ``path``, in the format its suffix names, for its owner only; ``label`` is the name of the class column.

    Raises:
      BadInputError: another suffix than those of `FORMATS`; a grid of rows that are no images. RowsError: names that repeat.
    """
    write = FORMATS[check_suffix(path)]
    write_durably(path, write(rows, label))


def grid(rows: SyntheticRows, shown: int = SHOWN_OF_A_CLASS) -> NDArray[np.float32]:
    """A line of tiles for each class in ascending order, at most ``shown`` a line: float32[height, width] in [0, 1].

    Where rows are no images, a line of pixels for each row instead, one pixel a column.
    """
    bands = [_band(rows.values[rows.labels == label][:shown], rows.image) for label in np.unique(rows.labels)]
    widest = max(band.shape[1] for band in bands)
    bands = [np.pad(band, ((0, 0), (0, widest - band.shape[1])), constant_values=_PAPER) for band in bands]
    return np.pad(np.concatenate(bands), ((_BORDER, 0), (_BORDER, 0)), constant_values=_PAPER)


def _band(values: NDArray[np.float32], image: tuple[int, int]) -> NDArray[np.float32]:
    """Images side by side, each with a border below and to its right; lines of pixels with one below and to the right of all."""
    border = (0, _BORDER), (0, _BORDER)
    if not image[0]:
        return np.pad(values, border, constant_values=_PAPER)
    framed = np.pad(values.reshape(-1, *image), ((0, 0), *border), constant_values=_PAPER)
    return np.concatenate(list(framed), axis=1)


def png(image: NDArray[np.float32], scale: int = 1) -> bytes:
    """A grey image of values in [0, 1] as PNG, each pixel ``scale`` wide and high."""
    from matplotlib.image import imsave

    encoded = io.BytesIO()
    levels = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8).repeat(scale, axis=0).repeat(scale, axis=1)
    imsave(encoded, np.stack([levels] * 3, axis=2), format="png")
    return encoded.getvalue()


def png_size(encoded: bytes) -> tuple[int, int]:
    """Height and width, from a PNG's first chunk."""
    width, height = struct.unpack(">II", encoded[16:24])
    return height, width


def _npz(rows: SyntheticRows, label: str) -> bytes:
    encoded = io.BytesIO()
    np.savez_compressed(
        encoded,
        values=rows.values,
        labels=rows.labels,
        columns=np.array(rows.columns),
        image=np.array(rows.image, np.int64),
        label=np.array(label),
    )
    return encoded.getvalue()


def _parquet(rows: SyntheticRows, label: str) -> bytes:
    from coordinator.local.tables import synthetic_parquet

    return synthetic_parquet(rows.columns, rows.values, label, rows.labels)


def _png_grid(rows: SyntheticRows, _: str) -> bytes:
    if not rows.image[0]:
        raise BadInputError("these rows are no images, so no picture can show them; write .npz or .parquet")
    return png(grid(rows), scale=2)


FORMATS: Mapping[str, Callable[[SyntheticRows, str], bytes]] = {".npz": _npz, ".parquet": _parquet, ".png": _png_grid}
