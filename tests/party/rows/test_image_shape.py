"""When columns side by side are an image, and a picture of recoveries that shows what it says."""

import io

import numpy as np
import pytest

from party.assessment.recoveries import SHOWN, draw_recoveries, grid, shown_rows
from party.assessment.view import View
from party.rows.builtin import builtin_columns
from party.rows.image_shape import image_shape
from party.rows.schema import Column

PIXEL = Column(type="real", low=0, high=255, scale="unit")


def columns(names):
    return dict.fromkeys(names, PIXEL)


def test_builtin_images_are_recognised_in_halves():
    for builtin, shape in (("digits", (8, 8)), ("mnist", (28, 28))):
        pixels = [(name, column) for name, column in builtin_columns(builtin).items() if name != "target"]
        half = len(pixels) // 2
        assert image_shape([dict(pixels[:half]), dict(pixels[half:])]) == shape
        assert image_shape([dict(pixels[half:]), dict(pixels[:half])]) is None  # the lower half first


@pytest.mark.parametrize(
    ("names", "shape"),
    [
        ([f"p{number}" for number in range(9)], (3, 3)),
        ([f"pixel_{row}_{place}" for row in range(2) for place in range(3)], (2, 3)),
        ([f"p{number}" for number in range(8)], None),  # no square
        ([f"p{number}" for number in range(1, 10)], None),  # one is missing
        ([*(f"p{number}" for number in range(8)), "age"], None),
        (["p0"], None),
    ],
)
def test_names_tell_the_shape(names, shape):
    assert image_shape([columns(names)]) == shape


def test_columns_of_another_scale_are_no_pixels():
    assert image_shape([dict.fromkeys((f"p{number}" for number in range(4)), Column(type="real"))]) is None


def test_classes_take_turns_and_leaked_rows_are_not_shown():
    labels = np.repeat([0, 1, 2], [50, 3, 20])
    leaked = np.arange(0, 73, 2)
    rows = shown_rows(labels, leaked, seed=3)
    assert len(rows) == SHOWN
    assert not set(rows) & set(leaked)
    assert list(np.bincount(labels[rows])) == [5, 1, 4]  # of class 1 one row was not leaked
    assert list(labels[rows]) == sorted(labels[rows])


def test_the_grid_shows_every_image_of_every_line():
    from matplotlib.image import imread

    light, dark = np.ones((4, 8, 8), np.float32), np.zeros((4, 8, 8), np.float32)
    picture = imread(io.BytesIO(grid([light, dark], ["original", "ridge"])))
    assert picture.shape[1] > 1.5 * picture.shape[0]
    lower = picture[picture.shape[0] // 2 + 10 :, picture.shape[1] // 2 :, :3]
    assert (lower.mean(axis=2) < 0.02).mean() > 0.5  # four black images


def test_a_view_of_the_pixels_themselves_gives_them_back(tmp_path):
    generator = np.random.default_rng(0)
    targets = generator.random((80, 16), np.float32)
    view = View(role="neutral-server", name="neutral-server", rows=np.arange(80), z1=targets[None])
    path = tmp_path / "plots" / "recoveries.png"
    labels = np.arange(80) % 3
    lines = draw_recoveries([view], targets, labels, path, (4, 4), effort="quick", fraction=0.5, seed=1)
    assert lines == [
        "original",
        "neutral-server: linear reader, last epoch",
        "neutral-server: neural reader, last epoch",
    ]
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_party_to_which_h1_is_revealed_has_a_line_of_its_own(tmp_path, monkeypatch):
    """The first half of the pixels is its own and shown as it is; h1 holds the other half, which comes back."""
    from party.assessment import recoveries

    drawn = []
    monkeypatch.setattr(recoveries, "grid", lambda lines, names: drawn.extend(lines) or b"")
    generator = np.random.default_rng(0)
    targets = generator.random((80, 16), np.float32)
    rows, own = np.arange(80), targets[:, :8]
    held = generator.standard_normal((8, 8)).astype(np.float32)
    h1 = own @ held + targets[:, 8:]
    server = View(role="neutral-server", name="neutral-server", rows=rows, h_last=targets[None])
    without = View(role="feature-holder", name="party-b", rows=rows, own_rows=own, own_weights=held)
    party = View(role="label-holder", name="party-a", rows=rows, own_rows=own, own_weights=held, h1=h1[None])
    views, labels, path = [server, without, party], np.arange(80) % 3, tmp_path / "recoveries.png"
    lines = draw_recoveries(views, targets, labels, path, (4, 4), effort="quick", fraction=0.5, seed=1)
    assert lines == ["original", "party-a: linear reader of h₁, own part taken out"]
    original, recovered = (line.reshape(-1, 16) for line in drawn)
    np.testing.assert_array_equal(original[:, :8], recovered[:, :8])
    np.testing.assert_allclose(original, recovered, atol=1e-2)
