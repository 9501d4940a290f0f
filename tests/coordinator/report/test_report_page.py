"""The page: complete, self-contained, escaped, and honest about what it released."""

from pathlib import Path
from typing import Any

import pytest
from reading import Reading

from coordinator.report.page import write_report
from kernel.errors import BadInputError


@pytest.fixture
def page(rendered_run: Path) -> Reading:
    return Reading((rendered_run / "report.html").read_text(encoding="utf-8"))


def test_every_section_tells_its_part(page: Reading) -> None:
    assert page.open == []
    assert "AUC | 0.9660 | 0.9600 to 0.9720 | 0.9660 | -4.0e-05 | 56,962" in page.words("result")
    assert "plain, keras fit | 61 ms | 58 ms to 64 ms | 3 | 1.23 ×" in page.words("result")
    assert "party-a → neutral-server | 87.6 MB | 7.3 MB" in page.words("result")
    assert "party-a → party-b 48.2 KB" in page.words("result")
    assert "Rounds: 1,656." in page.words("result")
    assert "protocol | masked_sum" in page.words("network")
    assert "widths | 8 · 8" in page.words("network")
    assert "party-b | 284,807 | 227,845 | 56,962 | 14" in page.words("parties")
    assert "Resumed as generation 1 from barrier 6." in page.words("timeline")
    assert "neutral server | z₁ = Σ XΘ | it runs the hidden layers" in page.words("disclosures")
    assert "Finished in 42.7 s." in page.words("header")


def test_what_was_released_is_counted(page: Reading) -> None:
    released = page.words("released")
    assert "12 mean training losses" in released
    assert "over 56,962 test rows, with their 95 % intervals, at 3 evaluations" in released
    assert "3 ROC curves of 101 points" in released
    assert "56,962 predictions, to party-a alone" in released


def test_the_page_needs_nothing_else(page: Reading) -> None:
    kinds = {tag for tag, _ in page.tags}
    assert kinds.isdisjoint({"script", "link", "iframe", "object"})
    addresses = [value for _, attrs in page.tags for key, value in attrs.items() if key in ("src", "srcset", "href")]
    assert len(addresses) == 8
    assert all(value is not None and value.startswith("data:image/png;base64,") for value in addresses)
    style = "".join(page.text["header"])
    assert "url(" not in style
    assert "@import" not in style
    assert all(attrs.get("alt") for tag, attrs in page.tags if tag == "img")


def test_names_from_other_organisations_are_escaped(write_run: Any) -> None:
    hostile = '"><script>alert(1)</script>'
    events = [
        {"event": "joined", "party": hostile},
        {"event": "failed", "sentence": hostile},
    ]
    metrics = {"run": hostile, "protocol": hostile, "bytes": {hostile: 5}, "network": {hostile: hostile}}
    path = write_report(write_run(events, metrics), [(hostile, hostile, hostile)])
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text
    assert Reading(text).open == []


@pytest.mark.parametrize("kept", ["events", "metrics", "one event"])
def test_half_a_run_still_has_a_report(
    kept: str, write_run: Any, sample_events: list[dict[str, Any]], sample_metrics: dict[str, Any]
) -> None:
    events = {"events": sample_events, "metrics": [], "one event": sample_events[:1]}[kept]
    text = write_report(write_run(events, sample_metrics if kept == "metrics" else None)).read_text(encoding="utf-8")
    reading = Reading(text)
    assert reading.open == []
    assert ("No score was logged." in reading.words("result")) == (kept == "one event")
    assert "docs/threat_model.md" in reading.words("disclosures")


def test_a_second_report_replaces_the_first_and_leaves_no_scraps(sample_run: Path) -> None:
    path = sample_run / "report.html"
    path.write_text("an older report")
    assert write_report(sample_run) == path
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert {path.name for path in sample_run.iterdir()} == {
        "events.jsonl",
        "metrics.json",
        "plots",
        "report.html",
    }


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="a run directory was wanted"):
        write_report(tmp_path)
