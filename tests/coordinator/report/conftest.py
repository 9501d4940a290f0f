"""A run directory as a coordinator leaves it: the fraud shape, two parties, one pause, one torn line."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
LINKS = {
    "party-a>neutral-server": 7_300_000,
    "party-b>neutral-server": 7_290_000,
    "neutral-server>party-a": 9_120_000,
}
EPOCHS = 12


class WriteRun(Protocol):
    def __call__(self, events: list[dict[str, Any]], metrics: dict[str, Any] | None = None) -> Path: ...


def roc(power: float) -> dict[str, list[float]]:
    grid = np.linspace(0, 1, 101)
    return {"false_positive_rate": grid.tolist(), "true_positive_rate": (grid**power).tolist()}


def score(value: float) -> dict[str, float | int]:
    return {"value": value, "low": value - 0.006, "high": min(1.0, value + 0.006), "n": 56_962}


def logged_events() -> list[dict[str, Any]]:
    clock = START
    events: list[dict[str, Any]] = []

    def log(kind: str, then: float = 0.2, /, **fields: Any) -> None:
        nonlocal clock
        events.append({"time": clock.isoformat(), "event": kind, "run": "fraud-20260302-1", **fields})
        clock += timedelta(seconds=then)

    log("submitted", plan_hash="9f2c51c0aa7be1d4" * 4)
    for party, columns in (("party-a", 14), ("party-b", 14)):
        log("joined", party=party)
        log("prepared", party=party, rows=284_807, train_rows=227_845, test_rows=56_962, columns=columns)
    log("generation", generation=0, barrier=0)
    for epoch in range(1, EPOCHS + 1):
        if epoch == 7:
            log(
                "paused",
                8.0,
                reason="peer_lost",
                sentence="party-b was silent for 5 s; waiting for it to return.",
            )
            log("resumed", generation=1, barrier=6)
        loss = 0.62 * 0.7**epoch + 0.0043
        log("progress", epoch=epoch, step=23, steps=46, loss=loss, rows=115_000, rows_per_second=3.1e6)
        log(
            "epoch",
            epoch=epoch,
            loss=loss,
            seconds=0.071 + 0.004 * (epoch % 3),
            rows=227_845,
            bytes=LINKS,
            rounds=138,
        )
        log("barrier", barrier=epoch)
        if epoch % 4 == 0:
            log("evaluated", epoch=epoch, scores={"auc": score(0.93 + 0.003 * epoch)}, roc=roc(0.05))
    log(
        "baseline",
        losses=[0.62 * 0.7**epoch + 0.0043 for epoch in range(1, EPOCHS + 1)],
        scores={"auc": score(0.96604)},
        roc=roc(0.0501),
        keras_fit_seconds=[0.061, 0.058, 0.064],
        tf_function_seconds=[0.021, 0.020, 0.024],
    )
    log("predicted", rows=56_962, party="party-a")
    log("done", seconds=42.7)
    return events


def summary() -> dict[str, Any]:
    return {
        "run": "fraud-20260302-1",
        "job": "split_nn",
        "plan_hash": "9f2c51c0aa7be1d4" * 4,
        "versions": {"tertium": "0.1.0", "tensorflow": "2.21.0", "numpy": "2.4.6"},
        "seconds": {"epoch": [0.071 + 0.004 * (epoch % 3) for epoch in range(1, EPOCHS + 1)], "total": 42.7},
        "bytes": {link: size * EPOCHS for link, size in LINKS.items()},
        "relayed_bytes": {"party-a>party-b": 48_200, "party-b>party-a": 47_900},
        "rounds": 138 * EPOCHS,
        "scores": {"auc": score(0.966), "accuracy": score(0.99931), "log_loss": score(0.0321)},
        "baseline": {
            "scores": {"auc": score(0.96604), "accuracy": score(0.99931)},
            "seconds": {"keras_fit": [0.061, 0.058, 0.064], "tf_function": [0.021, 0.020, 0.024]},
        },
        "ratio": {"keras_fit": 1.23, "tf_function": 3.57},
        "protocol": "masked_sum",
        "parties": ["party-a", "party-b"],
        "network": {
            "widths": [8, 8],
            "activations": ["sigmoid", "sigmoid"],
            "loss": "binary",
            "outputs": 1,
            "optimizer": {"name": "adam", "learning_rate": 0.001},
            "seed": 7,
        },
    }


def _write_run(directory: Path, events: list[dict[str, Any]], metrics: dict[str, Any] | None) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    if metrics is not None:
        (directory / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return directory


@pytest.fixture
def sample_events() -> list[dict[str, Any]]:
    return logged_events()


@pytest.fixture
def sample_metrics() -> dict[str, Any]:
    return summary()


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Writes the given events and summary as a run directory."""

    def write(events: list[dict[str, Any]], metrics: dict[str, Any] | None = None) -> Path:
        return _write_run(tmp_path / "a-run", events, metrics)

    return write


@pytest.fixture
def sample_run(tmp_path: Path) -> Path:
    return _sample_run(tmp_path)


@pytest.fixture(scope="session")
def rendered_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample run with its report; drawn once, for tests that only read."""
    from coordinator.report.page import write_report

    directory = _sample_run(tmp_path_factory.mktemp("rendered"))
    write_report(directory, [("neutral server", "z₁ = Σ XΘ", "it runs the hidden layers")])
    return directory


def _sample_run(parent: Path) -> Path:
    directory = _write_run(parent / "fraud-20260302-1", logged_events(), summary())
    with (directory / "events.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"time": "2026-03-02T09:31:00+00:00", "event": "epo')
    return directory
