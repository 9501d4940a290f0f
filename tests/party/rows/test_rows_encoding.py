import io
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import RowsError
from party.rows.encoding import RowEncoder, mean_and_deviation
from party.rows.schema import Column
from party.rows.table import Table

SCHEMA = {
    "age": Column(type="integer"),
    "smoker": Column(type="boolean"),
    "ward": Column(type="category", categories=("n", "s", "w")),
    "dose": Column(type="real"),
    "flat": Column(type="real"),
}


def _table() -> Table:
    values = {
        "age": np.array([10, 20, 30, 1000]),
        "smoker": np.array([True, False, False, True]),
        "ward": np.array([2, 0, 0, 1], dtype=np.int32),
        "dose": np.array([1.0, 1.0, 4.0, -8.0]),
        "flat": np.full(4, 0.1),
    }
    return Table("t", None, 4, values, dict(SCHEMA))


TRAINING = np.array([0, 1, 2], dtype=np.int64)


def test_worked_by_hand() -> None:
    encoder = RowEncoder.fit(_table(), ["ward", "dose", "smoker", "age", "flat"], TRAINING, None)
    assert encoder.names == ("ward=n", "ward=s", "ward=w", "dose", "smoker", "age", "flat")
    assert encoder.width == 7
    age = np.sqrt(200 / 3)  # deviation of 10, 20, 30; of 1, 1, 4 it is sqrt(2), the mean 2
    wanted = [
        [0, 0, 1, -1 / np.sqrt(2), 1, -10 / age, 0],
        [1, 0, 0, -1 / np.sqrt(2), 0, 0, 0],
        [1, 0, 0, 2 / np.sqrt(2), 0, 10 / age, 0],
        [0, 1, 0, -10 / np.sqrt(2), 1, 980 / age, 0],
    ]
    encoded = encoder.encode(_table())
    np.testing.assert_allclose(encoded, wanted, rtol=1e-6, atol=1e-7)
    assert encoded.dtype == np.float32
    assert encoded.flags.c_contiguous


def test_clipping_touches_standardised_columns_only() -> None:
    encoded = RowEncoder.fit(_table(), list(SCHEMA), TRAINING, 0.5).encode(_table())
    assert encoded[:, 0].tolist() == [-0.5, 0.0, 0.5, 0.5]
    assert encoded[:, 1].tolist() == [1.0, 0.0, 0.0, 1.0]
    assert encoded[3, 2:5].tolist() == [0.0, 1.0, 0.0]


def test_rows_outside_the_training_rows_leave_no_trace() -> None:
    other = _table()
    other.values["age"][3] = 55
    first = RowEncoder.fit(_table(), list(SCHEMA), TRAINING).state()
    second = RowEncoder.fit(other, list(SCHEMA), TRAINING).state()
    assert all(np.array_equal(first[key], second[key]) for key in first)


@given(st.integers(1, 1300), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_blocks_equal_the_formula(rows: int, width: int, seed: int) -> None:
    drawn = np.random.default_rng(seed).normal(3, 50, size=(width, rows))
    names = [f"c{index}" for index in range(width)]
    table = Table("t", None, rows, dict(zip(names, drawn, strict=True)), dict.fromkeys(names, Column(type="real")))
    training = np.arange((rows + 1) // 2, dtype=np.int64)
    deviation = drawn[:, training].std(axis=1)
    deviation[deviation == 0] = 1
    wanted = (drawn - drawn[:, training].mean(axis=1)[:, None]) / deviation[:, None]
    np.testing.assert_allclose(RowEncoder.fit(table, names, training).encode(table), wanted.T, rtol=1e-4, atol=1e-5)


def test_a_large_offset_keeps_its_small_spread() -> None:
    values = {"age": np.array([1e9, 1e9 + 1, 1e9 + 2])}  # float32 could not tell these apart
    table = Table("t", None, 3, values, {"age": Column(type="real")})
    encoded = RowEncoder.fit(table, ["age"], np.arange(3, dtype=np.int64)).encode(table)
    np.testing.assert_allclose(encoded[:, 0], [-np.sqrt(1.5), 0, np.sqrt(1.5)], rtol=1e-6)


@pytest.mark.parametrize("clip", [None, 3.0])
@pytest.mark.parametrize("columns", [["smoker"], ["ward", "age"], list(SCHEMA)])
def test_state_survives_a_file_without_pickle(clip: float | None, columns: list[str]) -> None:
    encoder = RowEncoder.fit(_table(), columns, TRAINING, clip)
    file = io.BytesIO()
    np.savez(file, **encoder.state())
    file.seek(0)
    with np.load(file, allow_pickle=False) as state:
        restored = RowEncoder.from_state(dict(state))
    assert restored.names == encoder.names
    assert restored.clip_deviations == clip
    assert np.array_equal(restored.encode(_table()), encoder.encode(_table()))


def test_a_broken_state_is_refused() -> None:
    state = RowEncoder.fit(_table(), list(SCHEMA), TRAINING).state()
    with pytest.raises(RowsError, match="not the state of a row encoder"):
        RowEncoder.from_state({key: value for key, value in state.items() if key != "mean"})
    with pytest.raises(RowsError, match="not the state of a row encoder"):
        RowEncoder.from_state({**state, "types": np.array(["text"] * 5)})
    with pytest.raises(RowsError, match="deviations above 0"):
        RowEncoder.from_state({**state, "deviation": np.zeros(3)})
    with pytest.raises(RowsError, match=r"means \(1,\)"):
        RowEncoder.from_state({**state, "mean": np.zeros(1)})


def test_what_cannot_be_fitted_or_encoded() -> None:
    table = _table()
    with pytest.raises(RowsError, match="at least one"):
        RowEncoder.fit(table, [], TRAINING)
    with pytest.raises(RowsError, match='did you mean "dose"'):
        RowEncoder.fit(table, ["does"], TRAINING)
    with pytest.raises(RowsError, match="outside its 4 rows"):
        RowEncoder.fit(table, ["age"], np.array([4], dtype=np.int64))
    with pytest.raises(RowsError, match="clip_deviations is 0"):
        RowEncoder.fit(table, ["age"], TRAINING, 0.0)
    encoder = RowEncoder.fit(table, ["ward"], TRAINING)
    other = Table(
        "new",
        None,
        1,
        {"ward": np.zeros(1, dtype=np.int32)},
        {"ward": Column(type="category", categories=("n", "s"))},
    )
    with pytest.raises(
        RowsError, match=r"declared as category of 2 categories; the encoder was fitted to category of 3"
    ):
        encoder.encode(other)


def test_values_that_no_float_holds_are_refused_by_column() -> None:
    with pytest.raises(RowsError, match='Column "huge" spreads too far'):
        mean_and_deviation(np.array([1e200, -1e200]), "huge")
    values = {"dose": np.array([0.0, 1e-3, 1e300])}
    table = Table("t", None, 3, values, {"dose": Column(type="real")})
    encoder = RowEncoder.fit(table, ["dose"], np.array([0, 1], dtype=np.int64))
    with pytest.raises(RowsError, match=r'Column "dose" .* set clip_deviations'):
        encoder.encode(table)
    clipped = RowEncoder.fit(table, ["dose"], np.array([0, 1], dtype=np.int64), 8.0)
    assert clipped.encode(table)[2, 0] == 8.0


def test_many_columns_take_no_noticeable_time() -> None:
    rows, width = 5000, 784
    matrix = np.random.default_rng(1).random((width, rows), dtype=np.float32)
    names = [f"pixel{index}" for index in range(width)]
    table = Table("t", None, rows, dict(zip(names, matrix, strict=True)), dict.fromkeys(names, Column(type="real")))
    started = time.process_time()
    encoded = RowEncoder.fit(table, names, np.arange(rows, dtype=np.int64)).encode(table)
    assert time.process_time() - started < 2.0  # of the processor, whoever else wants it; took 0.08 s when written
    assert encoded.shape == (rows, width)


def test_a_unit_scale_maps_declared_bounds_and_looks_at_no_row() -> None:
    schema = {"pixel": Column(type="integer", low=0, high=255, scale="unit"), "age": Column(type="integer")}
    values = {"pixel": np.array([0, 51, 255, 102]), "age": np.array([1, 3, 2, 2])}
    table = Table("t", None, 4, values, schema)
    encoder = RowEncoder.fit(table, ["pixel", "age"], np.array([0, 1], dtype=np.int64))
    np.testing.assert_allclose(encoder.encode(table), [[0, -1], [0.2, 1], [1, 0], [0.4, 0]], atol=1e-7)
    alone = RowEncoder.fit(table, ["pixel"], np.array([0], dtype=np.int64))
    np.testing.assert_array_equal(alone.encode(table)[:, 0], encoder.encode(table)[:, 0])
    again = RowEncoder.from_state(encoder.state())
    np.testing.assert_array_equal(again.encode(table), encoder.encode(table))


@pytest.mark.parametrize("bounds", [{}, {"low": 0}, {"high": 1}, {"low": 1, "high": 1}])
def test_a_unit_scale_needs_both_bounds(bounds: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="declare both, and low below high"):
        Column(type="real", scale="unit", **bounds)
