"""coordinator.sweeps.bench_log: what was measured comes back, and medians are medians."""

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.sweeps.bench_log import LOG_NAME, BenchLog, spread_of
from kernel.errors import BadInputError


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=30))
def test_a_spread_is_the_order_statistics(values):
    found, ordered = spread_of(values), sorted(values)
    half = len(values) // 2
    middle = ordered[half] if len(values) % 2 else Fraction(ordered[half - 1] + ordered[half], 2)
    assert found.median == middle
    assert (found.lowest, found.highest, found.n) == (ordered[0], ordered[-1], len(values))
    assert found.lowest <= found.low_quartile <= found.median <= found.high_quartile <= found.highest


def test_quartiles_of_five_are_the_second_and_the_fourth():
    found = spread_of([5.0, 1.0, 4.0, 2.0, 3.0])
    assert (found.low_quartile, found.median, found.high_quartile) == (2.0, 3.0, 4.0)


def test_nothing_measured_has_no_spread():
    with pytest.raises(BadInputError, match="no value was measured"):
        spread_of([])


def test_records_come_back_by_benchmark_with_versions_and_machine(tmp_path):
    log = BenchLog(tmp_path / "out")
    written = log.append("epoch", {"seconds": spread_of([2.0, 1.0, 4.0]), "case": "x"})
    log.append("size", {"slope": 1.5})
    log.append("epoch", {"case": "y"})
    first, second = log.records("epoch")
    assert first == written
    assert second["case"] == "y"
    assert first["seconds"] == {
        "median": 2.0, "low_quartile": 1.5, "high_quartile": 3.0, "lowest": 1.0, "highest": 4.0, "n": 3,
    }  # fmt: skip
    assert first["versions"]["numpy"]
    assert first["machine"]["cores"] >= 1
    assert log.records("depth") == []


def test_an_empty_directory_has_no_records(tmp_path):
    assert BenchLog(tmp_path).records("epoch") == []


@pytest.mark.parametrize(("line", "sentence"), [("{", "line 2 of .* is not JSON"), ('{"a": 1}', "line 2 .* no record")])
def test_a_damaged_log_is_named_with_its_line(tmp_path, line, sentence):
    log = BenchLog(tmp_path)
    log.append("epoch", {})
    with (tmp_path / LOG_NAME).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(BadInputError, match=sentence):
        log.records("epoch")


def test_only_plain_values_are_recorded(tmp_path):
    with pytest.raises(TypeError, match="cannot hold a set"):
        BenchLog(tmp_path).append("epoch", {"bad": {1, 2}})
    assert not (tmp_path / LOG_NAME).exists()


def test_a_record_is_one_line_of_json(tmp_path):
    BenchLog(tmp_path).append("epoch", {"text": "two\nlines"})
    (line,) = (tmp_path / LOG_NAME).read_text().splitlines()
    assert json.loads(line)["text"] == "two\nlines"
