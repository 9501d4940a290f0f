"""Synthetic rows in every format: each has every row's class, none is readable by others, grids are laid out as said."""

import dataclasses
import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from matplotlib.image import imread

from coordinator.synthetic_rows import (
    FORMATS,
    SyntheticRows,
    grid,
    png,
    png_size,
    read_synthetic_rows,
    write_synthetic_rows,
)
from kernel.errors import BadInputError

ROWS = SyntheticRows(
    values=np.arange(24, dtype=np.float32).reshape(4, 6) / 23,
    labels=np.array([7, 2, 7, 7], np.int64),
    image=(2, 3),
    columns=tuple(f"pixel{place}" for place in range(6)),
)


def test_npz_is_read_back(tmp_path):
    path = tmp_path / "rows.npz"
    write_synthetic_rows(ROWS, "digit", path)
    back = read_synthetic_rows(path)
    assert np.array_equal(back.values, ROWS.values)
    assert np.array_equal(back.labels, ROWS.labels)
    assert (back.image, back.columns) == (ROWS.image, ROWS.columns)
    with np.load(path) as arrays:
        assert str(arrays["label"]) == "digit"


def test_parquet_has_the_classes_in_the_column_of_the_table(tmp_path):
    path = tmp_path / "rows.parquet"
    write_synthetic_rows(ROWS, "digit", path)
    table = pq.read_table(path)
    assert table.column_names == [*ROWS.columns, "digit"]
    assert table["digit"].to_pylist() == [7, 2, 7, 7]
    assert np.array_equal(np.stack([table[name].to_numpy() for name in ROWS.columns], axis=1), ROWS.values)


def test_a_grid_has_a_line_of_tiles_for_each_class_in_order():
    seen = grid(ROWS)
    border, height, width = 2, 2, 3
    assert seen.shape == (border + 2 * (height + border), border + 3 * (width + border))
    first_of_2 = seen[border : border + height, border : border + width]
    assert np.array_equal(first_of_2, ROWS.values[1].reshape(2, 3))
    below = slice(2 * border + height, 2 * border + 2 * height)
    for place, row in enumerate((0, 2, 3)):
        left = border + place * (width + border)
        assert np.array_equal(seen[below, left : left + width], ROWS.values[row].reshape(2, 3))
    assert len(np.unique(seen[:border])) == 1  # the rest is paper
    assert grid(ROWS, shown=1).shape == (border + 2 * (height + border), border + width + border)


def test_a_png_shows_the_grid_and_says_its_size(tmp_path):
    path = tmp_path / "rows.png"
    write_synthetic_rows(ROWS, "digit", path)
    encoded = path.read_bytes()
    pixels = imread(io.BytesIO(encoded))[..., 0]
    assert pixels.shape == png_size(encoded) == tuple(2 * side for side in grid(ROWS).shape)
    assert np.array_equal(np.rint(255 * pixels[::2, ::2]), np.rint(255 * grid(ROWS)))
    assert png_size(png(np.zeros((3, 5), np.float32))) == (3, 5)


def test_rows_that_are_no_images_have_no_png_but_every_other_format(tmp_path):
    rows = dataclasses.replace(ROWS, image=(0, 0))
    with pytest.raises(BadInputError, match=r"no images, so no picture can show them; write \.npz or \.parquet"):
        write_synthetic_rows(rows, "digit", tmp_path / "rows.png")
    assert list(tmp_path.iterdir()) == []
    assert grid(rows).shape == (2 + 1 + 2 + 3 + 2, 2 + 6 + 2)  # a line of six pixels a row


@pytest.mark.parametrize("suffix", FORMATS)
def test_files_are_their_owners(tmp_path, suffix):
    path = tmp_path / f"rows{suffix}"
    write_synthetic_rows(ROWS, "digit", path)
    assert path.stat().st_mode & 0o077 == 0


def test_other_files_are_a_sentence(tmp_path):
    with pytest.raises(BadInputError, match=r"rows\.csv ends in none of \.npz, \.parquet, \.png"):
        write_synthetic_rows(ROWS, "digit", tmp_path / "rows.csv")
    (tmp_path / "broken.npz").write_bytes(b"no zip")
    with pytest.raises(BadInputError, match="holds no synthetic rows; sample them again"):
        read_synthetic_rows(tmp_path / "broken.npz")
    np.savez(tmp_path / "short.npz", values=ROWS.values, labels=ROWS.labels[:2])
    with pytest.raises(BadInputError, match=r"holds \(4, 6\) values and \(2,\) labels"):
        read_synthetic_rows(tmp_path / "short.npz")
