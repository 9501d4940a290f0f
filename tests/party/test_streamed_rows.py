"""Rows on disk and rows in memory: the same encoder, labels, ids and batches, and so the same training, bit for bit."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kernel.batch_order import batch_seed, batches, epoch_order, split_rows
from kernel.errors import RowsError, SettingsError, TertiumError
from kernel.network import NetworkSpec, OptimizerSpec
from party.first_layer.norm_bounds import NormBounds
from party.first_layer.protocol import FirstLayerBlock
from party.label_head import LabelHead
from party.rows import ordered_copy, streamed_table
from party.rows.encoding import RowEncoder
from party.rows.schema import TableSettings
from party.run_rows import RunRows, TableRows, load_aligned, open_rows, summary
from party.streamed_rows import StreamedRows

ROWS, SEED, EPOCHS, BATCH = 700, 6, 3, 64
COLUMNS = {
    "age": {"type": "integer", "low": 0, "high": 120},
    "dose": {"type": "real"},
    "weight": {"type": "real"},
    "smoker": {"type": "boolean"},
    "ward": {"type": "category", "categories": ["north", "south", "west"]},
    "cost": {"type": "real"},
    "relapse": {"type": "boolean"},
}
INPUTS = ["age..ward"]
KEY = bytes(range(32))


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Many batches and buckets in few rows."""
    monkeypatch.setattr(streamed_table, "_MOST_ROWS", 50)
    monkeypatch.setattr(streamed_table, "_FEWEST_ROWS", 50)
    monkeypatch.setattr(ordered_copy, "BUCKET_BYTES", 2000)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    draw = np.random.default_rng(8)
    age, dose = draw.integers(20, 90, ROWS), draw.lognormal(0, 3, ROWS)
    ward = draw.integers(0, 3, ROWS)
    cells = {
        "patient": [f"p{number}" for number in draw.permutation(ROWS)],
        "age": age,
        "dose": dose,
        "weight": draw.normal(70, 12, ROWS).astype(np.float32),
        "smoker": draw.random(ROWS) < 0.3,
        "ward": pa.array([("north", "south", "west")[one] for one in ward]),
        "cost": 1e6 + 40.0 * age + draw.normal(size=ROWS),
        "relapse": age + 10 * ward + draw.normal(0, 9, ROWS) > 65,
    }
    path = tmp_path_factory.mktemp("table") / "rows.parquet"
    pq.write_table(pa.table(cells), path, row_group_size=170)
    return path


KINDS = {
    "row numbers": {},
    "sorted ids": {"id": "patient"},
    "ids in file order": {"id": "patient", "align": "file_order"},
    "first rows, sorted": {"id": "patient", "first_rows": 501},
    "clipped": {"clip_deviations": 1.5},
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def opened(file: Path, directory: Path, kind: dict[str, object], *, label: str = "relapse") -> tuple[RunRows, RunRows]:
    """The same rows in memory and on disk."""
    rows = []
    for storage in ("memory", "disk"):
        settings = TableSettings.model_validate({"source": str(file), "columns": COLUMNS, "storage": storage, **kind})
        rows.append(open_rows("patients", settings, INPUTS, label, None, directory))
    assert isinstance(rows[0], TableRows)
    assert isinstance(rows[1], StreamedRows)
    return rows[0], rows[1]


def fitted(rows: RunRows, clip: float | None, loss: str = "binary"):
    split = split_rows(rows.rows, 0.3, SEED)
    return split, rows.fit(split.train, clip), rows.fit_labels(loss, 1, split.train)


def test_encoder_labels_ids_and_encoded_rows_are_equal(file, tmp_path, kind):
    memory, disk = opened(file, tmp_path, kind)
    clip = kind.get("clip_deviations")
    assert disk.rows == memory.rows == kind.get("first_rows", ROWS)
    assert summary(disk, KEY) == summary(memory, KEY)
    memory_ids, disk_ids = memory.ids(), disk.ids()
    if "id" in kind:
        assert [text for texts in disk_ids for text in texts] == [text for texts in memory_ids for text in texts]
    else:
        assert disk_ids is memory_ids is None
    (_, encoder, labels), (_, disk_encoder, disk_labels) = fitted(memory, clip), fitted(disk, clip)
    for one, other in ((encoder.state(), disk_encoder.state()), (labels.state(), disk_labels.state())):
        assert all(np.array_equal(one[key], other[key]) for key in one)
    assert np.array_equal(memory.encode_labels(labels), disk.encode_labels(disk_labels))
    encoded, on_disk = memory.encode(encoder), disk.encode(disk_encoder)
    assert on_disk.shape == encoded.shape
    everything = np.arange(memory.rows)
    assert np.array_equal(on_disk[everything], encoded[everything])
    disk.close()


def test_long_rows_are_scaled_down_the_same_wherever_they_are_kept(file, tmp_path):
    memory, disk = opened(file, tmp_path, {})
    (_, encoder, _), (_, disk_encoder, _) = fitted(memory, None), fitted(disk, None)
    bounds, everything = NormBounds(1.5, 1.0), np.arange(memory.rows)
    free, bounded = memory.encode(encoder), memory.encode(encoder, bounds)
    assert np.array_equal(disk.encode(disk_encoder, bounds)[everything], bounded)
    lengths = [np.linalg.norm(rows.astype(np.float64), axis=1) for rows in (free, bounded)]
    assert lengths[1].max() <= 1.5 < lengths[0].max()
    short = lengths[0] <= 1.49
    assert short.any()
    assert np.array_equal(free[short], bounded[short])
    disk.close()


def test_the_streamed_encoder_is_numpys(file, tmp_path):
    _, disk = opened(file, tmp_path, {"id": "patient"})
    split, encoder, labels = fitted(disk, None)
    table = load_aligned("patients", TableSettings(source=str(file), columns=COLUMNS, id="patient"), INPUTS, "", None)
    for index, name in enumerate(("age", "dose", "weight")):
        values = table.table.values[name][split.train].astype(np.float64)
        assert encoder.mean[index] == pytest.approx(values.mean(), rel=1e-9)
        assert encoder.deviation[index] == pytest.approx(values.std(), rel=1e-9)
    assert labels.classes == ("false", "true")


def test_a_regression_label_is_standardised_alike(file, tmp_path):
    memory, disk = opened(file, tmp_path, {"id": "patient"}, label="cost")
    (_, _, labels), (_, _, disk_labels) = fitted(memory, None, "regression"), fitted(disk, None, "regression")
    assert (disk_labels.mean, disk_labels.deviation) == (labels.mean, labels.deviation)
    assert np.array_equal(disk.encode_labels(disk_labels), memory.encode_labels(labels))


def trained(rows: RunRows, clip: float | None) -> tuple[str, float]:
    """A network of one layer over the rows of one party, as the training loop takes its batches: (hash of weights, loss)."""
    split, encoder, labels = fitted(rows, clip)
    spec = NetworkSpec((4,), ("identity",), "binary", 1, OptimizerSpec("adam", 0.01), SEED)
    weights = np.random.default_rng(1).normal(0, 0.1, (encoder.width, 4)).astype(np.float32)
    block, head = FirstLayerBlock(rows.encode(encoder), weights, spec.optimizer), LabelHead(spec)
    targets, losses = rows.encode_labels(labels), []
    for epoch in range(EPOCHS):
        order = epoch_order(split.train, batch_seed(SEED, epoch))
        rows.announce(order)
        for numbers in batches(order, BATCH):
            batch = block.rows[numbers]
            loss, gradient = head.loss_and_gradient(batch @ block.weights, targets[numbers])
            head.apply()
            block.gather(batch, gradient)
            block.update()
            losses.append(loss)
    rows.announce(split.test)
    outputs = [head.forward(block.rows[numbers] @ block.weights) for numbers in batches(split.test, BATCH)]
    rows.close()
    state = hashlib.sha256(block.weights.tobytes() + head.kernel.tobytes() + np.concatenate(outputs).tobytes())
    assert losses[-1] < losses[0]
    return state.hexdigest(), losses[-1]


def test_training_from_disk_is_training_from_memory_bit_for_bit(file, tmp_path, kind):
    memory, disk = opened(file, tmp_path, kind)
    clip = kind.get("clip_deviations")
    assert trained(disk, clip) == trained(memory, clip)
    assert list(tmp_path.iterdir()) == []


def test_new_rows_to_predict_are_encoded_by_the_old_encoder(file, tmp_path):
    memory, disk = opened(file, tmp_path, {"id": "patient"}, label="")
    encoder = RowEncoder.from_state(memory.fit(np.arange(300), None).state())
    numbers = np.arange(ROWS)
    disk.check()
    assert np.array_equal(disk.encode(encoder)[numbers], memory.encode(encoder)[numbers])


def test_labels_wait_for_the_first_reading(file, tmp_path):
    _, disk = opened(file, tmp_path, {})
    with pytest.raises(TertiumError, match="before the rows were read"):
        disk.fit_labels("binary", 1, np.arange(10))


@pytest.mark.parametrize("method", ["check", "fit", "encode"])
def test_every_reading_refuses_a_bad_cell(file, tmp_path, method):
    table = pq.read_table(file)
    age = table["age"].to_pylist()
    age[333] = 121
    bad = tmp_path / "bad.parquet"
    pq.write_table(table.set_column(table.schema.get_field_index("age"), "age", pa.array(age)), bad)
    memory, _ = opened(file, tmp_path, {})
    encoder = memory.fit(np.arange(300), None)
    settings = TableSettings.model_validate({"source": str(bad), "columns": COLUMNS, "storage": "disk"})
    rows = open_rows("patients", settings, INPUTS, "", None, tmp_path)
    calls = {"check": rows.check, "fit": lambda: rows.fit(np.arange(9), None), "encode": lambda: rows.encode(encoder)}
    with pytest.raises(RowsError, match=re.escape('row 334, column "age": found a value above the range')):
        calls[method]()


def test_a_protocol_that_needs_all_rows_says_so(file, tmp_path):
    _, disk = opened(file, tmp_path, {})
    encoder = disk.fit(np.arange(300), None)
    block = FirstLayerBlock(disk.encode(encoder), np.zeros((encoder.width, 2), np.float32), OptimizerSpec("sgd", 0.1))
    with pytest.raises(SettingsError, match='set storage = "memory"'):
        block.rows_in_memory()
