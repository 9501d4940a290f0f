"""Attack results as metrics.json has them, made from few numbers."""

from typing import Any

from coordinator.report.events import ScoreRecord
from coordinator.report.privacy.attack_record import AttackRecord


def score(value: float, spread: float = 0.0, n: int = 500) -> dict[str, float | int]:
    return {"value": value, "low": value - spread, "high": min(1.0, value + spread), "n": n}


def entry(
    value: float,
    baseline: float,
    *,
    positive: float = 1.0,
    negative: float | None = None,
    spread: float = 0.01,
    target: str = "rows",
    epochs_seen: int = 1,
    note: str = "",
    class_mean: float | None = None,
) -> dict[str, Any]:
    return {
        **score(value, spread),
        "baseline": score(baseline),
        "positive_control": score(positive, 0.001),
        "negative_control": score(baseline if negative is None else negative, spread),
        "target": target,
        "leaked_rows": 100,
        "epochs_seen": epochs_seen,
        "seconds": 0.5,
        "note": note,
        **({} if class_mean is None else {"class_mean": score(class_mean)}),
    }


def record(role: str, attack: str, measure: str, value: float, baseline: float, **fields: Any) -> AttackRecord:
    """The same as the page reads it."""
    found = entry(value, baseline, **fields)
    scores = [found, found["baseline"], found["positive_control"], found["negative_control"]]
    parsed = [ScoreRecord(one["value"], one["low"], one["high"], one["n"]) for one in scores]
    known = found.get("class_mean")
    return AttackRecord(
        role,
        attack,
        measure,
        found["target"],
        *parsed,
        found["leaked_rows"],
        found["epochs_seen"],
        found["note"],
        None if known is None else ScoreRecord(known["value"], known["low"], known["high"], known["n"]),
    )
