"""coordinator.sweeps.gan_epoch: the case's plan, and what is made of a run's events and the original loop's seconds."""

import json

import pytest
from command_line import tertium_here

from coordinator.job_plan import parse_job_plan
from coordinator.report.benchmarks.page import write_page
from coordinator.report.benchmarks.privgan import section
from coordinator.sweeps import gan_epoch
from coordinator.sweeps.bench_log import BenchLog
from coordinator.sweeps.gan_epoch import GanEpochFigures, gan_epoch_case
from kernel.errors import BadInputError, RowsError

PLAN = """
name = "little"
job = "privgan"
epochs = 9
preview_every_epochs = 2
[shared]
weight = 0.5
penalty_after_epochs = 4
warm_up_epochs = 2
[[parties]]
name = "ann"
table = "mnist_small"
columns = ["pixel0..pixel783"]
label = "target"
[[parties]]
name = "bob"
table = "mnist_small"
columns = ["pixel0..pixel783"]
label = "target"
"""
LINK = "ann>neutral-server"


@pytest.fixture
def plan_file(tmp_path):
    file = tmp_path / "little.toml"
    file.write_text(PLAN)
    return file


@pytest.mark.parametrize("mode", ["fakes", "updates"])
def test_every_epoch_of_a_case_is_paid_for(plan_file, mode):
    plan = gan_epoch_case(plan_file, 3, mode).plan
    assert (plan.epochs, plan.barrier_every_epochs, plan.preview_every_epochs) == (3, 3, 0)
    assert (plan.shared.mode, plan.shared.weight) == (mode, 0.5)
    assert (plan.shared.penalty_after_epochs, plan.shared.warm_up_epochs) == (0, 0)
    original = parse_job_plan(PLAN)
    assert (plan.parties, plan.nets, plan.steps) == (original.parties, original.nets, original.steps)


def test_the_default_is_the_papers_experiment_where_its_table_is(monkeypatch):
    monkeypatch.setattr(gan_epoch, "table_size", lambda *_: (30_000, 784))
    full = gan_epoch_case(None, 2, "fakes").plan
    assert (full.steps.policy, full.batch_rows, full.nets.latent) == ("paper", 256, 100)
    assert (full.nets.generator, full.nets.discriminator) == ((512, 512, 1024), (2048, 512, 256))

    def missing(*_):
        raise RowsError("not here")

    monkeypatch.setattr(gan_epoch, "table_size", missing)
    small = gan_epoch_case(None, 2, "fakes").plan
    assert (small.nets, small.batch_rows) == (full.nets, full.batch_rows)
    assert {section["source"] for section in small.local.tables.values()} == {"builtin:mnist_small"}


def write_run(directory, seconds):
    """Events of a run whose epochs took these seconds, the first of them compiling."""
    events = [{"event": "forecast", "bytes": {LINK: 1000}}]
    for epoch, spent in enumerate(seconds, 1):
        phases = {"ann": {"discriminator": spent / 2}, "neutral-server": {"send": spent / 10}}
        events.append({"event": "epoch", "epoch": epoch, "seconds": spent, "bytes": {LINK: 1001}, "phases": phases})
    directory.mkdir()
    lines = [json.dumps({"time": "2026-11-28T10:00:00+00:00", **event}) for event in events]
    (directory / "events.jsonl").write_text("\n".join(lines) + "\n")
    return directory


@pytest.fixture
def record(tmp_path, plan_file):
    """Two repetitions, by hand: epochs of 4 and 3 s beside 10 steps of 0.5 and 0.6 s (XLA: 0.4 and 0.5)."""
    figures = GanEpochFigures()
    for name, seconds, keras, xla in (("a", [90, 3, 4, 5], 0.5, 0.4), ("b", [90, 3, 3], 0.6, 0.5)):
        measured = {"epoch_steps": 10, "step_seconds": {"keras": [9 * keras, keras, 0], "keras_xla": [xla]}}
        figures.add(write_run(tmp_path / name, seconds), measured)
    case = gan_epoch_case(plan_file, 4, "fakes")
    return BenchLog(tmp_path).append("privgan", figures.record(case), case.plan)


def test_ratios_are_taken_within_a_repetition(record):
    assert record["seconds"] == {
        "median": 3.5,
        "low_quartile": 3.25,
        "high_quartile": 3.75,
        "lowest": 3,
        "highest": 4,
        "n": 2,
    }
    assert record["loop_seconds"]["keras"]["median"] == pytest.approx(5.5)
    ratios = record["over_loop"]
    assert (ratios["keras"]["lowest"], ratios["keras"]["highest"]) == pytest.approx((0.5, 0.8))
    assert (ratios["keras_xla"]["lowest"], ratios["keras_xla"]["highest"]) == pytest.approx((0.6, 1.0))
    assert record["phase_seconds"] == {"ann": {"discriminator": 1.75}, "neutral-server": {"send": pytest.approx(0.35)}}
    assert (record["epoch_bytes"], record["forecast_bytes"]) == ({LINK: 1001}, {LINK: 1000})


def test_the_page_says_whether_the_target_was_met(record, tmp_path):
    page = write_page(tmp_path, {"privgan": section}).read_text()
    ratios = "3.5 (3–4) | 5.5 (5–6) | 0.65 (0.5–0.8), met | 4.5 (4–5) | 0.8 (0.6–1)"
    assert f"| little, mode fakes, n = 2 | 10 | {ratios} |" in page
    assert f"| little, mode fakes, n = 2 | {LINK} | 1,001 | 1,000 |" in page
    assert (tmp_path / "benchmarks" / "privgan-epoch.png").read_bytes().startswith(b"\x89PNG")


def test_epochs_that_are_all_warm_up(plan_file):
    with pytest.raises(BadInputError, match="ask for 2 or more"):
        gan_epoch_case(plan_file, 1, "fakes")


@pytest.mark.parametrize(
    ("plan", "options", "sentence"),
    [
        (PLAN, ["--mode", "gossip"], "'shared.mode'"),
        (PLAN, ["--epochs", "1"], "Invalid value for '--epochs'"),
        (PLAN.replace("privgan", "gan").split("[shared]")[0] + PLAN[PLAN.index("[[parties") :], [], "shares nothing"),
        ('name = "split"\nepochs = 1\n', [], "little.toml"),
    ],
)
def test_bad_input_is_one_sentence(plan, options, sentence, capfd, plan_file, tmp_path):
    plan_file.write_text(plan)
    out = tmp_path / "out"
    tertium_here(capfd, "bench", "privgan", plan_file, "--out", out, *options).refused(2, sentence)
    assert not out.exists()
