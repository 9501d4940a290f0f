"""The README's commands run as they stand there.

Every ```sh block is run, one after the other in one directory, unless a comment right above it says why not:
``<!-- not run by the test: … -->``. Lines that call `make` are left out: make is what runs this test.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```sh\n(?P<commands>.*?)^```$", re.MULTILINE | re.DOTALL)
REASON = re.compile(r"<!-- not run by the test: (?P<reason>.*?) -->\s*\Z", re.DOTALL)
SECONDS = 240.0
NOT_IN_A_COPY = {".git", ".venv", "runs", "state", "certs", "build", "dist"}


@dataclass(frozen=True)
class Block:
    line: int
    commands: str
    reason: str  # why it is not run; empty where it is

    @property
    def script(self):
        lines = [line for line in self.commands.splitlines() if not line.startswith("make ")]
        return "\n".join(lines).strip()


def blocks():
    text = (ROOT / "README.md").read_text()
    found = []
    for match in BLOCK.finditer(text):
        reason = REASON.search(text[: match.start()])
        line = text[: match.start()].count("\n") + 1
        found.append(Block(line, match["commands"], reason["reason"] if reason else ""))
    return found


RUN = [block for block in blocks() if not block.reason and block.script]


def test_there_are_blocks_and_some_are_run():
    assert RUN
    assert len(blocks()) == (ROOT / "README.md").read_text().count("```sh")


@pytest.mark.parametrize("block", [block for block in blocks() if block.reason], ids=lambda block: f"line {block.line}")
def test_a_block_that_is_not_run_says_why(block):
    assert len(block.reason) > 10


def test_every_command_of_ours_exists():
    """Also in blocks that are not run: `tertium WORD` is a command of the command line."""
    from importlib.metadata import entry_points

    commands = {entry.name for entry in entry_points(group="tertium.commands")}
    used = {word for block in blocks() for word in re.findall(r"^tertium ([a-z-]+)", block.commands, re.MULTILINE)}
    assert used
    assert used <= commands | {"--help", "--version"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """The repository as a reader has it, by links, and room for what the commands write."""
    root = tmp_path_factory.mktemp("readme")
    for path in ROOT.iterdir():
        if path.name not in NOT_IN_A_COPY and not path.name.startswith("."):
            (root / path.name).symlink_to(path)
    return root


@pytest.mark.e2e
@pytest.mark.parametrize("block", RUN, ids=lambda block: f"line {block.line}")
def test_the_commands_of_a_block_run(block, directory):
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    process = subprocess.Popen(
        ["/bin/bash", "-euo", "pipefail", "-c", block.script],
        cwd=directory,
        env={**os.environ, "PATH": paths, "NO_COLOR": "1", "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)  # its own session: the roles of a local run go with it
            process.communicate()
    assert process.returncode == 0, said.decode()
