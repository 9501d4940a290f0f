"""`tertium sample` on a local run whose roles were stopped: every format, the classes that were asked for, the same rows again."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from gan_runs import gan_plan_toml

from coordinator.cli.sampling import sample_local
from coordinator.cli.training import train_here
from coordinator.job_plan import parse_job_plan
from coordinator.sampling import Sampling
from coordinator.synthetic_rows import grid, png_size, read_synthetic_rows

pytestmark = pytest.mark.e2e

Ask = Callable[[Sampling, str], Path]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Trains a run, ends its roles, and samples from it into a file of the name given."""
    runs = tmp_path_factory.mktemp("sampled") / "runs"
    text = gan_plan_toml("sampled", job="gan", epochs=1)
    train_here(text, parse_job_plan(text), "sampled", runs, resume=False, baseline=False)

    def sampled(sampling: Sampling, name: str) -> Path:
        out = runs.parent / name
        sample_local("sampled", sampling, out, runs)
        return out

    return sampled


def test_a_run_is_sampled_from_in_every_format(ask: Ask):
    everything = read_synthetic_rows(ask(Sampling("party-b", 5, (), 3), "rows.npz"))
    assert everything.values.shape == (10, 64)
    assert everything.labels.tolist() == [0] * 5 + [1] * 5
    assert everything.columns[:2] == ("pixel_0_0", "pixel_0_1")
    assert everything.image == (8, 8)
    assert 0 <= everything.values.min() < everything.values.max() <= 1

    table = pq.read_table(ask(Sampling("party-b", 5, (1,), 3), "rows.parquet"))
    assert table.column_names == [*everything.columns, "target"]
    assert table["target"].to_pylist() == [1] * 5
    again = np.stack([table[name].to_numpy() for name in everything.columns], axis=1)
    np.testing.assert_allclose(again, everything.values[5:], atol=1e-6)  # the same seed

    picture = ask(Sampling("party-a", 4, (), 0), "rows.png")
    assert png_size(picture.read_bytes()) == (2 * (2 * (8 + 2) + 2), 2 * (4 * (8 + 2) + 2))


def test_the_run_directory_has_report_grids_and_what_was_sampled(ask: Ask):
    directory = ask(Sampling("party-a", 1, (0,), 0), "one.npz").parent / "runs" / "sampled"
    assert "No differential privacy." in (directory / "report.html").read_text(encoding="utf-8")
    assert (directory / "tensorboard" / "party-a").is_dir()
    events = [json.loads(line) for line in (directory / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    last = [event for event in events if event["event"] == "sampled"][-1]
    assert (last["party"], last["rows"]) == ("party-a", 1)
    assert grid(read_synthetic_rows(directory / last["file"])).shape == (8 + 4, 8 + 4)
