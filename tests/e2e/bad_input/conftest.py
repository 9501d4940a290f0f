"""One federation for all files here, and commands in an empty directory."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from command_line import Outcome, Process, start, stop, tertium, tertium_here
from hand_made_federation import Federation
from local_runs import follow


@pytest.fixture(scope="session")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Every test leaves it as it found it: idle, all parties attending."""
    running = Federation(tmp_path_factory.mktemp("federation"))
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def trained(federation: Federation) -> str:
    """Id of a run of ann and bob that is done."""
    plan = federation.write_plan(("ann", "people"), ("bob", "people")).read_text()
    with closing(federation.client()) as client:
        run, first = client.submit(plan)
        *_, last = follow(client, run, first)
    assert last["event"] == "done", last
    return run


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Outcome]:
    """``command(*arguments)``: run to its end in an empty directory."""
    return lambda *arguments: tertium(*arguments, cwd=tmp_path)


@pytest.fixture
def command_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """The same in this process, for commands that end before any role starts."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: tertium_here(capfd, *arguments)


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """``spawn(*arguments)``: a process that is ended with the test; its output is the test's to read."""
    processes: dict[str, Process] = {}

    def spawned(*arguments: object) -> Process:
        process = start(*arguments, cwd=tmp_path)
        processes[str(process.pid)] = process
        return process

    yield spawned
    stop(processes)
    for process in processes.values():
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
