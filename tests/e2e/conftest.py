"""One second life for what needs processes that were started again: predictions, then interruptions."""

import shutil
from collections.abc import Iterator

import pytest
from house import House
from local_runs import predict
from recordings import Recording
from second_life import SecondLife


@pytest.fixture(scope="session")
def second_life(
    masked_sum_recording: Recording, house: House, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecondLife]:
    """Directories are copied as the roles left them after training, without the predictions made since."""
    run = masked_sum_recording.run
    directory = tmp_path_factory.mktemp("second_life") / "runs" / run.run
    shutil.copytree(run.directory, directory)
    for role in ("certs", "coordinator", "neutral-server", "clinic", "laboratory"):
        skip = shutil.ignore_patterns("predictions")
        shutil.copytree(house.federation.roles / role, directory / "roles" / role, ignore=skip)
    life = SecondLife(run, directory)
    life.start()
    try:
        yield life
    finally:
        life.stop()


@pytest.fixture(scope="session")
def predictions(second_life: SecondLife) -> tuple[SecondLife, list[str]]:
    """Files, relative to the label holder's state, of the table the model was trained on and of `new-rows`."""
    run = second_life.first_run.run
    return second_life, [predict(second_life.federation, run, table)["file"] for table in ("breast_cancer", "new-rows")]
