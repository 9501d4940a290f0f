"""One federation for many runs: five parties, each plan trained once a session, everything recorded; and the plans."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_runs import FinishedRun, part, plan_toml, predict, train
from open_sockets import ProcessView
from recordings import COORDINATOR, SERVER, Recording

from coordinator.local.federation import LocalFederation
from coordinator.plan import parse_plan
from coordinator.run_store import Event

CELL_MEANS = "mean radius..mean fractal dimension"
CELL_ERRORS = "radius error..fractal dimension error"
CELL_WORST = "worst radius..worst fractal dimension"

NAMES = ("clinic", "laboratory", "ward", "archive", "registry")
TWO_PARTIES = [
    part("clinic", "breast_cancer", CELL_MEANS),
    part("laboratory", "breast_cancer", CELL_ERRORS, CELL_WORST, label="target"),
]
"""A clinic with the cell means, a laboratory with the rest and the diagnosis."""
TABLES = {"breast_cancer": "mean radius..target", "wine": "alcohol..target", "diabetes": "age..target"}


class OpenFederation(LocalFederation):
    """Every party declares every table, and its policy offers all columns: plans of any split can be submitted."""

    def __init__(self, run_directory: Path, transcripts: Path) -> None:
        parties = [part(name, "breast_cancer", TABLES["breast_cancer"]) for name in NAMES[1:]]
        parties.append(part(NAMES[0], "breast_cancer", "mean radius", label="target"))
        super().__init__(run_directory, parse_plan(plan_toml("house", parties)), transcripts=transcripts)

    def _config(self, name: str, document: dict[str, Any]) -> None:
        if name in NAMES:
            document["tables"] = {table: {"source": f"builtin:{table}"} for table in TABLES}
            document["policy"]["columns"] = {table: [columns] for table, columns in TABLES.items()}
            document["policy"]["labels"] = document["policy"]["columns"]
            document["policy"]["reveal_h1"] = True
        super()._config(name, document)


@dataclass
class House:
    """An open federation whose runs are recorded.

    Attributes:
      directory: `runs` and `transcripts` below it.
    """

    federation: OpenFederation
    directory: Path
    _recordings: dict[str, Recording] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._began = self._transcripts()

    def train(
        self,
        run: str,
        text: str,
        *,
        on_event: Callable[[Event], None] = lambda event: None,
        predict_table: str = "",
    ) -> FinishedRun:
        return self.record(run, text, on_event=on_event, predict_table=predict_table).run

    def record(
        self,
        run: str,
        text: str,
        *,
        on_event: Callable[[Event], None] = lambda event: None,
        predict_table: str = "",
    ) -> Recording:
        """Train a plan, unless this run was trained before, and predict with it where a table is named.

        The recording holds what each role received when the house was opened and during the run, as if it had been
        opened for this run alone.
        """
        if run not in self._recordings:
            before = self._transcripts()
            finished = train(self.federation, text, run, on_event)
            if predict_table:
                predict(self.federation, run, predict_table)
            self.federation.client.fetch(run, self.directory / "fetched" / run)
            transcripts = self.directory / "transcripts" / run
            transcripts.mkdir()
            for role, data in self._transcripts().items():
                (transcripts / f"{role}.transcript").write_bytes(self._began[role] + data[len(before[role]) :])
            self._recordings[run] = Recording(finished, transcripts)
        return self._recordings[run]

    def _transcripts(self) -> dict[str, bytes]:
        roles = [SERVER, COORDINATOR, *NAMES]
        return {role: (self.directory / "transcripts" / f"{role}.transcript").read_bytes() for role in roles}


@dataclass(frozen=True)
class LongRun:
    """An uninterrupted run of ``long_epoch_plan``.

    Attributes:
      barriers: copies of every barrier, `<role>/<number>`, also of those the roles have deleted since.
      processes: each role's sockets and libraries, seen in the middle of an epoch.
    """

    recording: Recording
    barriers: Path
    processes: dict[str, ProcessView]


def breast_cancer_plan(protocol: str, tables: dict[str, dict[str, Any]] | None = None) -> str:
    """Of TWO_PARTIES, 21 small steps."""
    return plan_toml("breast_cancer", TWO_PARTIES, protocol=protocol, tables=tables)


def defended_plan(protocol: str, *, epochs: int = 3, batch_rows: int = 57) -> str:
    """As breast_cancer_plan, with a defender that matters, in two micro-batches."""
    defender = {"weight": 0.5, "reveal_h1": True, "widths": [16], "activations": ["tanh"], "learning_rate": 0.02}
    return plan_toml(
        "defended",
        TWO_PARTIES,
        protocol=protocol,
        epochs=epochs,
        batch_rows=batch_rows,
        micro_batches=2,
        defender=defender,
    )


def secret_plan(
    gradient: str, weights: str, *, layers: int = 1, holder_first: bool = False, batch_rows: int = 57
) -> str:
    """As breast_cancer_plan, with so many squared layers of four units on shares before the cut."""
    return plan_toml(
        "secret",
        TWO_PARTIES[:: -1 if holder_first else 1],
        protocol="beaver",
        batch_rows=batch_rows,
        learning_rate=0.125,
        on_shares={"gradient": gradient, "weights": weights},
        secret_layers=({"width": 4, "activation": "square", "interval": 64.0},) * layers,
    )


def cut_plan(protocol: str, *, cut_dtype: str = "float32", micro_batches: int = 1) -> str:
    """Trained for long enough to score well, above a narrow cut."""
    return plan_toml(
        "cut",
        TWO_PARTIES,
        protocol=protocol,
        epochs=15,
        widths=(8, 4),
        cut_dtype=cut_dtype,
        micro_batches=micro_batches,
    )


def three_party_plan(protocol: str) -> str:
    """The same columns at three; the label holder is neither the first of the plan nor the last by name."""
    parties = [
        part("clinic", "breast_cancer", CELL_MEANS),
        part("laboratory", "breast_cancer", CELL_WORST, label="target"),
        part("ward", "breast_cancer", CELL_ERRORS),
    ]
    return plan_toml("three", parties, protocol=protocol)


def long_epoch_plan() -> str:
    """Batches so small that an epoch takes a second or so: there is time to report progress, and to kill somebody.

    The stack is above 48 units, so TensorFlow computes it; the other plans' are small ones in numpy.
    """
    return plan_toml(
        "long",
        TWO_PARTIES,
        protocol="beaver",
        epochs=4,
        batch_rows=2,
        widths=(40, 16),
        activations=("sigmoid", "tanh"),
        optimizer="adam",
        learning_rate=0.003,
    )
