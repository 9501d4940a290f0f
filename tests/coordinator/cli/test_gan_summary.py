"""The tables a GAN run ends with."""

import io
from pathlib import Path

import pytest
from logged_gan_run import write_gan_run
from rich.console import Console

from coordinator.cli.summary import print_summary


@pytest.mark.parametrize(("mode", "title"), [("updates", "(privgan, sharing updates)"), ("none", "(gan)")])
def test_accuracy_attacks_bytes_and_what_to_do_next(tmp_path: Path, mode: str, title: str) -> None:
    screen = io.StringIO()
    directory = write_gan_run(tmp_path / "pictures-1", mode)
    (directory / "roles").mkdir()
    print_summary(directory, Console(file=screen, width=120))
    said = screen.getvalue()
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in said.splitlines() if line.startswith("│")]
    assert title in said
    assert ["real training rows (the ceiling)", "0.9600", "0.9300–0.9900", "400"] in rows
    assert ["epoch seconds", "0.200", "0.200–0.200", ""] in rows
    assert ["its own discriminator", "party-b", "0.400", "0.250"] in rows
    assert ["party-a>neutral-server", "1.600", "19.200", ""] in rows
    assert "synthetic rows have no differential privacy" in said
    assert f"tertium sample pictures-1 --party party-a --rows 20 --out rows.png --local --runs {tmp_path}" in said
    assert f"report: {directory / 'report.html'}" in said


def test_a_run_of_daemons_elsewhere_is_sampled_through_their_coordinator(tmp_path: Path) -> None:
    screen = io.StringIO()
    print_summary(write_gan_run(tmp_path / "pictures-1", "updates"), Console(file=screen, width=120))
    assert "--party party-a --rows 20 --out rows.png --coordinator HOST:PORT" in screen.getvalue()
    assert "--local" not in screen.getvalue()
