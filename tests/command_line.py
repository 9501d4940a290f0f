"""The `tertium` command as a user meets it: what it says, its exit code, and processes that end with the test."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from coordinator.cli.main import main

COMMAND_SECONDS = 120.0
"""Deadline of any command; none takes a tenth of it on an idle machine."""
STOP_SECONDS = 5.0
"""What a daemon may take to stop after SIGTERM."""

Found = TypeVar("Found")
Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Outcome:
    """What the user got back."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The last line on standard error."""
        return next(reversed(self.err.strip().splitlines()), "")

    def refused(self, code: int, *words: str) -> str:
        """One line that starts with `error: `, the last, with all of ``words``; no traceback; this exit code."""
        assert self.sentence.startswith("error: "), self
        assert sum(line.startswith("error: ") for line in self.err.splitlines()) == 1, self
        assert "Traceback" not in self.out + self.err, self
        missing = [word for word in words if word not in self.sentence]
        assert not missing, f"{missing} not in: {self.sentence}"
        assert self.code == code, self
        return self.sentence


def start(*arguments: object, cwd: Path, log: Path | None = None) -> Process:
    """A `tertium` process; the caller ends it. Its output goes to ``log``, or waits for `outcome_of`."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH") if name in os.environ}
    command = [sys.executable, "-m", "coordinator.cli.main", *map(str, arguments)]
    # several processes share few cores: one thread a library; a wide terminal: sentences are not wrapped
    options = {"cwd": cwd, "env": {**kept, "OMP_NUM_THREADS": "1", "COLUMNS": "400"}, "stdin": subprocess.DEVNULL}
    if log is None:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    with log.open("ab") as sink:
        return subprocess.Popen(command, stdout=sink, stderr=sink, **options)


def outcome_of(process: Process, seconds: float = COMMAND_SECONDS) -> Outcome:
    """Wait for a process of `start` and gather what it said; past the deadline it is ended, and the test fails."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # a local run takes its roles with it
        out, err = process.communicate(timeout=2 * STOP_SECONDS)
        pytest.fail(f"not done in {seconds:g} s: {out.decode()}{err.decode()}")
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    return Outcome(process.returncode, out.decode(), err.decode())


def tertium(*arguments: object, cwd: Path, seconds: float = COMMAND_SECONDS) -> Outcome:
    """Run a command to its end."""
    return outcome_of(start(*arguments, cwd=cwd), seconds)


def tertium_here(capfd: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    """The command in this process, for what ends before a role would start: no interpreter to wait for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["tertium", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    said = capfd.readouterr()
    return Outcome(int(ended.value.code or 0), said.out, said.err)


def stop(processes: Mapping[str, Process]) -> dict[str, float]:
    """SIGTERM to all; SIGKILL to what is left after `STOP_SECONDS`. Returns the seconds each took."""
    started = time.monotonic()
    for process in processes.values():
        if process.poll() is None:
            process.terminate()
    took = {}
    for name, process in processes.items():
        try:
            process.wait(timeout=max(0.1, started + STOP_SECONDS - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        took[name] = time.monotonic() - started
    return took


def wait_until(condition: Callable[[], Found], what: str, seconds: float = COMMAND_SECONDS) -> Found:
    """Poll until the condition holds: the state waited for is another process's."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"no {what} within {seconds:g} s")
        time.sleep(0.05)
    return found
