"""Runs of local federations for tests: plans from numbers, events followed with a deadline, weights read from disk."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from coordinator.cli.operator_client import OperatorClient
from coordinator.job_plan import parse_job_plan
from coordinator.local.federation import LocalFederation
from coordinator.plan import Plan
from coordinator.run_store import Event

SECONDS = 120.0
"""Deadline of anything a test waits for; nothing takes a tenth of it on an idle machine."""


def part(name: str, table: str, *columns: str, label: str | None = None) -> dict[str, Any]:
    """One [[parties]] section of a plan."""
    return {"name": name, "table": table, "columns": list(columns), **({"label": label} if label else {})}


def plan_toml(
    name: str,
    parties: list[dict[str, Any]],
    *,
    protocol: str = "masked_sum",
    epochs: int = 3,
    batch_rows: int = 57,
    widths: tuple[int, ...] = (8, 8),
    activations: tuple[str, ...] = ("tanh", "tanh"),
    loss: str = "binary",
    outputs: int = 1,
    optimizer: str = "sgd",
    learning_rate: float = 0.1,
    momentum: float | None = None,
    cut_dtype: str = "float32",
    micro_batches: int = 1,
    tables: dict[str, dict[str, Any]] | None = None,
    defender: dict[str, Any] | None = None,
    on_shares: dict[str, str] | None = None,
    secret_layers: tuple[dict[str, Any], ...] = (),
    head_interval: float | None = None,
) -> str:
    """A plan file; ``on_shares`` is more of its [first_layer]. 57 rows a batch leave breast_cancer's passes batches of 57 and 56 rows only: little to compile."""
    document: dict[str, Any] = {
        "name": name,
        "seed": 7,
        "epochs": epochs,
        "batch_rows": batch_rows,
        "test_fraction": 0.3,
        "cut_dtype": cut_dtype,
        "micro_batches": micro_batches,
        "first_layer": {"protocol": protocol, **(on_shares or {})},
        **({"secret_layers": list(secret_layers)} if secret_layers else {}),
        "network": {
            "widths": list(widths),
            "activations": list(activations),
            "loss": loss,
            "outputs": outputs,
            **({"head_interval": head_interval} if head_interval else {}),
        },
        "optimizer": {
            "name": optimizer,
            "learning_rate": learning_rate,
            **({} if momentum is None else {"momentum": momentum}),
        },
        "parties": parties,
        **({"defender": defender} if defender else {}),
    }
    return tomli_w.dumps({**document, "local": {"tables": tables}} if tables else document)


def follow(
    client: OperatorClient,
    run: str,
    first: int,
    *,
    until: Callable[[Event], bool] = lambda event: False,
    seconds: float = SECONDS,
) -> Iterator[Event]:
    """Events of a run as they come, up to the first that is ``until`` or that ends this stretch of the run.

    After ``seconds`` the client is closed, which ends the wait with a PeerError: a hanging federation fails its test.
    """
    deadline = threading.Timer(seconds, client.close)
    deadline.start()
    try:
        with closing(client.watch(run, first)) as events:
            for event in events:
                yield event
                if until(event):
                    return
    finally:
        deadline.cancel()


def wait_attending(federation: LocalFederation, *names: str, seconds: float = SECONDS) -> None:
    """Until the coordinator counts the parties and reaches the neutral server (another process's state: polled)."""
    deadline = time.monotonic() + seconds
    while True:
        status = federation.client.status()
        if set(names) <= set(status.attending) and status.neutral_server:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{names} do not attend within {seconds:g} s; attending: {list(status.attending)}")
        time.sleep(0.05)


@dataclass(frozen=True)
class FinishedRun:
    """A run that is done.

    Attributes:
      directory: plan, events and metrics; roles: the federation's role directories.
      events: of training, up to `done`.
    """

    run: str
    plan: Plan
    directory: Path
    roles: Path
    events: list[Event]

    def barrier(self, role: str, number: int | None = None) -> dict[str, dict[str, np.ndarray]]:
        """Arrays by part of a barrier of one role; the last one by default."""
        return read_barrier(self.roles, role, self.run, self.plan.epochs if number is None else number)

    def theta(self, party: str, number: int | None = None) -> np.ndarray:
        """First-layer weights of one party, float32[columns, widths[0]]."""
        return self.barrier(party, number)["first_layer"]["weights"]


def read_barrier(roles: Path, role: str, run: str, number: int) -> dict[str, dict[str, np.ndarray]]:
    parts = {}
    for file in sorted((roles / role / "state" / run / "barriers" / str(number)).glob("*.npz")):
        with np.load(file, allow_pickle=False) as arrays:
            parts[file.stem] = {name: arrays[name] for name in arrays.files}
    assert parts, f"{role} holds no barrier {number} of {run}"
    return parts


def train(
    federation: LocalFederation,
    text: str,
    run: str,
    on_event: Callable[[Event], None] = lambda event: None,
    *,
    seconds: float = SECONDS,
) -> FinishedRun:
    """Submit a plan and follow it to its end."""
    _, first = federation.client.submit(text, run)
    events = []
    for event in follow(federation.client, run, first, seconds=seconds):
        on_event(event)
        events.append(event)
    assert events[-1]["event"] == "done", events[-1]
    return FinishedRun(run, parse_job_plan(text), federation.roles.parent.parent / run, federation.roles, events)


def predict(federation: LocalFederation, run: str, table: str) -> Event:
    """Predict the rows of a table; returns the event that says where the predictions are."""
    _, first = federation.client.predict(run, table)
    *_, last = follow(federation.client, run, first)
    assert last["event"] == "predicted", last
    return last


def network_outputs(run: FinishedRun, z1: np.ndarray) -> np.ndarray:
    """Linear outputs float64[rows, outputs] of the trained network above z1, float[rows, widths[0]], in numpy."""
    holder = next(party.name for party in run.plan.parties if party.label)
    stack, head = run.barrier("neutral-server")["stack"], run.barrier(holder)["label_head"]
    functions: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "tanh": np.tanh,
        "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
        "relu": lambda z: np.maximum(z, 0),
        "identity": lambda z: z,
    }
    h = z1.astype(np.float64)
    for layer, activation in enumerate(run.plan.network.activations):
        kernel = np.eye(h.shape[1]) if layer == 0 else stack[f"kernel_{layer}"].astype(np.float64)
        h = functions[activation](h @ kernel + stack[f"bias_{layer}"])
    return h @ head["kernel"].astype(np.float64) + head["bias"]
