"""Rows on disk answer as the array they were written from, in a pass that was announced and out of it."""

import gc
import os
import stat
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.errors import RowsError, TertiumError
from party.rows import disk_rows, ordered_copy
from party.rows.disk_rows import DiskRows
from party.rows.ordered_copy import OrderedCopy
from party.rows.scratch_file import ScratchFile, row_bytes


def array_of(rows: int, columns: int) -> np.ndarray:
    return np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)


def kept(directory: Path, array: np.ndarray, order: np.ndarray | None = None, *, at_once: int = 13) -> DiskRows:
    found = DiskRows(directory, *array.shape, order)
    for start in range(0, len(array), at_once):
        found.write(start, array[start : start + at_once])
    return found


def open_files(directory: Path) -> list[str]:
    """What this process holds open below a directory."""
    targets = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [target for target in targets if target.startswith(str(directory))]


cases = st.tuples(st.integers(1, 60), st.integers(1, 4), st.integers(1, 9), st.integers(0, 2**32 - 1), st.booleans())


@settings(max_examples=60, deadline=None)
@given(cases, st.integers(1, 200), st.sampled_from([8, 64, 1 << 20]))
def test_any_pass_gives_the_rows_of_the_array(tmp_path_factory, case, bucket, gap):
    rows, columns, batch, seed, reordered = case
    draw = np.random.default_rng(seed)
    array = array_of(rows, columns)
    order = draw.permutation(rows) if reordered else None
    aligned = array if order is None else array[order]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordered_copy, "BUCKET_BYTES", bucket)
        patch.setattr(disk_rows, "_GAP_BYTES", gap)
        patch.setattr(disk_rows, "_SPAN_BYTES", 4 * gap)
        found = kept(tmp_path_factory.mktemp("rows"), array, order)
        assert found.shape == aligned.shape
        assert len(found) == rows
        for wanted in (draw.permutation(rows)[: rows // 2 + 1], np.sort(draw.permutation(rows)[: rows // 3 + 1])):
            for announced in (True, False):
                if announced:
                    found.announce(wanted)
                for start in range(0, len(wanted), batch):
                    numbers = wanted[start : start + batch]
                    got = found[numbers]
                    assert got.dtype == np.float32
                    assert np.array_equal(got, aligned[numbers])
        found.close()


def test_a_pass_is_served_from_its_copy_and_other_rows_are_not(tmp_path, monkeypatch):
    array = array_of(500, 3)
    found = kept(tmp_path, array)
    order = np.random.default_rng(1).permutation(500)
    gathered = []
    monkeypatch.setattr(found, "_gather", lambda rows: gathered.append(len(rows)) or array[rows])
    found.announce(order)
    for start in range(0, 400, 50):
        assert np.array_equal(found[order[start : start + 50]], array[order[start : start + 50]])
    assert gathered == []
    assert np.array_equal(found[order[:7]], array[order[:7]])  # not the next of the pass
    assert gathered == [7]
    assert np.array_equal(found[order[400:450]], array[order[400:450]])  # the pass goes on where it was
    assert gathered == [7]


def test_a_pass_in_the_order_on_disk_is_not_copied(tmp_path):
    found = kept(tmp_path, array_of(50, 3))
    before = len(open_files(tmp_path))
    found.announce(np.arange(10, 40))
    assert len(open_files(tmp_path)) == before
    found.announce(np.arange(40, 10, -1))
    assert len(open_files(tmp_path)) == before + 1


def test_rows_repeat_and_come_in_any_order_where_no_pass_was_announced(tmp_path):
    array = array_of(30, 2)
    found = kept(tmp_path, array)
    numbers = np.array([29, 0, 0, 17, 29])
    assert np.array_equal(found[numbers], array[numbers])
    assert found[np.empty(0, np.int64)].shape == (0, 2)
    for outside in (-1, 30):
        with pytest.raises(IndexError, match="outside the 30 rows"):
            found[np.array([3, outside])]


@pytest.mark.parametrize(("order", "sentence"), [([3, 1, 3], "names a row twice"), ([2, 1, 9], "outside the 9")])
def test_a_pass_names_each_row_once(tmp_path, order, sentence):
    source = ScratchFile(tmp_path)
    source.write(array_of(9, 2), 0)
    with pytest.raises(RowsError, match=sentence):
        OrderedCopy(source, (9, 2), np.array(order, dtype=np.int64), tmp_path)


def test_blocks_of_another_shape_type_or_place_are_refused(tmp_path):
    found = DiskRows(tmp_path, 10, 3)
    for first_row, block in (
        (0, np.zeros((2, 4), np.float32)),
        (0, np.zeros((2, 3))),
        (9, np.zeros((2, 3), np.float32)),
    ):
        with pytest.raises(RowsError, match=r"wanted float32\[n, 3\] within 10 rows"):
            found.write(first_row, block)


def test_files_are_nameless_private_and_gone_when_closed(tmp_path):
    directory = tmp_path / "state" / "run"  # made when needed
    found = kept(directory, array_of(40, 2))
    found.announce(np.arange(39, -1, -1))
    assert list(directory.iterdir()) == []
    assert len(open_files(directory)) == 2
    assert all(name.endswith(" (deleted)") for name in open_files(directory))
    status = os.fstat(found._file._descriptor)
    assert (stat.S_IMODE(status.st_mode), status.st_nlink, status.st_size) == (0o600, 0, 320)
    found.close()
    found.close()
    assert open_files(directory) == []
    with pytest.raises(TertiumError, match="closed"):
        found[np.array([1])]


def test_forgotten_rows_give_their_space_back(tmp_path):
    found = kept(tmp_path, array_of(40, 2))
    assert open_files(tmp_path)
    del found
    gc.collect()
    assert open_files(tmp_path) == []


def test_a_file_shorter_than_asked_for_is_a_fault(tmp_path):
    file = ScratchFile(tmp_path)
    file.write(array_of(2, 2), 0)
    with pytest.raises(TertiumError, match="ends 8 bytes early"):
        file.read_into(np.empty((3, 2), np.float32), 0)
    assert row_bytes(2) == 8


def test_a_directory_that_cannot_hold_rows_is_named(tmp_path):
    (tmp_path / "state").write_text("a file")
    with pytest.raises(RowsError, match=r"rows cannot be kept in .*state: .*free some space"):
        ScratchFile(tmp_path / "state")


def test_a_full_disk_is_a_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    file = ScratchFile(tmp_path)
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(RowsError, match="No space left on device; free some space there"):
        file.write(array_of(2, 2), 0)


def test_closing_from_another_thread_fails_the_reader_and_nobody_else(tmp_path):
    """The descriptor's number may belong to another file a moment later: nothing may be read through it."""
    found = kept(tmp_path, array_of(1000, 2))
    closer = threading.Thread(target=found.close)
    closer.start()
    closer.join()
    other = kept(tmp_path, array_of(1000, 2) + 5)
    with pytest.raises(TertiumError, match="closed"):
        found[np.arange(3)]
    assert np.array_equal(other[np.arange(3)], array_of(1000, 2)[:3] + 5)
