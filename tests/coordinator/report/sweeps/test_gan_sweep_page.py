"""The page of a GAN sweep: points by hand, mirrored cells, families apart, and every figure from the records alone."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "sweeps"))

from gan_sweep_files import made_figures, small_sweep

from coordinator.cli.sweep import sweep as sweep_command
from coordinator.report.sweeps.gan_page import write_page
from coordinator.report.sweeps.gan_plots import fraction_values, grid_table
from coordinator.report.sweeps.gan_records import accuracy, advantage, attack, chance, newest_sweep
from coordinator.sweeps.gan_sweep import SWEEP, run_sweep, sweep_log
from coordinator.sweeps.gan_tasks import Setting, gan_task, gan_tasks
from kernel.errors import BadInputError, TertiumError

FIGURES = {"images", "grid", "accuracy", "attack", "attack-classes", "weights", "skews"}


def trained(out, sweep=None, tasks=None):
    sweep = sweep or small_sweep()
    list(run_sweep(sweep, tasks or gan_tasks(sweep), out, out, lambda task, runs: made_figures(task)))
    return newest_sweep(sweep_log(out).records(SWEEP))


def test_every_figure_is_drawn_from_the_records_alone(tmp_path: Path):
    trained(tmp_path)
    page = write_page(tmp_path)
    assert {file.stem for file in (tmp_path / "sweep").glob("*.png")} == FIGURES
    text = page.read_text(encoding="utf-8")
    assert all(f"](sweep/{name}.png)" in text for name in FIGURES)
    assert text.count("\n| privGAN") + text.count("\n| GAN") == 11
    assert "4 epochs of 5 steps for every class" in text


def test_a_page_of_one_task_shows_what_it_can(tmp_path: Path):
    sweep = small_sweep()
    trained(tmp_path, sweep, gan_tasks(sweep)[:1])
    write_page(tmp_path)
    assert {file.stem for file in (tmp_path / "sweep").glob("*.png")} == {
        "images",
        "accuracy",
        "attack",
        "attack-classes",
    }


def test_points_by_hand(tmp_path: Path):
    found = trained(tmp_path)
    runs = found.at("privgan", (0.5, 0.5))
    point = accuracy(runs, "party-a")
    assert (point.value, point.low, point.high, point.n, point.seeds) == pytest.approx((0.7, 0.65, 0.75, 45, 1))
    assert accuracy(runs, "party-a", "party-b").value == pytest.approx(0.705)
    assert accuracy(runs, "nobody") is None
    assert attack(runs, "own").value == pytest.approx(0.3)
    assert chance(runs, "own", "1") == pytest.approx(0.2)
    assert advantage(runs, "own").value == pytest.approx(0.1)
    assert advantage(runs, "max") is None
    assert fraction_values(found) == [0.1, 0.5]


def test_several_seeds_are_a_mean_with_students_interval(tmp_path: Path):
    sweep = small_sweep()
    tasks = gan_tasks(sweep, ["weights"], [1, 2])
    values = iter([0.5, 0.4, 0.7, 0.4])

    def train(task, runs):
        figures = made_figures(task)
        figures["accuracy"]["all"]["value"] = next(values)
        return figures

    list(run_sweep(sweep, tasks, tmp_path, tmp_path, train))
    found = newest_sweep(sweep_log(tmp_path).records(SWEEP))
    point = accuracy(found.at("privgan", (0.1, 0.1), weight=1.0), "all")
    assert (point.value, point.seeds) == (pytest.approx(0.6), 2)
    assert point.high - point.value == pytest.approx(12.706 * 0.1)  # t(0.975, 1) · s / √2, s = 0.2 / √2


def test_mirrored_cells_have_the_parties_exchanged(tmp_path: Path):
    sweep = small_sweep("half", "[sizes.half.axes]\nmirrored = true\n")
    found = trained(tmp_path, sweep)
    a, b, both = (grid_table(found, [0.1, 0.5], source) for source in ("party-a", "party-b", "all"))
    # trained: party-a 0.1, party-b 0.5, with 0.62 of a, 0.63 of b; the mirror has them the other way round
    assert np.allclose(a, [[0.62, 0.63], [0.62, 0.70]])
    assert np.allclose(b, [[0.63, 0.62], [0.63, 0.71]])
    assert both[0, 1] == both[1, 0]
    open_grid = small_sweep("odd", "[sizes.odd.axes]\ngrid = [0.5, 0.1]\n")
    partly = trained(tmp_path / "partly", open_grid, [gan_task(open_grid, Setting("privgan", (0.1, 0.5), 1.0, 0.0, 1))])
    table = grid_table(partly, [0.1, 0.5], "all")
    assert np.isnan(table[0, 1])
    assert not np.isnan(table[1, 0])


def test_records_of_other_settings_do_not_stand_beside_each_other(tmp_path: Path):
    trained(tmp_path)
    found = trained(tmp_path, small_sweep("tiny"))
    assert {record["sweep"]["size"] for record in found.records} == {"tiny"}
    assert len(found.records) == len(gan_tasks(small_sweep("tiny")))


def test_failures_stand_on_the_page_until_they_are_mended(tmp_path: Path):
    sweep = small_sweep()
    tasks = gan_tasks(sweep)[:2]

    def train(task, runs):
        if task is tasks[1]:
            raise TertiumError("party-b was lost")
        return made_figures(task)

    list(run_sweep(sweep, tasks, tmp_path, tmp_path, train))
    assert "* GAN, equal steps, fractions 0.5 + 0.5, seed 1: party-b was lost" in write_page(tmp_path).read_text()
    trained(tmp_path, sweep, tasks)
    assert "party-b was lost" not in write_page(tmp_path).read_text()


def test_nothing_to_report(tmp_path: Path):
    with pytest.raises(BadInputError, match="run the sweep without --report-only first"):
        write_page(tmp_path)


def test_the_list_of_a_sweep_and_its_page_are_to_be_had_without_training(tmp_path: Path, capsys):
    plan = tmp_path / "wine.toml"
    from gan_sweep_files import SMALL

    plan.write_text(SMALL, encoding="utf-8")
    common = {"size": None, "runs": tmp_path, "out": tmp_path, "only": None, "seeds": None, "seed": None}
    trained(tmp_path, tasks=gan_tasks(small_sweep())[:1])
    sweep_command(plan, listed=True, report_only=False, **common)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    assert "11 tasks, 1 done" in lines[0]
    assert "privGAN, fractions 0.5 + 0.5, lambda 1, seed 1: done" in lines[1]
    sweep_command(plan, listed=False, report_only=True, **common)
    assert "sweep.md" in capsys.readouterr().out.replace("\n", "")
