"""`bench memory` at a size of seconds: real roles, real files, and nothing left of them."""

import io
import signal
import tempfile

import numpy as np
import pyarrow.parquet as pq
import pytest
from command_line import outcome_of, start, tertium_here, wait_until
from rich.console import Console

from coordinator.cli.memory_table import print_memory
from coordinator.local.federation import local_table
from coordinator.local.tables import table_size
from coordinator.plan import parse_plan
from coordinator.report.benchmarks.memory import section
from coordinator.report.benchmarks.page import write_page
from coordinator.sweeps.bench_log import BenchLog
from coordinator.sweeps.memory import SERVER, MemoryCase, _write, measure_memory, memory_plan
from kernel.errors import BadInputError
from kernel.plan_message import plan_hash

ROWS = 4000


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """(figures, plan, what was said, the directory for temporary files) of one benchmark."""
    directory, said = tmp_path_factory.mktemp("temporary"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(directory))
        figures, plan = measure_memory(MemoryCase(ROWS, 5, 2, 250), Console(file=said, width=200))
    return figures, plan, said.getvalue(), directory


@pytest.mark.e2e
def test_a_tenth_and_all_of_the_rows_are_trained(measured):
    figures, plan, said, _ = measured
    assert [run["rows"] for run in figures["runs"]] == [400, ROWS]
    assert "400 rows (320 to train), 3 encoded columns" in said
    assert f"{ROWS} rows (3200 to train), 2 encoded columns" in said
    assert [len(run["epoch_seconds"]) for run in figures["runs"]] == [2, 2]
    for run in figures["runs"]:
        for spent in run["rows_seconds"].values():
            assert len(spent) == 2
            assert all(0 < rows < epoch for rows, epoch in zip(spent, run["epoch_seconds"], strict=True))
    assert figures["runs"][1]["auc"] > 0.55  # it did learn: 800 test rows, the best is 0.835
    assert plan.epochs == 2


@pytest.mark.e2e
def test_every_role_is_measured_and_the_parties_stay_within_their_bound(measured):
    figures = measured[0]
    for run in figures["runs"]:
        assert set(run["roles"]) == {"coordinator", SERVER, "party-a", "party-b"}
        for role, sizes in run["roles"].items():
            assert 20e6 < sizes["idle"] <= sizes["peak"], role
            assert max(size for _, size in sizes["series"]) <= sizes["peak"]
            assert 0 < len(sizes["series"]) <= 200
        for party in ("party-a", "party-b"):
            sizes = run["roles"][party]
            assert sizes["bound"] == pytest.approx(
                sizes["idle"] + sizes["fixed_bytes"] + sizes["bytes_per_row"] * run["rows"], abs=1
            )
            assert sizes["peak"] <= sizes["bound"]
    assert figures["within_bound"] is True
    peaks = [run["roles"][SERVER]["peak"] for run in figures["runs"]]
    assert figures["server_growth_bytes"]["with_rows"] == peaks[1] - peaks[0]


@pytest.mark.e2e
def test_nothing_is_left(measured):
    assert list(measured[3].iterdir()) == []


@pytest.mark.e2e
def test_the_record_makes_a_page(measured, tmp_path):
    figures, plan, *_ = measured
    record = BenchLog(tmp_path).append("memory", figures, plan)
    assert record["plan_hash"] == plan_hash(plan.message()).hex()
    page = write_page(tmp_path, {"memory": section}).read_text()
    assert "Every party stayed within its bound." in page
    assert (tmp_path / "benchmarks" / "memory.png").read_bytes().startswith(b"\x89PNG")
    printed = io.StringIO()
    print_memory(record, Console(file=printed, width=200))
    assert "every party stayed within its bound" in printed.getvalue()
    assert printed.getvalue().count("neutral-server") == 2


def test_the_plan_brings_each_party_its_half(tmp_path):
    case = MemoryCase(1000, 5)
    tables = _write(case, tmp_path)
    plan = parse_plan(memory_plan(case, {party: {**one, "first_rows": 700} for party, one in tables.items()}))
    assert [list(party.columns) for party in plan.parties] == [["V1..V3"], ["V4..V5"]]
    sizes = {
        party.name: table_size(party.table, local_table(plan, party.table), party.columns) for party in plan.parties
    }
    assert sizes == {"party-a": (700, 3), "party-b": (700, 2)}
    assert {party: pq.read_schema(tmp_path / f"{party}.parquet").names for party in tables} == {
        "party-a": ["V1", "V2", "V3", "y"],
        "party-b": ["V4", "V5"],
    }
    assert all(section["storage"] == "disk" for section in plan.local.tables.values())
    cells = pq.read_table(tmp_path / "party-a.parquet")["V1"].to_numpy()
    assert len(np.unique(cells)) > 990


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ((199, 28), "199 rows were asked for; 200 or more"),
        ((-5, 28), "-5 rows were asked for"),
        ((5000, 1), "1 columns were asked for; 2 or more"),
        ((5000, 2, 0), "0 epochs were asked for; 1 or more"),
        ((5000, 2, 1, 0), "0 rows a batch were asked for; 1 or more"),
    ],
)
def test_sizes_that_cannot_be_measured(numbers, sentence):
    with pytest.raises(BadInputError, match=sentence):
        MemoryCase(*numbers)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--rows", "5"], "5 rows were asked for; 200 or more are needed"),
        (["--rows", "many"], "Invalid value for '--rows': Input should be a valid integer"),
        (["--columns", "1"], "1 columns were asked for"),
        (["--epochs", "0"], "0 epochs were asked for"),
    ],
)
def test_a_command_line_that_cannot_be_measured(arguments, sentence, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tertium_here(capfd, "bench", "memory", *arguments).refused(2, sentence)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.e2e
def test_an_interrupted_benchmark_leaves_nothing(tmp_path, monkeypatch):
    """Ctrl-C in the middle of training: files and roles go, no record is written."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    process = start("bench", "memory", "--rows", 2000, "--batch-rows", 2, "--epochs", 50, "--out", "out", cwd=tmp_path)

    def training():
        return list(directory.glob("tertium-memory-*/runs/rows-200/roles/party-a/state/rows-200/barriers/1"))

    wait_until(training, "the first barrier")
    process.send_signal(signal.SIGINT)
    outcome = outcome_of(process)
    assert outcome.code == 130, outcome
    assert list(directory.iterdir()) == []
    assert not (tmp_path / "out").exists()
