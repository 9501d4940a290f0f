"""Plots: one colour a method, labels with units, nothing without data."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from matplotlib.colors import to_hex

from coordinator.report.plots import (
    METHOD_COLOURS,
    draw_bytes,
    draw_loss,
    draw_roc,
    draw_seconds,
    write_plots,
)
from coordinator.report.run_record import read_run


def colours(figure: Any) -> dict[str, str]:
    return {line.get_label().split(",")[0]: to_hex(line.get_color()) for line in figure.axes[0].get_lines()}


def test_every_plot_is_written_as_a_png(sample_run: Path) -> None:
    written = write_plots(sample_run)
    assert [path.relative_to(sample_run).as_posix() for path in written] == [
        "plots/loss.png",
        "plots/roc.png",
        "plots/seconds.png",
        "plots/bytes.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_a_run_without_data_has_no_plots(write_run: Any) -> None:
    directory = write_run([{"event": "submitted"}])
    assert write_plots(directory) == ()
    assert not (directory / "plots").exists()


def test_a_method_keeps_its_colour_and_its_numbers(sample_run: Path) -> None:
    record = read_run(sample_run)
    loss, roc = draw_loss(record), draw_roc(record)
    assert loss is not None
    assert roc is not None
    for figure in (loss, roc):
        found = colours(figure)
        assert (found["split"], found["plain"]) == (METHOD_COLOURS["split"], METHOD_COLOURS["plain"])
    split = next(line for line in loss.axes[0].get_lines() if line.get_label() == "split")
    assert list(split.get_xdata()) == list(range(1, 13))
    assert list(split.get_ydata()) == [epoch.loss for epoch in record.epochs]
    areas = [text.get_text() for text in roc.axes[0].get_legend().get_texts()]
    assert areas == ["plain, AUC 0.9660 [0.9600, 0.9720]", "split, AUC 0.9660 [0.9600, 0.9720]"]


def test_seconds_show_both_plain_loops(sample_run: Path) -> None:
    figure = draw_seconds(read_run(sample_run), "dark")
    assert figure is not None
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == [
        "plain, keras fit (median, range)",
        "plain, tf.function a batch (median, range)",
        "split",
    ]
    assert figure.axes[0].get_ylabel() == "seconds per epoch (s)"
    assert figure.axes[0].get_ylim()[0] == 0


def test_bytes_have_a_unit_and_the_caption_names_the_run(sample_run: Path) -> None:
    record = read_run(sample_run)
    figure = draw_bytes(record)
    assert figure is not None
    axes = figure.axes[0]
    assert axes.get_xlabel() == "payload, whole run (MB)"
    assert [bar.get_width() for bar in axes.patches][:2] == [87.6, 87.48]
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == "party-b → party-a (sealed)"
    assert figure.get_supxlabel() == record.caption()


def test_names_are_never_read_as_mathematics(write_run: Any) -> None:
    metrics = {"run": r"$\bad{$", "bytes": {r"a$\frac$>b": 5}}
    assert len(write_plots(write_run([], metrics))) == 1


def test_importing_the_module_does_not_import_matplotlib() -> None:
    script = "import sys, coordinator.report.page, coordinator.report.plots; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
