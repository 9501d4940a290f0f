"""`tertium run --local --record` keeps what the roles received; `tertium attacks run` attacks it, and the report says so.

Attacks within a run, whose recording is deleted: test_bench_frontier.py.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import tertium
from local_runs import part, plan_toml

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of digits, halves at two parties, two epochs; recorded, and attacked by its id alone."""
    root = tmp_path_factory.mktemp("attacked")
    parties = [
        part("top", "digits", "pixel_0_0..pixel_3_7"),
        part("bottom", "digits", "pixel_4_0..pixel_7_7", label="target"),
    ]
    text = plan_toml(
        "digits",
        parties,
        epochs=2,
        batch_rows=629,
        widths=(16, 8),
        loss="multiclass",
        outputs=10,
        optimizer="adam",
        learning_rate=0.01,
    )
    (root / "digits.toml").write_text(text)
    outcome = tertium(
        "run",
        "digits.toml",
        "--local",
        "--no-baseline",
        "--attacks",
        "none",
        "--record",
        "kept",
        cwd=root,
        seconds=300.0,
    )
    assert outcome.code == 0, outcome
    assert "trained in " in outcome.out
    (found,) = (root / "runs").iterdir()
    assert "No attack was run" in (found / "report.html").read_text(encoding="utf-8")
    trained = json.loads((found / "metrics.json").read_bytes())
    outcome = tertium("attacks", "run", found.name, cwd=root, seconds=300.0)
    assert outcome.code == 0, outcome
    assert "attacked (quick) in " in outcome.out
    assert "could find out" in outcome.out
    attacked = json.loads((found / "metrics.json").read_bytes())
    assert attacked.pop("privacy")["attacks"]
    assert attacked == trained
    return found


def test_metrics_hold_every_role(directory: Path):
    attacks = json.loads((directory / "metrics.json").read_bytes())["privacy"]["attacks"]
    roles = {key.split(".")[0] for key in attacks}
    assert roles == {"neutral-server", "feature-holder", "label-holder", "predictions"}
    found = attacks["neutral-server.inverse_ridge.re_identification"]
    assert set(found) >= {"value", "low", "high", "n", "baseline", "positive_control", "negative_control"}
    assert found["positive_control"]["value"] > 0.9
    assert found["negative_control"]["value"] < 0.1
    assert found["value"] > 0.3  # sixteen numbers about 64 pixels give a digit away


def test_the_report_tells_it_in_words(directory: Path):
    page = (directory / "report.html").read_text(encoding="utf-8")
    assert "the reader picks the right one in" in page
    assert "This picture shows real rows of this run." in page
    assert (directory / "plots" / "recoveries.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in (directory / "plots").glob("leakage-*.png")} >= {
        "leakage-re_identification.png",
        "leakage-r2.png",
        "leakage-ssim.png",
        "leakage-auc.png",
    }


def test_the_recording_was_counted_and_kept_as_asked(directory: Path):
    (event,) = events_of(directory, "attacks")
    train, test = 1258, 539
    assert event["received"]["neutral-server"]["share"]["numbers"] == 2 * 16 * (2 * train + test)
    assert event["recorded_bytes"] > event["received"]["neutral-server"]["share"]["bytes"]
    assert (event["rows"], event["epochs"], event["effort"], event["kept"]) == (train, [1, 2], "quick", True)
    kept = directory.parents[1] / "kept"
    (noted,) = events_of(directory, "recorded")
    assert noted["directory"] == str(kept)
    assert noted["bytes"] == event["recorded_bytes"] == sum(file.stat().st_size for file in kept.iterdir())
    assert {file.stat().st_mode & 0o777 for file in kept.iterdir()} == {0o600}
    assert kept.stat().st_mode & 0o777 == 0o700


def events_of(directory: Path, kind: str) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in (directory / "events.jsonl").read_text().splitlines()]
    return [one for one in events if one["event"] == kind]
