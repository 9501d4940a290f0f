"""What follows training: stages that show, an interruption that loses nothing, and attacks on an older run."""

import io
import json

import pytest
from command_line import tertium_here
from local_runs import part, plan_toml
from rich.console import Console

from coordinator.cli.aftermath import judge_here
from coordinator.cli.progress import stage
from coordinator.local import attacks as local_attacks
from coordinator.local import baseline as local_baseline
from coordinator.local.attacks import AttackOptions, Recording
from coordinator.local.federation import LocalFederation
from coordinator.metrics_file import write_metrics
from coordinator.run_store import RunRecord
from kernel.errors import BadInputError

PARTIES = [part("a", "wine", "alcohol"), part("b", "wine", "ash", label="target")]
SCORE = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 54}
FOUND = {
    "effort": "full",
    "rows": 100,
    "epochs": [1],
    "attacks": {
        "neutral-server.inverse_ridge.r2": {
            **SCORE,
            "baseline": {**SCORE, "value": 0.1, "low": 0.05, "high": 0.15},
            "positive_control": SCORE,
            "negative_control": {**SCORE, "value": 0.0, "low": -0.05, "high": 0.05},
            "target": "rows",
            "leaked_rows": 10,
            "epochs_seen": 1,
            "seconds": 1.0,
            "note": "",
        }
    },
    "received": {},
    "seconds": 1.0,
}
PLAIN = {
    "losses": [0.7],
    "scores": {"auc": SCORE},
    "keras_fit_seconds": [0.1],
    "tf_function_seconds": [0.1],
}


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """A page without plots, and no TensorBoard logs: seconds each, and tested elsewhere."""
    monkeypatch.setattr("coordinator.report.page.write_plots", lambda directory: [])
    monkeypatch.setattr("coordinator.report.page.render_plots", lambda record, mode: {})
    monkeypatch.setattr("coordinator.report.tensorboard_log.write_tensorboard", lambda directory: None)


@pytest.fixture
def trained(tmp_path):
    """The directory of a run that is trained, with a recording that nobody asked to keep."""
    record = RunRecord.create(tmp_path / "runs" / "run-1", plan_toml("p", PARTIES, epochs=1))
    record.note(
        "epoch", epoch=1, loss=0.7, seconds=0.1, rows=124, bytes={"a>neutral-server": 9}, relayed_bytes={}, rounds=4
    )
    record.note("evaluated", epoch=1, scores={"auc": SCORE})
    record.note("done", seconds=1.0)
    write_metrics(record)
    record_transcript(record.directory / "roles" / "transcripts")
    return record.directory


def record_transcript(directory):
    directory.mkdir(parents=True)
    (directory / "a.transcript").write_bytes(b"12345")


@pytest.fixture
def child(monkeypatch):
    """What the child processes do: (group and command) -> the document, or an exception."""
    does = {"attacks": FOUND, "baseline": PLAIN}
    calls = []

    def evaluate_run(record, federation, command, options, **_):
        calls.append((command[0], options))
        if isinstance(does[command[0]], BaseException):
            raise does[command[0]]
        return does[command[0]]

    monkeypatch.setattr(local_attacks, "evaluate_run", evaluate_run)
    monkeypatch.setattr(local_baseline, "evaluate_run", evaluate_run)
    does["calls"] = calls
    return does


def judge(directory, *, effort="quick", asked=True, keep=None, report=True):
    """Returns what was said."""
    said, options = io.StringIO(), AttackOptions(effort, asked=asked)
    federation = LocalFederation(directory, RunRecord.load(directory).plan)
    recording = Recording(directory, keep, options)
    console = Console(file=said, width=400)
    try:
        judge_here(directory, federation, recording, options, baseline=True, report=report, console=console)
    finally:
        said.flush()
        directory.joinpath("said").write_text(said.getvalue())
    return said.getvalue()


def page_of(directory):
    return (directory / "report.html").read_text(encoding="utf-8")


def test_every_stage_is_a_line_that_also_a_log_has(trained, child):
    said = judge(trained).splitlines()
    assert said[0] == "the plain network, same initialisation and batches …"
    assert said[1].startswith("plain network trained in ")
    assert said[2] == "attacks (quick) on 5 B that the roles received …"
    assert said[3].startswith("attacked (quick) in ")
    assert not list(trained.rglob("*.transcript"))


def test_a_stage_on_a_terminal_leaves_one_line():
    screen = io.StringIO()
    with stage(Console(file=screen, force_terminal=True, width=100), "doing it", "did it"):
        pass
    lines = screen.getvalue().replace("\r", "\n").splitlines()
    assert any("doing it …" in line for line in lines)
    assert "did it in " in lines[-1]


def test_a_stage_that_fails_is_not_said_to_be_done():
    screen = io.StringIO()
    with pytest.raises(BadInputError), stage(Console(file=screen), "doing it", "did it"):
        raise BadInputError("no")
    assert screen.getvalue() == "doing it …\n"


def test_interrupted_attacks_leave_a_report_that_says_so(trained, child):
    child["attacks"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        judge(trained)
    said = (trained / "said").read_text()
    assert f"report: {trained / 'report.html'}" in said
    assert "interrupted: the network is trained, the plain network is done; not done: the attacks; " in said
    assert "the recording is deleted: a run with --record DIRECTORY can be attacked later" in said
    assert not list(trained.rglob("*.transcript"))
    page = page_of(trained)
    assert "before the attacks were done." in page
    assert "Interrupted" in page
    assert "No attack was run" not in page


def test_an_interrupted_plain_network_leaves_the_attacks_for_later(trained, child, tmp_path):
    child["baseline"] = KeyboardInterrupt()
    record_transcript(tmp_path / "kept")
    with pytest.raises(KeyboardInterrupt):
        judge(trained, keep=tmp_path / "kept")
    said = (trained / "said").read_text()
    assert "interrupted: the network is trained; not done: the plain network and the attacks; " in said
    assert "attack it later with `tertium attacks run run-1`" in said
    assert (tmp_path / "kept" / "a.transcript").exists()
    assert "while the plain network was trained, before the attacks were done." in page_of(trained)


def test_an_interruption_without_attacks_is_no_matter_of_attacks(trained, child):
    child["baseline"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        judge(trained, effort="none")
    assert "not done: the plain network\n" in (trained / "said").read_text()
    assert "No attack was run" in page_of(trained)


def test_a_benchmark_that_is_interrupted_writes_no_report(trained, child):
    child["attacks"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        judge(trained, report=False)
    assert not (trained / "report.html").exists()


def test_attacks_that_fail_are_an_error_only_where_they_were_asked_for(trained, child):
    child["attacks"] = BadInputError("too few rows")
    with pytest.raises(BadInputError, match="too few rows"):
        judge(trained)
    assert "too few rows" in page_of(trained)
    assert "not attacked: too few rows\n" in judge(trained, asked=False)


def test_a_report_may_show_rows_and_is_its_owners_alone(trained, child):
    judge(trained)
    assert (trained / "report.html").stat().st_mode & 0o777 == 0o600


@pytest.fixture
def local_run(trained):
    """Trained here: the coordinator's key is there. Its recording was kept."""
    (trained / "roles" / "coordinator").mkdir()
    (trained / "roles" / "coordinator" / "secrets.key").write_bytes(bytes(32))
    (trained / "roles" / "transcripts").rename(trained.parents[1] / "kept")
    return trained


def attack_again(capfd, directory, *options):
    return tertium_here(capfd, "attacks", "run", directory.name, "--runs", directory.parent, *options)


def test_an_older_run_is_attacked_from_what_it_kept(local_run, child, capfd):
    kept = local_run.parents[1] / "kept"
    record = RunRecord.load(local_run)
    Recording(local_run, kept, AttackOptions()).note(record)
    outcome = attack_again(capfd, local_run, "--attacks", "full", "--leaked-fraction", "0.25")
    assert outcome.code == 0, outcome
    ((group, options),) = child["calls"]
    given = dict(zip(options[::2], options[1::2], strict=True))
    assert group == "attacks"
    assert (given["--transcripts"], given["--effort"], given["--leaked-fraction"]) == (str(kept), "full", "0.25")
    assert "attacked (full) in" in outcome.out
    metrics = json.loads((local_run / "metrics.json").read_bytes())
    assert metrics["privacy"]["attacks"] == FOUND["attacks"]
    assert metrics["scores"] == {"auc": SCORE}
    assert "No attack was run" not in page_of(local_run)
    assert (kept / "a.transcript").exists()


def test_an_older_run_without_a_recording_says_how_to_record(local_run, child, capfd):
    attack_again(capfd, local_run).refused(2, "kept no recording", "`tertium run PLAN --local --record DIRECTORY`")
    assert child["calls"] == []
    assert "attacks_failed" not in (local_run / "events.jsonl").read_text()


def test_a_run_of_daemons_elsewhere_cannot_be_attacked(trained, child, capfd):
    outcome = attack_again(capfd, trained, "--transcripts", trained / "roles" / "transcripts")
    outcome.refused(2, "the roles of run run-1 did not run here", "rehearse the plan")
    assert not (trained / "roles" / "coordinator").exists()


def test_interrupting_it_leaves_the_run_as_it_was(local_run, child, capfd):
    kept, before = local_run.parents[1] / "kept", (local_run / "metrics.json").read_bytes()
    child["attacks"] = KeyboardInterrupt()
    outcome = attack_again(capfd, local_run, "--transcripts", kept)
    outcome.refused(130, "interrupted")
    assert "interrupted: run run-1 and its report are as they were before" in outcome.out
    assert (local_run / "metrics.json").read_bytes() == before
    assert (kept / "a.transcript").exists()


def test_a_picture_stays_until_there_is_another_result(local_run, child, capfd):
    kept, picture = local_run.parents[1] / "kept", local_run / "plots" / local_attacks.RECOVERIES
    picture.parent.mkdir(exist_ok=True)
    picture.write_bytes(b"\x89PNG")
    child["attacks"] = BadInputError("too few rows")
    attack_again(capfd, local_run, "--transcripts", kept).refused(2, "too few rows")
    assert picture.exists()
    child["attacks"] = FOUND
    assert attack_again(capfd, local_run, "--transcripts", kept).code == 0
    assert not picture.exists()  # this result has none
