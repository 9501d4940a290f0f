"""Predictions are written row by row whatever pieces they come in, and appear whole or not at all."""

import csv
import stat

import numpy as np
import pytest

from kernel.errors import TertiumError
from party import predictions
from party.predictions import write_predictions

ROWS = 23


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(predictions, "_ROWS_AT_ONCE", 5)


def read(file):
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_row_numbers_and_probabilities(tmp_path):
    outputs = np.random.default_rng(1).normal(size=(ROWS, 1)).astype(np.float32)
    file = tmp_path / "predictions" / "run.csv"
    write_predictions(file, None, "binary", outputs, lambda linear: linear[:, 0].astype(np.float64) / 3)
    rows = read(file)
    assert [int(row["row"]) for row in rows] == list(range(1, ROWS + 1))
    assert [float(row["probability"]) for row in rows] == (outputs[:, 0].astype(np.float64) / 3).tolist()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_ids_in_pieces_and_classes(tmp_path):
    outputs = np.random.default_rng(2).random((ROWS, 3)).astype(np.float32)
    ids = [f'p"{number}' for number in range(ROWS)]
    pieces = iter([ids[:4], ids[4:20], ids[20:]])
    write_predictions(tmp_path / "run.csv", pieces, "multiclass", outputs, lambda linear: linear.astype(np.float64))
    rows = read(tmp_path / "run.csv")
    assert [row["id"] for row in rows] == ids
    assert [int(row["class"]) for row in rows] == outputs.argmax(axis=1).tolist()
    assert [float(row["probability_2"]) for row in rows] == outputs[:, 2].astype(np.float64).tolist()


def test_a_failure_half_way_leaves_what_was_there(tmp_path):
    file = tmp_path / "run.csv"
    file.write_text("before")
    calls = []

    def decode(linear):
        calls.append(len(linear))
        if len(calls) == 3:
            raise TertiumError("stopped")
        return linear[:, 0]

    with pytest.raises(TertiumError, match="stopped"):
        write_predictions(file, None, "regression", np.zeros((ROWS, 1), np.float32), decode)
    assert calls == [5, 5, 5]
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]
