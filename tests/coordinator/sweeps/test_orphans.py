"""Roles that a killed sweep left running are ended, by the config they were started with, and nobody else."""

import subprocess
import sys
from pathlib import Path

import pytest

from coordinator.sweeps.orphans import end_orphans

WAITS = "import sys; sys.stdin.read()"
SECONDS = 30.0

pytestmark = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="processes are found by /proc")


SERVES = ("-m", "coordinator.cli.main", "party", "serve", "--config")


def role(directory: Path, config: str, command: tuple[str, ...] = SERVES) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", WAITS, *command, config], stdin=subprocess.PIPE, cwd=directory)


def test_only_the_roles_of_the_run_are_ended(tmp_path: Path):
    mine = role(tmp_path, "runs/one/roles/party-a/config.toml")
    installed = ("/usr/bin/tertium", "coordinator", "serve", "--config")
    also_mine = role(tmp_path / "..", str(tmp_path / "runs/one/roles/coordinator/config.toml"), installed)
    editor = role(tmp_path, "runs/one/roles/party-a/config.toml", ("edit",))
    asks = role(tmp_path, "runs/one/roles/party-a/config.toml", ("-m", "coordinator.cli.main", "party", "doctor"))
    other_run = role(tmp_path, "runs/one-more/roles/party-a/config.toml")
    no_config = role(tmp_path, "runs/one/roles/party-a/log")
    try:
        assert end_orphans(tmp_path / "runs/one") == 2
        assert {mine.wait(SECONDS), also_mine.wait(SECONDS)} == {-9}
        assert [one.poll() for one in (other_run, editor, asks)] == [None] * 3
        assert no_config.poll() is None
        assert end_orphans(tmp_path / "runs/two") == 0
    finally:
        for process in (mine, also_mine, other_run, no_config, editor, asks):
            process.kill()
            process.communicate(timeout=SECONDS)
