import io
import math

import numpy as np
import pytest

from kernel.errors import RowsError, TertiumError
from kernel.network import LossName
from party.rows.labels import LabelEncoder
from party.rows.schema import Column
from party.rows.table import Table

ALL = np.arange(4, dtype=np.int64)

VALUES = {
    "ill": np.array([True, False, True, False]),
    "sex": np.array([1, 0, 0, 1], dtype=np.int32),
    "digit": np.array([3, 5, 4, 3]),
    "ward": np.array([0, 2, 1, 2], dtype=np.int32),
    "cost": np.array([1.0, 3.0, 5.0, 100.0]),
    "free": np.array([1, 2, 3, 4]),
}
SCHEMA = {
    "ill": Column(type="boolean"),
    "sex": Column(type="category", categories=("f", "m")),
    "digit": Column(type="integer", low=3, high=5),
    "ward": Column(type="category", categories=("n", "s", "w")),
    "cost": Column(type="real"),
    "free": Column(type="integer"),
}
TABLE = Table("t", None, 4, VALUES, SCHEMA)


@pytest.mark.parametrize(
    ("column", "loss", "outputs", "wanted", "dtype"),
    [
        ("ill", "binary", 1, [1, 0, 1, 0], np.float32),
        ("sex", "binary", 1, [1, 0, 0, 1], np.float32),
        ("digit", "multiclass", 3, [0, 2, 1, 0], np.int64),
        ("ward", "multiclass", 3, [0, 2, 1, 2], np.int64),
        ("ill", "multiclass", 2, [1, 0, 1, 0], np.int64),
    ],
)
def test_classes_by_index(column: str, loss: LossName, outputs: int, wanted: list[int], dtype: type) -> None:
    encoded = LabelEncoder.fit(TABLE, column, loss, outputs, ALL).encode(TABLE)
    assert encoded.tolist() == wanted
    assert encoded.dtype == dtype


def test_class_names_follow_the_index() -> None:
    assert LabelEncoder.fit(TABLE, "digit", "multiclass", 3, ALL).classes == ("3", "4", "5")
    assert LabelEncoder.fit(TABLE, "sex", "binary", 1, ALL).classes == ("f", "m")


def test_regression_is_standardised_by_training_rows_and_comes_back() -> None:
    encoder = LabelEncoder.fit(TABLE, "cost", "regression", 1, np.array([0, 1, 2], dtype=np.int64))
    encoded = encoder.encode(TABLE)
    deviation = math.sqrt(8 / 3)  # of 1, 3, 5
    np.testing.assert_allclose(encoded, np.array([-2, 0, 2, 97]) / deviation, rtol=1e-6)
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoder.decode(encoded[:, None]), VALUES["cost"], rtol=1e-6)


def test_sigmoid_is_stable_and_symmetric() -> None:
    encoder = LabelEncoder.fit(TABLE, "ill", "binary", 1, ALL)
    outputs = np.array([[0.0], [2.0], [-2.0], [1e4], [-1e4], [-50.0]], dtype=np.float32)
    probabilities = encoder.decode(outputs)
    wanted = [0.5, 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(2)), 1.0, 0.0, math.exp(-50)]
    np.testing.assert_allclose(probabilities, wanted, rtol=1e-12)
    assert probabilities.shape == (6,)


def test_probabilities_keep_the_order_where_float32_would_tie() -> None:
    probabilities = LabelEncoder.fit(TABLE, "ill", "binary", 1, ALL).decode(np.array([[20.0], [21.0]], np.float32))
    assert probabilities[0] < probabilities[1]


def test_softmax_is_stable_and_sums_to_one() -> None:
    encoder = LabelEncoder.fit(TABLE, "ward", "multiclass", 3, ALL)
    outputs = np.array([[0, math.log(2), math.log(5)], [1e4, 0, -1e4]], dtype=np.float32)
    np.testing.assert_allclose(encoder.decode(outputs), [[1 / 8, 2 / 8, 5 / 8], [1, 0, 0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("column", "loss", "outputs", "complaint"),
    [
        ("ward", "binary", 1, "declares 3 classes"),
        ("ill", "binary", 2, "plan says 2 outputs"),
        ("ward", "multiclass", 4, "declares 3 classes and the plan says 4 outputs; set outputs = 3"),
        ("cost", "multiclass", 3, "is real"),
        ("free", "multiclass", 4, "without low and high"),
        ("ill", "regression", 1, "regression needs a real or integer"),
        ("cost", "regression", 2, "set outputs = 1"),
        ("cots", "regression", 1, 'did you mean "cost"'),
    ],
)
def test_a_label_that_does_not_fit_the_loss(column: str, loss: LossName, outputs: int, complaint: str) -> None:
    with pytest.raises(RowsError, match=complaint):
        LabelEncoder.fit(TABLE, column, loss, outputs, ALL)


def test_one_class_in_the_training_rows_is_refused_even_if_others_have_more() -> None:
    with pytest.raises(RowsError, match="only one class in the 2 training rows"):
        LabelEncoder.fit(TABLE, "ill", "binary", 1, np.array([0, 2], dtype=np.int64))
    with pytest.raises(RowsError, match="only one class"):
        LabelEncoder.fit(TABLE, "digit", "multiclass", 3, np.array([0, 3], dtype=np.int64))
    with pytest.raises(RowsError, match="constant in the 1 training rows"):
        LabelEncoder.fit(TABLE, "cost", "regression", 1, np.array([3], dtype=np.int64))


@pytest.mark.parametrize(
    ("column", "loss", "outputs"),
    [("ill", "binary", 1), ("digit", "multiclass", 3), ("cost", "regression", 1)],
)
def test_state_survives_a_file_without_pickle(column: str, loss: LossName, outputs: int) -> None:
    encoder = LabelEncoder.fit(TABLE, column, loss, outputs, ALL)
    file = io.BytesIO()
    np.savez(file, **encoder.state())
    file.seek(0)
    with np.load(file, allow_pickle=False) as state:
        restored = LabelEncoder.from_state(dict(state))
    head = np.random.default_rng(2).normal(size=(5, outputs)).astype(np.float32)
    assert np.array_equal(restored.encode(TABLE), encoder.encode(TABLE))
    assert np.array_equal(restored.decode(head), encoder.decode(head))
    assert restored.classes == encoder.classes
    with pytest.raises(RowsError, match="not the state of a label encoder"):
        LabelEncoder.from_state({**encoder.state(), "loss": np.array("hinge")})


def test_another_declaration_or_shape_is_refused() -> None:
    encoder = LabelEncoder.fit(TABLE, "digit", "multiclass", 3, ALL)
    wider = Table("new", None, 4, {"digit": VALUES["digit"]}, {"digit": Column(type="integer", low=0, high=9)})
    with pytest.raises(RowsError, match="fitted to integer with 3 classes"):
        encoder.encode(wider)
    with pytest.raises(TertiumError, match=r"gave \[4, 2\]; wanted \[rows, 3\]"):
        encoder.decode(np.zeros((4, 2), dtype=np.float32))
