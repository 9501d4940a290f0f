"""kernel.durable: what can be read is whole, what is not whole is not listed."""

import hashlib
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from kernel.durable import BarrierStore, append_durably, write_durably
from kernel.errors import BadInputError, TertiumError

PLAN, OTHER_PLAN = bytes(32), bytes([1] * 32)


def parts(number):
    rng = np.random.default_rng(number)
    return {
        "stack": {"kernel_1": rng.normal(size=(3, 2)).astype(np.float32), "step": np.array(number, np.int64)},
        "head": {"kernel": rng.normal(size=(2, 1)), "empty": np.zeros((0, 4))},
    }


def equal(found, wanted):
    assert found.keys() == wanted.keys()
    for name, arrays in wanted.items():
        assert found[name].keys() == arrays.keys()
        for key, array in arrays.items():
            assert found[name][key].dtype == array.dtype
            assert np.array_equal(found[name][key], array)


@pytest.fixture
def store(tmp_path):
    return BarrierStore(tmp_path / "barriers", PLAN)


def test_a_barrier_comes_back_as_it_was_held(store):
    store.hold(3, parts(3))
    equal(store.load(3), parts(3))


def test_the_answer_is_the_hash_of_the_manifest(store, tmp_path):
    answer = store.hold(1, parts(1))
    manifest = (tmp_path / "barriers" / "1" / "manifest.json").read_bytes()
    assert answer == hashlib.sha256(manifest).digest()
    part = (tmp_path / "barriers" / "1" / "stack.npz").read_bytes()
    assert json.loads(manifest)["parts"]["stack"] == hashlib.sha256(part).hexdigest()


def test_equal_parts_give_equal_answers_at_every_role(store, tmp_path):
    elsewhere = BarrierStore(tmp_path / "elsewhere", PLAN)
    assert store.hold(1, parts(1)) == elsewhere.hold(1, parts(1))
    assert store.hold(2, parts(2)) != elsewhere.hold(2, parts(3))


def test_nothing_is_held_at_first(store):
    assert store.held() == []
    with pytest.raises(BadInputError, match="barrier 0 of this plan is not held"):
        store.load(0)


def test_barrier_zero_and_the_newest_two_stay(store):
    for number in range(6):
        store.hold(number, parts(number))
    assert store.held() == [0, 4, 5]
    equal(store.load(0), parts(0))


def test_order_is_by_number_not_by_name(store):
    for number in (8, 9, 10, 11):
        store.hold(number, parts(number))
    assert store.held() == [10, 11]


def test_a_barrier_can_be_held_again(store):
    store.hold(1, parts(1))
    store.hold(1, parts(7))
    equal(store.load(1), parts(7))


def test_a_torn_barrier_is_not_listed(store, tmp_path):
    """Killed before the rename, or with the manifest not yet written."""
    store.hold(1, parts(1))
    barriers = tmp_path / "barriers"
    shutil.copytree(barriers / "1", barriers / "2.part")
    shutil.copytree(barriers / "1", barriers / "3")
    (barriers / "3" / "manifest.json").unlink()
    shutil.copytree(barriers / "1", barriers / "4")
    (barriers / "4" / "manifest.json").rename(barriers / "4" / "manifest.json.part")
    assert store.held() == [1]
    for torn in (2, 3, 4):
        with pytest.raises(BadInputError, match="is not held"):
            store.load(torn)


def test_what_a_killed_process_left_does_not_enter_the_next_barrier(store, tmp_path):
    left = tmp_path / "barriers" / "2.part"
    left.mkdir(parents=True)
    (left / "stale.npz").write_bytes(b"half a file")
    store.hold(2, parts(2))
    equal(store.load(2), parts(2))
    assert sorted(path.name for path in (tmp_path / "barriers" / "2").iterdir()) == [
        "head.npz",
        "manifest.json",
        "stack.npz",
    ]


KILLED = """
import os, signal, sys, itertools, pathlib
import numpy as np
from kernel.durable import BarrierStore
store = BarrierStore(pathlib.Path(sys.argv[1]), bytes(32))
for number in itertools.count():
    stack = {"w": np.full(200_000, number, np.float64)}
    store.hold(number, {"stack": stack, "head": {"w": np.full(9, number)}})
    print(number, flush=True)
"""


def test_whenever_a_process_is_killed_the_listed_barriers_are_whole(tmp_path):
    """kill -9 in the middle of whatever it does; every acknowledged barrier that should be kept is there."""
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        for line in process.stdout:
            acknowledged = int(line)
            if acknowledged >= 5:
                break
    finally:
        process.kill()
        rest, _ = process.communicate(timeout=10)
    acknowledged = int(rest.split()[-1]) if rest.split() else acknowledged
    store = BarrierStore(tmp_path, PLAN)
    held = store.held()
    assert {0, acknowledged} <= set(held)
    for number in held:
        loaded = store.load(number)
        assert np.array_equal(loaded["stack"]["w"], np.full(200_000, number, np.float64))


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_part_that_was_altered_is_detected(store, tmp_path, damage):
    store.hold(1, parts(1))
    part = tmp_path / "barriers" / "1" / "stack.npz"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "remove":
        part.unlink()
    else:
        part.write_bytes(data if damage == "flip" else data[:-1])
    with pytest.raises(TertiumError, match="part 'stack' of barrier 1 was changed or removed"):
        store.load(1)


def test_a_barrier_of_another_plan_is_not_listed(store, tmp_path):
    store.hold(1, parts(1))
    other = BarrierStore(tmp_path / "barriers", OTHER_PLAN)
    assert other.held() == []
    with pytest.raises(BadInputError, match="of this plan"):
        other.load(1)


def test_no_object_is_unpickled(store):
    store.hold(1, {"stack": {"w": np.array([{"a": 1}], dtype=object)}})
    with pytest.raises(ValueError, match="allow_pickle=False"):
        store.load(1)


def test_a_file_is_replaced_in_one_step(tmp_path):
    file = tmp_path / "deep" / "generation"
    write_durably(file, b"1")
    write_durably(file, b"22")
    assert file.read_bytes() == b"22"
    assert [path.name for path in file.parent.iterdir()] == ["generation"]


def test_lines_are_appended(tmp_path):
    file = tmp_path / "events.jsonl"
    for line in ("one", "zwei ε"):
        append_durably(file, line)
    assert file.read_text(encoding="utf-8") == "one\nzwei ε\n"
