"""Where a local run's transcripts go, and that only what was asked for stays."""

import pytest
from local_runs import part, plan_toml

from coordinator.local.attacks import LEAKED_FRACTION, AttackOptions, Recording, attack_options, kept_recording
from coordinator.run_store import RunRecord
from kernel.errors import BadInputError, SettingsError


def test_quick_is_the_default_of_a_local_run_and_of_no_other():
    local, remote = attack_options(None, None, local=True), attack_options(None, None, local=False)
    assert (local.effort, local.asked, local.leaked_fraction) == ("quick", False, LEAKED_FRACTION)
    assert not remote.wanted
    assert not attack_options("none", None, local=False).wanted
    assert attack_options("full", 0.2, local=True) == AttackOptions("full", 0.2, asked=True)
    with pytest.raises(SettingsError, match="rehearse the plan with --local"):
        attack_options("quick", None, local=False)


def test_a_recording_for_attacks_is_deleted(tmp_path):
    recording = Recording(tmp_path, None, AttackOptions("quick"))
    assert recording.directory == tmp_path / "roles" / "transcripts"
    assert recording.scope == "training"
    assert recording.recorded_bytes() == 0
    recording.directory.mkdir(parents=True)
    (recording.directory / "a.transcript").write_bytes(b"12345")
    assert recording.recorded_bytes() == 5
    recording.discard()
    assert not recording.directory.exists()


def test_a_recording_that_was_asked_for_holds_everything_and_stays(tmp_path):
    recording = Recording(tmp_path / "run", tmp_path / "kept", AttackOptions("quick"))
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "a.transcript").write_bytes(b"1")
    recording.discard()
    assert (recording.scope, recording.kept, recording.recorded_bytes()) == ("all", True, 1)


def test_without_attacks_nothing_is_recorded(tmp_path):
    assert Recording(tmp_path, None, AttackOptions()).directory is None


@pytest.fixture
def record(tmp_path):
    parties = [part("a", "wine", "alcohol"), part("b", "wine", "ash", label="target")]
    return RunRecord.create(tmp_path / "runs" / "run-1", plan_toml("p", parties))


def transcript_in(directory):
    directory.mkdir()
    (directory / "a.transcript").write_bytes(b"123")
    return directory


def test_a_run_says_where_its_recording_was_kept(record, tmp_path):
    kept = transcript_in(tmp_path / "kept")
    Recording(record.directory, kept, AttackOptions()).note(record)
    found = kept_recording(RunRecord.load(record.directory), None)
    assert (found.directory, found.kept, found.recorded_bytes()) == (kept, True, 3)
    moved = transcript_in(tmp_path / "moved")
    assert kept_recording(record, moved).directory == moved


def test_a_run_without_a_recording_says_how_to_make_one(record, tmp_path):
    with pytest.raises(BadInputError, match=r"run run-1 kept no recording.*--local --record DIRECTORY"):
        kept_recording(record, None)
    with pytest.raises(BadInputError, match="holds no transcript of run run-1; say with --transcripts where"):
        kept_recording(record, tmp_path / "nowhere")
