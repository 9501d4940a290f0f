"""`tertium --help` lists every command and loads nothing heavy: the structural form of an answer at once."""

import json
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from command_line import tertium_here

HEAVY = {"numpy", "grpc", "google", "tensorflow", "keras", "numba", "matplotlib", "sklearn", "pyarrow", "cryptography"}
COMMANDS = {entry.name for entry in entry_points(group="tertium.commands")}
SECONDS = 60.0
SCRIPT = """
import json, sys
from coordinator.cli.main import main
sys.argv = ["tertium", *{arguments!r}]
try:
    main()
finally:
    print(json.dumps(sorted({{name.split(".")[0] for name in sys.modules}})), file=sys.stderr)
"""


def test_help_lists_all_commands(capfd):
    shown = tertium_here(capfd, "--help")
    assert shown.code == 0
    words = set(shown.out.split())
    assert words >= COMMANDS
    assert {"demo", "run", "predict", "plan", "doctor", "certs", "report", "schema"} <= COMMANDS
    assert {"party", "neutral-server", "coordinator"} <= COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help(command, capfd):
    shown = tertium_here(capfd, command, "--help")
    assert shown.code == 0
    assert f"Usage: tertium {command} " in shown.out


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["party", "serve", "--help"]])
def test_help_loads_nothing_heavy(arguments):
    script = SCRIPT.format(arguments=arguments)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=SECONDS, check=True)
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert "typer" in loaded
    assert not loaded & HEAVY


def test_the_command_starts_without_click():
    """typer brings its own click since 0.27 or so: nothing else here installs one."""
    script = "import sys; sys.modules['click'] = None; import coordinator.cli.main"
    subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=SECONDS, check=True)


def test_without_a_command_help_is_shown_and_nothing_was_done(capfd):
    for arguments in ([], ["certs"], ["party"]):
        shown = tertium_here(capfd, *arguments)
        assert shown.code == 2
        assert "Usage: tertium" in shown.out
        assert not shown.err.strip()


def test_the_version_is_one_line(capfd):
    from kernel.version import VERSION

    assert tertium_here(capfd, "--version").out == f"{VERSION}\n"
