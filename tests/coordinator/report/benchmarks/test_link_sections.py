"""The page's sections on links and on size: newest record per protocol, verdicts, and plots that can be read."""

import struct

import pytest

from coordinator.report.benchmarks import bandwidth, size
from coordinator.report.benchmarks.page import write_page
from coordinator.report.benchmarks.protocol_lines import latest_by_line

SECTIONS = {"bandwidth": bandwidth.section, "size": size.section}


def width_of(image):
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">I", image[16:20])[0]


def test_the_newest_record_of_each_protocol_counts(add_bandwidth, log, tmp_path):
    add_bandwidth("masked_sum", 9.0)
    add_bandwidth("beaver", 1.1)
    newest = add_bandwidth("masked_sum", 1.05)
    latest = latest_by_line(log.records("bandwidth"))
    assert list(latest) == ["masked_sum", "beaver"]
    assert latest["masked_sum"] == newest
    text = bandwidth.section(log.records("bandwidth"), tmp_path)
    assert text.count("### masked_sum") == text.count("### beaver") == 1
    assert "| 9 " not in text


def test_lines_of_one_plot_share_their_table(add_bandwidth):
    own, generated = add_bandwidth("masked_sum", 1.3), {**add_bandwidth("beaver", 1.1), "generated_rows": 500}
    assert latest_by_line([own, generated]) == {"beaver": generated}
    assert latest_by_line([generated, own]) == {"masked_sum": own}
    assert latest_by_line([]) == {}


def test_a_step_in_pieces_is_a_line_of_its_own(add_bandwidth, log, tmp_path):
    """Records from before there were micro-batches are of steps in one piece."""
    old = add_bandwidth("masked_sum", 1.3)
    assert "micro_batches" not in old
    pieces = {**add_bandwidth("masked_sum", 0.7), "micro_batches": 3}
    latest = latest_by_line([pieces, old])
    assert latest == {"masked_sum": old, "masked_sum, 3 micro-batches": pieces}
    text = bandwidth.section([pieces, old], tmp_path)
    assert text.index("### masked_sum\n") < text.index("### masked_sum, 3 micro-batches\n")
    assert (text.count(": met; "), text.count(": missed; ")) == (2, 2)


@pytest.mark.parametrize(
    ("protocol", "slow", "verdict"),
    [("masked_sum", 1.10, "met"), ("masked_sum", 1.18, "missed"), ("beaver", 1.18, "met"), ("beaver", 1.3, "missed")],
)
def test_the_target_is_the_protocols_own(protocol, slow, verdict, add_bandwidth, tmp_path):
    text = bandwidth.section([add_bandwidth(protocol, slow)], tmp_path)
    lines = [line for line in text.splitlines() if "; target ≤" in line]
    assert [line.partition(" Mbit/s")[0] for line in lines] == ["* At 10", "* At 100"]
    # 1.000 MB up and 0.250 down: alone, the busier direction needs 0.8 of both
    assert lines[0].endswith(f": {verdict}; × {(slow + 0.005) / 0.8:.3f} of what its busier direction needs alone.")


def test_figures_stand_in_the_table_as_measured(add_bandwidth, tmp_path):
    text = bandwidth.section([add_bandwidth("masked_sum", 1.1)], tmp_path)
    row = next(line for line in text.splitlines() if line.startswith("| 10 |"))
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "10", "1.1 (1.1–1.11)", "1.000", "1.1 (1.1–1.11)", "1.000 + 0.250", "93.0–96.0", "1.50", "4.000",
    ]  # fmt: skip
    assert "`keras fit`: 0.2 (0.2–0.2) s; the split network without a limit takes × 0.50." in text


def test_without_an_unlimited_rate_no_ratio_is_claimed(add_bandwidth, tmp_path):
    text = bandwidth.section([add_bandwidth("masked_sum", 1.1, free=False)], tmp_path)
    assert "without a limit takes" not in text
    assert "no limit |" not in text


def test_the_fit_and_its_verdict(add_size, tmp_path):
    text = size.section([add_size("masked_sum", 0.9951), add_size("beaver", 0.98)], tmp_path)
    assert "seconds = 0.1000 + 20.0000 µs · rows; R² = 0.99510 (target ≥ 0.99: met)" in text
    assert "R² = 0.98000 (target ≥ 0.99: missed)" in text
    assert "| 40000 | 1 | 0.9 (0.9–0.9) | 9 (9–9) |" in text


def test_the_page_has_both_and_their_plots(add_bandwidth, add_size, log, tmp_path):
    for protocol in ("masked_sum", "beaver"):
        add_bandwidth(protocol, 1.1)
        add_size(protocol, 0.999)
    page = write_page(tmp_path, SECTIONS).read_text(encoding="utf-8")
    for name in ("bandwidth.png", "size.png"):
        assert f"(benchmarks/{name})" in page
        assert width_of((tmp_path / "benchmarks" / name).read_bytes()) >= 900


def test_a_page_needs_no_section_that_has_no_record(add_size, tmp_path):
    """Each benchmark brings its own module; a log may hold one of them only."""
    add_size("masked_sum", 0.999)
    assert "## Seconds over the number of rows" in write_page(tmp_path).read_text(encoding="utf-8")
