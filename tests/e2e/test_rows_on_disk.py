"""Parties that keep their rows on disk, as daemons: the run of memory, bit for bit, and nothing left behind."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import tertium, wait_until
from local_runs import FinishedRun, follow, part, plan_toml, predict, train

from coordinator.local.federation import LocalFederation
from coordinator.plan import parse_plan
from coordinator.run_store import Event

pytestmark = pytest.mark.e2e

ROWS = 3000
COLUMNS = {"clinic": ["age", "stage"], "laboratory": ["iron", "sugar"]}
SCHEMA: dict[str, dict[str, Any]] = {
    "age": {"type": "integer", "low": 0, "high": 120},
    "stage": {"type": "category", "categories": ["I", "II", "III"]},
    "iron": {"type": "real"},
    "sugar": {"type": "real"},
    "relapse": {"type": "boolean"},
}
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="open files of a process are read from /proc"
)


def write_tables(directory: Path) -> dict[str, Path]:
    """The same people at both parties, each file in an order of its own."""
    draw = np.random.default_rng(12)
    stage, age = draw.integers(0, 3, ROWS), draw.integers(20, 95, ROWS)
    sugar = draw.normal(90, 20, ROWS)
    cells: dict[str, Any] = {
        "age": age,
        "stage": np.array(["I", "II", "III"])[stage],
        "iron": draw.lognormal(3, 1, ROWS),
        "sugar": sugar,
        "relapse": age + 15 * stage + sugar / 2 + draw.normal(0, 10, ROWS) > 117,
    }
    files = {}
    for party in COLUMNS:
        order = draw.permutation(ROWS)
        ids = [f"p{number:04d}" for number in range(ROWS)]
        table = pa.table({"patient": ids, **cells}).take(pa.array(order))
        files[party] = directory / f"{party}.parquet"
        pq.write_table(table, files[party], row_group_size=700)
    return files


def plan_of(table: str, protocol: str = "masked_sum") -> str:
    parties = [part("clinic", table, *COLUMNS["clinic"]), part("laboratory", table, *COLUMNS["laboratory"])]
    parties[1]["label"] = "relapse"
    return plan_toml(f"{table}-{protocol}".replace("_", "-"), parties, protocol=protocol, batch_rows=100)


class StoringFederation(LocalFederation):
    """Every party declares its file twice: `held` in memory, `kept` on disk."""

    def __init__(self, directory: Path, files: dict[str, Path]) -> None:
        self._files = files
        super().__init__(directory / "runs" / "roles", parse_plan(plan_of("kept")))

    def _config(self, name: str, document: dict[str, Any]) -> None:
        if name in self._files:
            section = {"source": str(self._files[name]), "id": "patient", "columns": SCHEMA}
            document["tables"] = {
                "held": section,
                "kept": {**section, "storage": "disk"},
            }
            document["policy"]["columns"] = {"held": COLUMNS[name], "kept": COLUMNS[name]}
            document["policy"]["labels"] = {"held": ["relapse"], "kept": ["relapse"]}
            document["policy"]["reveal_h1"] = True
        super()._config(name, document)

    def state(self, name: str) -> Path:
        return self.roles / name / "state"

    def scratch_files(self, name: str) -> list[str]:
        """What a role holds open of the scratch files below its state directory."""
        links = Path(f"/proc/{self.process_id(name)}/fd").iterdir()
        targets = [str(link.readlink()) for link in links if link.is_symlink()]
        return [
            target for target in targets if target.startswith(f"{self.state(name).resolve()}/") and "/rows-" in target
        ]


@dataclass
class Runs:
    """One run of each storage, and what was seen at the end of the first epoch from disk."""

    federation: StoringFederation
    held: FinishedRun
    kept: FinishedRun
    open_files: dict[str, list[str]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    directory = tmp_path_factory.mktemp("disk")
    seen: dict[str, list[str]] = {}
    with StoringFederation(directory, write_tables(directory)) as federation:

        def look(event: Event) -> None:
            if event["event"] == "epoch" and not seen and Path("/proc").exists():
                seen.update({party: federation.scratch_files(party) for party in COLUMNS})

        held = train(federation, plan_of("held"), "held")
        kept = train(federation, plan_of("kept"), "kept", look)
        yield Runs(federation, held, kept, seen)


def test_every_weight_is_the_one_trained_from_memory(runs: Runs):
    for role, parts in {"clinic": 2, "laboratory": 4, "neutral-server": 1}.items():
        for number in (0, runs.kept.plan.epochs):
            held, kept = runs.held.barrier(role, number), runs.kept.barrier(role, number)
            assert list(held) == list(kept)
            assert len(held) == parts
            for name in held:
                for key, array in held[name].items():
                    assert np.array_equal(kept[name][key], array), (role, number, name, key)
    assert np.abs(runs.kept.theta("clinic") - runs.kept.theta("clinic", 0)).max() > 1e-3


def test_a_defender_learns_from_rows_on_disk_as_from_memory(runs: Runs):
    section = "[defender]\nweight = 0.5\nreveal_h1 = true\nwidths = [8]\n"
    held, kept = (
        train(runs.federation, f"{plan_of(table)}\n{section}".replace("epochs = 3", "epochs = 1"), f"{table}-defended")
        for table in ("held", "kept")
    )
    for role in ("clinic", "laboratory", "neutral-server"):
        for name, arrays in held.barrier(role).items():
            for key, array in arrays.items():
                assert np.array_equal(kept.barrier(role)[name][key], array), (role, name, key)
    first, last = (held.barrier("clinic", number)["defender"]["kernel_0"] for number in (0, 1))
    assert np.abs(last - first).max() > 1e-2


def test_losses_and_scores_are_equal_too(runs: Runs):
    def said(run: FinishedRun) -> list[Any]:
        return [
            (event.get("loss"), event.get("scores")) for event in run.events if event["event"] in ("epoch", "evaluated")
        ]

    assert said(runs.kept) == said(runs.held)
    assert said(runs.kept)[-1][1]["auc"]["value"] > 0.7


def test_predictions_are_equal(runs: Runs):
    """Both models predict both tables; a file is the same to the byte."""
    state = runs.federation.state("laboratory")
    files = [
        (state / predict(runs.federation, run, table)["file"]).read_bytes()
        for run, table in (("held", "held"), ("held", "kept"), ("kept", "kept"))
    ]
    assert files[0] == files[1] == files[2]
    assert files[0].count(b"\n") == ROWS + 1
    assert files[0].splitlines()[1].startswith(b'"p0000"')


@needs_proc
def test_while_it_trains_rows_lie_in_files_without_a_name(runs: Runs):
    for party, files in runs.open_files.items():
        assert len(files) == 2, party  # the rows, and the rows in the epoch's order
        assert all(file.endswith(" (deleted)") for file in files)
    for party in COLUMNS:
        assert not list(runs.federation.state(party).rglob("rows-*"))


@needs_proc
def test_a_finished_run_gives_the_disk_back(runs: Runs):
    for party in COLUMNS:
        wait_until(lambda party=party: not runs.federation.scratch_files(party), f"{party} to close its scratch files")


def test_beaver_is_refused_before_a_row_is_read(runs: Runs):
    """The sentence names the party, the table and both remedies; the parties live on."""
    _, first = runs.federation.client.submit(plan_of("kept", "beaver"), "beaver")
    *_, last = follow(runs.federation.client, "beaver", first)
    assert last["event"] == "failed"
    assert last["reason"] == "FAILURE_REASON_BAD_INPUT"
    assert "beaver holds E and U of all rows in memory, and table 'kept' of " in last["sentence"]
    assert 'use protocol = "masked_sum", or storage = "memory"' in last["sentence"]
    assert train(runs.federation, plan_of("held", "beaver"), "held-beaver").events[-1]["event"] == "done"


def test_the_doctor_reads_a_table_on_disk_and_compares_its_order(runs: Runs, tmp_path: Path):
    outcome = tertium("doctor", runs.federation.party_config("clinic"), cwd=tmp_path)
    assert outcome.code == 0, outcome
    assert f"table 'kept': {ROWS} rows, 2 columns" in outcome.out
    assert f"table 'kept' with 'laboratory': {ROWS} rows on both sides, order hashes agree" in outcome.out


@needs_proc
def test_kill_9_leaves_no_row_behind(runs: Runs):
    """In the middle of a run; the last test here, for it takes a party away."""
    before = {path.name for path in runs.federation.state("clinic").iterdir()}
    endless = plan_of("kept").replace("epochs = 3", "epochs = 500")
    _, first = runs.federation.client.submit(endless, "killed")
    for event in follow(runs.federation.client, "killed", first):
        if event["event"] == "epoch":
            assert runs.federation.scratch_files("clinic")
            runs.federation.kill_role("clinic")
            break
    state = runs.federation.state("clinic")
    assert {path.name for path in state.iterdir()} == before | {"killed"}
    assert {path.name for path in (state / "killed").iterdir()} <= {"barriers", "generation"}
