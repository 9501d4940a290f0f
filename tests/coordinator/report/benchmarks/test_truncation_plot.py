"""The picture of truncation's error, and the sentence beside it."""

import pytest
from typer.testing import CliRunner

from coordinator.cli.bench import app
from coordinator.report.benchmarks.truncation import draw_truncation, truncation_sentence
from coordinator.sweeps.bench_log import BenchLog

PNG = b"\x89PNG\r\n\x1a\n"


def record(parties, **more):
    return {
        "parties": parties,
        "values": 600,
        "shift": 18,
        "largest": 0.99,
        "mean": 0.0,
        "outside": 0,
        "counts": [100, 200, 200, 100],
        "ups": [10, 290],
        "of": [300, 300],
        **more,
    }


def test_the_sentence_says_what_was_measured():
    """A triangular error of 600 values has a mean off by 1 / 60 as its standard error."""
    found = truncation_sentence([record(2), record(3, largest=0.75, mean=-1 / 30), record(4)])
    assert found == (
        "1,800 values below 2^62 truncated by 18 bits among 2, 3 and 4 parties: 0 outside the bound of one unit of the last bit, "
        "the largest error 0.99000 of it; the mean is at most 2.0 standard errors from 0."
    )


@pytest.mark.parametrize("parties", [(2,), (2, 3, 4)])
def test_a_picture_is_written(parties, tmp_path):
    file = tmp_path / "truncation.png"
    draw_truncation([record(one) for one in parties], file)
    assert file.read_bytes().startswith(PNG)


def test_a_broken_bound_is_said():
    assert "parties: 3 outside the bound" in truncation_sentence([record(2, outside=3, largest=1.5)])


def test_the_command_measures_logs_and_draws(tmp_path):
    """Two parties, as a user asks for them: nothing outside the bound, one record, a page with its picture."""
    answer = CliRunner().invoke(app, ["truncation", "--parties", "2", "--out", str(tmp_path)])
    assert answer.exit_code == 0, answer.output
    assert "0 outside the bound" in answer.output
    (logged,) = BenchLog(tmp_path).records("truncation")
    assert [(one["parties"], one["outside"]) for one in logged["measured"]] == [(2, 0)]
    assert sum(logged["measured"][0]["counts"]) == logged["measured"][0]["values"] == 1 << 16
    assert "(benchmarks/truncation.png)" in (tmp_path / "benchmarks.md").read_text("utf-8")
    assert (tmp_path / "benchmarks/truncation.png").read_bytes().startswith(PNG)
