"""Shared by views, integration and e2e tests: one federation a session, and its recorded runs."""

import shutil
import signal
import sys
from collections.abc import Iterator

import hypothesis
import pytest
import structlog
from house import NAMES, House, LongRun, OpenFederation, breast_cancer_plan, defended_plan, long_epoch_plan
from open_sockets import ProcessView, look_at
from recordings import COORDINATOR, SERVER, Recording

from coordinator.run_store import Event


def pytest_configure() -> None:
    """SIGTERM ends a session as Ctrl-C does: fixtures stop their processes first. Ctrl-C also where it was ignored, as
    in a job of the background: processes that tests interrupt would inherit that.

    Logs go to the process's own standard error: the stream a test's capture puts in its place closes with the test.
    Examples have no deadline of their own: how long one takes is the other processes' doing.
    """
    hypothesis.settings.register_profile("tertium", deadline=None)
    hypothesis.settings.load_profile("tertium")
    for kind in (signal.SIGTERM, signal.SIGINT):
        signal.signal(kind, signal.default_int_handler)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Alive to the end of the session."""
    directory = tmp_path_factory.mktemp("house")
    federation = OpenFederation(directory / "runs" / "house", directory / "transcripts")
    with federation:
        yield House(federation, directory)


@pytest.fixture(scope="session")
def defended_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Of its own: a party that trained with a defender has TensorFlow in memory for good."""
    directory = tmp_path_factory.mktemp("defended-house")
    federation = OpenFederation(directory / "runs" / "house", directory / "transcripts")
    with federation:
        yield House(federation, directory)


@pytest.fixture(scope="session", params=["masked_sum", "beaver"])
def defended_recording(request: pytest.FixtureRequest, defended_house: House) -> Recording:
    """Both protocols, one after the other: three epochs with a defender, in two micro-batches, and a prediction."""
    name = f"defended-{request.param}"
    return defended_house.record(name, defended_plan(request.param), predict_table="breast_cancer")


def _recorded(house: House, protocol: str) -> Recording:
    return house.record(f"recorded-{protocol}", breast_cancer_plan(protocol), predict_table="breast_cancer")


@pytest.fixture(scope="session")
def masked_sum_recording(house: House) -> Recording:
    """Three epochs on breast_cancer by two parties, and a prediction of the same table."""
    return _recorded(house, "masked_sum")


@pytest.fixture(scope="session")
def beaver_recording(house: House) -> Recording:
    return _recorded(house, "beaver")


@pytest.fixture(scope="session", params=["masked_sum", "beaver"])
def recording(request: pytest.FixtureRequest, house: House) -> Recording:
    """Both protocols, one after the other."""
    return _recorded(house, request.param)


@pytest.fixture(scope="session")
def long_run(house: House) -> LongRun:
    run, processes = "long", dict[str, ProcessView]()
    barriers = house.directory / "barriers"

    def look(event: Event) -> None:
        if event["event"] == "barrier":
            for role in ("clinic", "laboratory", SERVER):
                held = house.federation.roles / role / "state" / run / "barriers" / str(event["barrier"])
                shutil.copytree(held, barriers / role / held.name)
        if event["event"] == "progress" and not processes:
            for role in (SERVER, COORDINATOR, *NAMES):
                processes[role] = look_at(house.federation.process_id(role))

    recording = house.record(run, long_epoch_plan(), on_event=look)
    return LongRun(recording, barriers, processes)
