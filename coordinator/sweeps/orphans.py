"""Roles of a local run that outlived a sweep which was ended by kill -9: they would go on writing into its run directory."""

import contextlib
import os
import signal
import time
from pathlib import Path

_PROCESSES = Path("/proc")
_SECONDS = 10.0
_MODULE = "coordinator.cli.main"
_COMMAND = "tertium"


def end_orphans(run_directory: Path) -> int:
    """End every role (`tertium … serve`) that was started with a config below ``<run_directory>/roles``; returns how many there were.

    Linux only: where there is no /proc, none is found.
    """
    roles = (run_directory / "roles").resolve()
    found = [process for process in _processes() if _serves(process, roles)]
    for process in found:
        with contextlib.suppress(OSError):
            os.kill(int(process.name), signal.SIGKILL)
    deadline = time.monotonic() + _SECONDS
    while any(_serves(process, roles) for process in found) and time.monotonic() < deadline:
        time.sleep(0.01)  # a process that is no child of ours cannot be waited for
    return len(found)


def _processes() -> list[Path]:
    return [entry for entry in _PROCESSES.glob("[0-9]*") if entry.name != str(os.getpid())]


def _serves(process: Path, roles: Path) -> bool:
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        home = (process / "cwd").resolve()
    except OSError:
        return False  # it ended, or is another user's
    if not _is_role(words):
        return False  # somebody reads or edits the config
    return any(word.endswith("config.toml") and (home / word).resolve().is_relative_to(roles) for word in words)


def _is_role(words: list[str]) -> bool:
    """Whether a command line serves a role, by module or by the installed command."""
    commands = [place for place, word in enumerate(words) if word == _MODULE or Path(word).name == _COMMAND]
    return bool(commands) and "serve" in words[commands[0] + 1 :]
