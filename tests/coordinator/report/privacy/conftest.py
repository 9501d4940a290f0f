"""A run that was attacked, as its directory has it."""

from typing import Any

import pytest
from attack_results import entry


@pytest.fixture
def attacks() -> dict[str, Any]:
    return {
        "neutral-server.inverse_ridge.re_identification": entry(0.27, 0.01, spread=0.03),
        "neutral-server.inverse_ridge.r2": entry(0.30, 0.05),
        "neutral-server.inverse_ridge.mse": entry(0.70, 0.95, positive=0.01),
        "neutral-server.stacked_ridge.re_identification": entry(0.66, 0.01, epochs_seen=20, note="all epochs"),
        "feature-holder party-b.label_direction.auc": entry(0.999, 0.5, spread=0.0005, target="labels"),
        "label-holder.inverse_ridge.r2": entry(0.201, 0.2, spread=0.02, target="peer block"),
    }


@pytest.fixture
def attacked_run(write_run: Any, sample_events: Any, sample_metrics: Any, attacks: dict[str, Any]) -> Any:
    """The sample run, attacked, with its plan."""
    event = {
        "event": "attacks",
        "effort": "quick",
        "leaked_fraction": 0.1,
        "rows": 1000,
        "columns": 28,
        "epochs": list(range(1, 21)),
        "received": {"neutral-server": {"share": {"messages": 40, "numbers": 320_000, "bytes": 1_280_000}}},
        "attacks": attacks,
        "seconds": 12.0,
        "recorded_bytes": 3_400_000,
        "kept": False,
    }
    metrics = {**sample_metrics, "privacy": {"attacks": attacks}}
    directory = write_run([*sample_events, event], metrics)
    (directory / "plan.toml").write_text("[first_layer]\nprotocol = 'masked_sum'\n")
    return directory
