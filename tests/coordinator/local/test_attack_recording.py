"""Where a local run's transcripts go, and that only what was asked for stays."""

import pytest

from coordinator.local.attacks import AttackOptions, Recording, attack_options
from kernel.errors import SettingsError


def test_quick_is_the_default_of_a_local_run_and_of_no_other():
    local, remote = attack_options(None, 0.1, local=True), attack_options(None, 0.1, local=False)
    assert (local.effort, local.asked) == ("quick", False)
    assert not remote.wanted
    assert not attack_options("none", 0.1, local=False).wanted
    assert attack_options("full", 0.2, local=True) == AttackOptions("full", 0.2, asked=True)
    with pytest.raises(SettingsError, match="rehearse the plan with --local"):
        attack_options("quick", 0.1, local=False)


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
