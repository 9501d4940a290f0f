"""The page's section on memory: figures as recorded, verdicts that follow from them."""

import copy

import pytest

from coordinator.report.benchmarks.memory import draw_memory, section

SIZES = {"idle": 120e6, "after_first_epoch": 250e6, "after_last_epoch": 255e6}
SERIES = [(0.0, 120_000_000), (5.0, 240_000_000), (9.0, 260_000_000)]


def role(peak, **more):
    return {**SIZES, "peak": peak, "series": SERIES, **more}


def run(rows, *, party_peak=260e6, server_peak=800e6):
    bound = {"fixed_bytes": 90e6, "bytes_per_row": 20.0, "bound": 120e6 + 90e6 + 20 * rows}
    return {
        "rows": rows,
        "epoch_seconds": [9.0, 8.5],
        "rows_seconds": {"party-a": [1.0, 1.1], "party-b": [0.9, 0.8]},
        "auc": 0.83321,
        "marks": [["generation", 1.0], ["epoch", 5.0], ["epoch", 9.0], ["evaluated", 9.5]],
        "roles": {
            "coordinator": role(90e6),
            "neutral-server": role(server_peak, after_first_epoch=781e6, after_last_epoch=781.4e6),
            "party-a": role(party_peak, **bound),
            "party-b": role(party_peak, **bound),
        },
    }


@pytest.fixture
def record():
    return {
        "bench": "memory",
        "time": "2026-11-24T20:00:00+00:00",
        "rows": 5_000_000,
        "columns": 28,
        "epochs": 2,
        "batch_rows": 5000,
        "parquet_bytes": 561_000_000,
        "runs": [run(500_000, party_peak=215e6), run(5_000_000)],
        "within_bound": True,
        "server_growth_bytes": {"with_rows": 2e6, "with_epochs": 0.4e6},
        "versions": {"tertium": "0.1.0"},
        "machine": {"processor": "a processor", "cores": 2, "memory_gb": 25.2},
    }


def test_bound_peak_and_growth_are_on_the_page(record, tmp_path):
    text = section([record], tmp_path)
    assert "| party-a | 5,000,000 | 120 | 90 | 20.0 | 310 | 260 | 0.84 |" in text
    assert "| party-b | 500,000 | 120 | 90 | 20.0 | 220 | 215 | 0.98 |" in text
    assert "| neutral-server | 500,000 | 781 | 781 | 800 |" in text
    assert "Every party stayed within its bound." in text
    assert "by +2.0 MB, 1 more epoch(s) its resident memory by +0.4 MB: it does not grow with either." in text
    assert "| 5,000,000 | 9 s, 8.5 s | party-a 1 s, 1.1 s; party-b 900 ms, 800 ms | 0.8332 |" in text
    assert f"({tmp_path.name}/memory.png)" in text
    assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")


def test_a_broken_bound_and_a_growing_server_are_said(record, tmp_path):
    record["within_bound"] = False
    record["runs"][1]["roles"]["party-b"]["peak"] = 345e6
    record["server_growth_bytes"]["with_rows"] = 90e6
    text = section([record], tmp_path)
    assert "**The bound was broken:** party-b at 5,000,000 rows by 35 MB." in text
    assert "by +90.0 MB" in text
    assert "**it grows.**" in text


def test_the_newest_record_counts_and_none_is_nothing(record, tmp_path):
    newer = copy.deepcopy(record)
    newer["rows"] = 6_000_000
    text = section([record, newer], tmp_path)
    assert "6,000,000 rows × 28 columns" in text
    assert "5,000,000 rows × 28" not in text
    assert section([], tmp_path) == ""


def test_the_plot_shows_every_role_and_each_bound(record):
    (axes,) = draw_memory(record).axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert {"coordinator", "neutral-server", "party-a", "party-b", "party-a, bound", "party-b, bound"} <= set(lines)
    assert lines["party-a"].get_ydata().tolist() == [120, 240, 260]
    assert set(lines["party-a, bound"].get_ydata()) == {310}
    assert lines["party-a"].get_color() == lines["party-a, bound"].get_color() != lines["party-b"].get_color()
    assert axes.get_xlabel().endswith("(s)")
    assert axes.get_ylabel().endswith("(MB)")
