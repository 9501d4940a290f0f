"""The attacks of a run as metrics.json and the event log have them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coordinator.report.events import ScoreRecord, of_kind, scores_of
from coordinator.report.run_record import RunRecord

MEASURES = ("re_identification", "ssim", "r2", "mse", "auc")
"""In the order of the page: what is easiest to picture first."""

_CONTROLS = ("baseline", "positive_control", "negative_control")


@dataclass(frozen=True)
class AttackRecord:
    """One measure of one attack by one role.

    Attributes:
      target: "rows", "labels" or "peer block".
      score: what the attack reached; baseline: what is reached without the view.
      positive_control: where it must succeed; negative_control: on noise.
      class_mean: what is reached by one who is told the row's class and nothing else; None where that is no question.
    """

    role: str
    attack: str
    measure: str
    target: str
    score: ScoreRecord
    baseline: ScoreRecord
    positive_control: ScoreRecord
    negative_control: ScoreRecord
    leaked_rows: int
    epochs_seen: int
    note: str
    class_mean: ScoreRecord | None = None


def attacks_of(record: RunRecord) -> tuple[AttackRecord, ...]:
    """From ``privacy.attacks``, in the order they were run; what is no attack there is left out."""
    privacy = record.metrics.get("privacy")
    listed = privacy.get("attacks") if isinstance(privacy, Mapping) else None
    if not isinstance(listed, Mapping):
        listed = next((event.get("attacks") for event in reversed(of_kind(list(record.events), "attacks"))), None)
    if not isinstance(listed, Mapping):
        return ()
    found = (_attack(str(key), fields) for key, fields in listed.items() if isinstance(fields, Mapping))
    return tuple(attack for attack in found if attack is not None)


def circumstances(record: RunRecord) -> Mapping[str, Any]:
    """The last ``attacks`` event: effort, leaked fraction, epochs, what was received; empty where none was logged."""
    return next(reversed(of_kind(list(record.events), "attacks")), {})


def skipped_of(record: RunRecord) -> tuple[tuple[str, str, str], ...]:
    """(role, attack, sentence) of what the attacks that were run last could not measure; role or attack may be empty."""
    listed = circumstances(record).get("skipped")
    if not isinstance(listed, list):
        return ()
    lines = (
        [str(one.get(key, "")) for key in ("role", "attack", "sentence")] for one in listed if isinstance(one, Mapping)
    )
    return tuple((role, attack, sentence) for role, attack, sentence in lines if sentence)


def failure(record: RunRecord) -> str:
    """Why attacks failed that were tried last; empty where they did not."""
    tried = [event for event in record.events if event["event"] in ("attacks", "attacks_failed")]
    return str(tried[-1].get("sentence", "")) if tried and tried[-1]["event"] == "attacks_failed" else ""


def _attack(key: str, fields: Mapping[str, Any]) -> AttackRecord | None:
    role, _, rest = key.partition(".")
    attack, _, measure = rest.partition(".")
    scores = scores_of({"score": fields} | {name: fields.get(name) for name in (*_CONTROLS, "class_mean")})
    if measure not in MEASURES or not scores.keys() >= {"score", *_CONTROLS}:
        return None
    counts = (fields.get(name) for name in ("leaked_rows", "epochs_seen"))
    leaked, epochs = (count if isinstance(count, int) else 0 for count in counts)
    target, note = str(fields.get("target", "rows")), str(fields.get("note", ""))
    return AttackRecord(
        role,
        attack,
        measure,
        target,
        scores["score"],
        scores["baseline"],
        scores["positive_control"],
        scores["negative_control"],
        leaked,
        epochs,
        note,
        scores.get("class_mean"),
    )
