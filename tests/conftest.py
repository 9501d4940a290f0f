"""Federations shared by views, integration and e2e tests: each is started once a session, and several tests read it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from local_runs import FinishedRun, part, plan_toml, predict, train
from recordings import Recording

from coordinator.local.federation import LocalFederation
from coordinator.plan import parse_plan
from coordinator.run_store import Event

CELL_MEANS = "mean radius..mean fractal dimension"
CELL_ERRORS = "radius error..fractal dimension error"
CELL_WORST = "worst radius..worst fractal dimension"


def breast_cancer_plan(protocol: str, name: str = "breast_cancer") -> str:
    """Two parties: a clinic with the cell means, a laboratory with the rest and the diagnosis."""
    return plan_toml(
        name,
        [
            part("clinic", "breast_cancer", CELL_MEANS),
            part("laboratory", "breast_cancer", CELL_ERRORS, CELL_WORST, label="target"),
        ],
        protocol=protocol,
    )


def _record(protocol: str, directory: Path) -> Recording:
    text = breast_cancer_plan(protocol)
    run = f"recorded-{protocol.replace('_', '-')}"
    with LocalFederation(
        directory / "runs" / run, parse_plan(text), transcripts=directory / "transcripts"
    ) as federation:
        finished = train(federation, text, run)
        predict(federation, run, "breast_cancer")
    return Recording(finished, directory / "transcripts")


@pytest.fixture(scope="session")
def masked_sum_recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Three epochs on breast_cancer and a prediction of the same table; the processes have ended."""
    return _record("masked_sum", tmp_path_factory.mktemp("masked_sum"))


@pytest.fixture(scope="session")
def beaver_recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return _record("beaver", tmp_path_factory.mktemp("beaver"))


@pytest.fixture(scope="session", params=["masked_sum", "beaver"])
def recording(request: pytest.FixtureRequest) -> Recording:
    """Both protocols, one after the other."""
    found: Recording = request.getfixturevalue(f"{request.param}_recording")
    return found


@dataclass
class House:
    """One set of daemons, many runs: a plan is trained once, whoever asks for it."""

    federation: LocalFederation
    transcripts: Path
    _runs: dict[str, FinishedRun] = field(default_factory=dict)

    def train(self, run: str, text: str, on_event: Callable[[Event], None] = lambda event: None) -> FinishedRun:
        if run not in self._runs:
            self._runs[run] = train(self.federation, text, run, on_event)
        return self._runs[run]

    def recording(self, run: str, text: str) -> Recording:
        return Recording(self.train(run, text), self.transcripts)


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Ten parties over three built-in tables, their policies open to any split of the columns; alive to the end."""
    directory = tmp_path_factory.mktemp("house")
    cells = (CELL_MEANS, CELL_ERRORS, CELL_WORST)
    parties = [part("laboratory", "breast_cancer", *cells, label="target")]
    parties += [part(name, "breast_cancer", *cells) for name in ("clinic", "ward", "archive", "registry")]
    parties += [part(name, "wine", "alcohol..target") for name in ("grower", "cellar", "merchant")]
    parties += [part(name, "diabetes", "age..target") for name in ("surgery", "pharmacy")]
    plan = parse_plan(plan_toml("house", parties))
    with LocalFederation(directory / "runs" / "house", plan, transcripts=directory / "transcripts") as federation:
        yield House(federation, directory / "transcripts")
