"""A local run says in its own words that its coordinator is gone, and how it goes on."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from local_runs import part, plan_toml

from coordinator.cli.training import again
from coordinator.local.federation import LocalFederation
from coordinator.plan import parse_plan

RESUME = again("run-1", Path("runs"))
PLAN = parse_plan(plan_toml("p", [part("a", "wine", "alcohol"), part("b", "wine", "ash", label="target")]))


@pytest.fixture
def federation(tmp_path):
    return LocalFederation(tmp_path / "run-1", PLAN)


@pytest.fixture
def child(federation):
    def start(script):
        process = subprocess.Popen([sys.executable, "-c", script])
        federation._children["coordinator"] = process
        children.append(process)
        return process

    children = []
    yield start
    for process in children:
        process.kill()
        process.wait()


def test_a_coordinator_that_was_killed(federation, child):
    child("import time; time.sleep(60)").send_signal(signal.SIGKILL)
    sentence = str(federation.loss(RESUME))
    assert "the coordinator of this local run was ended by signal 9" in sentence
    assert "run-1/roles/coordinator/log" in sentence
    assert "`tertium run --local --resume run-1`" in sentence
    assert "doctor" not in sentence
    assert "--resume run-1` (with --runs here)" in str(federation.loss(again("run-1", Path("here"))))


def test_a_coordinator_that_stopped(federation, child):
    child("raise SystemExit(4)").wait()
    assert "stopped with exit code 4" in str(federation.loss(RESUME))


def test_one_that_runs_is_not_lost(federation, child, monkeypatch):
    monkeypatch.setattr("coordinator.local.federation._END_SECONDS", 0.05)
    child("import time; time.sleep(60)")
    assert federation.loss(RESUME) is None
