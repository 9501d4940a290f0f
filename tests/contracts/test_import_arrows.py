"""Arrows point down, and what is heavy is imported late."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120.0


def loaded_by(module):
    """Top-level packages in memory after one import, in a process of its own."""
    script = f"import json, sys, {module}; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=True
    )
    return set(json.loads(done.stdout))


def test_the_contracts_of_import_linter_are_kept():
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


HEAVY = {"tensorflow", "keras", "matplotlib", "sklearn", "numba"}


@pytest.mark.parametrize(
    ("module", "besides"),
    [
        ("party.daemon", set()),
        ("coordinator.daemon", {"pyarrow"}),
        ("neutral_server.daemon", {"pyarrow"}),
        ("coordinator.cli.operator_client", {"pyarrow"}),
    ],
)
def test_a_daemon_starts_without_what_it_may_not_need(module, besides):
    """TensorFlow alone takes 7 to 20 seconds; a party never needs it."""
    loaded = loaded_by(module)
    assert module.split(".")[0] in loaded
    assert not loaded & (HEAVY | besides)


def test_no_daemon_loads_another():
    daemons = {"party", "neutral_server", "coordinator"}
    for daemon in daemons:
        assert loaded_by(f"{daemon}.daemon") & daemons == {daemon}
