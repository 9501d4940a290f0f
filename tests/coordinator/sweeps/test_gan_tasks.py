"""Sweep files and their tasks: none twice, the axes in turn, parties and held-out rows disjoint, steps as stated."""

from pathlib import Path

import numpy as np
import pytest
from gan_sweep_files import SMALL, small_sweep

from coordinator.sweeps.gan_sweep_file import OWN_SETTINGS, parse_sweep, read_sweep
from coordinator.sweeps.gan_tasks import Setting, columns_named, gan_task, gan_tasks, steps_per_epoch
from kernel.errors import SettingsError
from party.rows.loaders import load_table
from party.rows.schema import TableSettings

PLANS = Path(__file__).resolve().parents[3] / "deploy/plans"
SHIPPED = [
    (name, size)
    for name in ("privgan-sweep.toml", "privgan-sweep-small.toml")
    for size in (None, "smoke", "half", "paper")
    if not (name == "privgan-sweep-small.toml" and size in ("half", "paper"))
]


@pytest.mark.parametrize(("name", "size"), SHIPPED)
def test_shipped_sweeps_make_plans_on_every_axis_at_every_size(name, size):
    sweep = read_sweep(PLANS / name, size)
    assert sweep.size == (size or OWN_SETTINGS)
    tasks = gan_tasks(sweep)
    assert len({task.key for task in tasks}) == len(tasks)
    for axis in ("fractions", "grid", "weights", "skews"):
        assert gan_tasks(sweep, [axis])


def test_the_papers_size_is_the_papers():
    sweep = read_sweep(PLANS / "privgan-sweep.toml", "paper")
    assert (sweep.training.epochs, sweep.training.gan_epochs, sweep.training.batch_rows) == (200, 250, 256)
    assert sweep.nets.generator == (512, 512, 1024)
    assert sweep.nets.discriminator == (2048, 512, 256)
    assert sorted(sweep.axes.fractions) == [0.01, 0.02, 0.03, 0.04, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert (sweep.evaluation.rows, sweep.evaluation.epochs) == (3000, 25)
    most = Setting("gan", (0.5, 0.5), 0.0, 0.0, 1)
    assert steps_per_epoch(sweep, most) == sweep.training.steps_per_epoch == 30000 // 10 // 256
    for fraction, steps in ((0.01, 1), (0.05, 1), (0.1, 2), (0.4, 9)):
        assert steps_per_epoch(sweep, Setting("gan", (fraction, fraction), 0.0, 0.0, 1)) == steps


def test_tasks_that_two_figures_need_are_trained_once_and_axes_take_turns():
    found = [
        (task.setting.method, task.setting.fractions, task.setting.weight, task.setting.skew)
        for task in gan_tasks(small_sweep())
    ]
    assert found == [
        ("privgan", (0.5, 0.5), 1.0, 0.0),  # fractions; the grid's first cell too
        ("gan_equal", (0.5, 0.5), 0.0, 0.0),
        ("gan", (0.5, 0.5), 0.0, 0.0),
        ("privgan", (0.1, 0.1), 1.0, 0.0),  # lambda 1; the second fraction and the grid's last cell too
        ("privgan", (0.5, 0.5), 1.0, 0.5),
        ("gan_equal", (0.5, 0.5), 0.0, 0.5),
        ("gan_equal", (0.1, 0.1), 0.0, 0.0),
        ("gan", (0.1, 0.1), 0.0, 0.0),
        ("privgan", (0.1, 0.5), 1.0, 0.0),  # the grid off its diagonal
        ("privgan", (0.1, 0.1), 0.0, 0.0),
        ("privgan", (0.5, 0.1), 1.0, 0.0),
    ]


def test_a_mirrored_grid_trains_a_cell_for_both_orders():
    sweep = small_sweep(extra="[sizes.half.axes]\nmirrored = true\n", size="half")
    fractions = [task.setting.fractions for task in gan_tasks(sweep, ["grid"])]
    assert fractions == [(0.5, 0.5), (0.1, 0.5), (0.1, 0.1)]


def test_seeds_come_one_after_the_other_and_can_be_chosen():
    both = gan_tasks(small_sweep(), ["weights"], [7, 8])
    assert [task.setting.seed for task in both] == [7, 7, 8, 8]
    assert {task.plan.seed for task in both} == {7, 8}
    assert len({task.key for task in both}) == 4


def test_a_key_is_of_rows_and_settings_not_of_names():
    setting = Setting("privgan", (0.5, 0.5), 1.0, 0.0, 1)
    task, renamed = (
        gan_task(parse_sweep(SMALL.replace('"wine"', name, 1), "w"), setting) for name in ('"wine"', '"vin"')
    )
    assert task.key == renamed.key
    others = [
        gan_task(small_sweep(), Setting("privgan", (0.5, 0.4), 1.0, 0.0, 1)),
        gan_task(small_sweep(), Setting("privgan", (0.5, 0.5), 1.0, 0.1, 1)),
        gan_task(small_sweep("tiny"), setting),
    ]
    assert len({task.key, *(other.key for other in others)}) == 4


def rows_of(task, name):
    """Rows of one of a task's tables, as texts: wine has no two alike but for one pair."""
    table = load_table("t", TableSettings(**task.plan.local.tables[name]), data_directory=None)
    return {tuple(float(cells[row]) for cells in table.values.values()) for row in range(table.rows)}


def test_parties_and_held_out_rows_are_disjoint_and_fractions_nested():
    whole, small = (
        gan_task(small_sweep(), Setting("privgan", (fraction, fraction), 1.0, 0.0, 1)) for fraction in (0.5, 0.1)
    )
    a, b, held = (rows_of(whole, name) for name in ("rows-party-a", "rows-party-b", "held-out"))
    assert len(a | b | held) == len(a) + len(b) + len(held)
    assert len(a | b | held) == 178
    assert len(held) == 44  # the bound, 0.75 of 178, is rounded up to 134
    for name, larger in (("rows-party-a", a), ("rows-party-b", b)):
        fewer = rows_of(small, name)
        assert fewer < larger
        assert 12 <= len(fewer) <= 15
    assert rows_of(small, "held-out") == held


def test_windows_hold_the_rest_of_the_table_out():
    text = SMALL.replace("holdout_share = 0.25", "train_rows = 100")
    task = gan_task(parse_sweep(text, "w"), Setting("privgan", (0.5, 0.5), 1.0, 0.0, 1))
    assert task.plan.local.tables["held-out"] == {"source": "builtin:wine", "skip_rows": 100}
    a, b, held = (rows_of(task, name) for name in ("rows-party-a", "rows-party-b", "held-out"))
    assert (len(a), len(b), len(held)) == (50, 50, 78)
    assert len(a | b | held) == len(a) + len(b) + len(held)


@pytest.mark.parametrize(("skew", "share"), [(0.5, 0.5), (1.0, 0.0)])
def test_skew_takes_the_rows_of_the_other_halfs_classes(skew, share):
    sweep = small_sweep()

    def counts(value, name):
        task = gan_task(sweep, Setting("privgan", (0.5, 0.5), 1.0, value, 1))
        settings = TableSettings(**task.plan.local.tables[name])
        table = load_table("t", settings, data_directory=None, columns=["target"])
        return np.bincount(table.values["target"], minlength=3)

    for name, kept, thinned in (("rows-party-a", [0], [1, 2]), ("rows-party-b", [1, 2], [0])):
        even, skewed = counts(0.0, name), counts(skew, name)
        assert (skewed[kept] == even[kept]).all()
        assert (skewed[thinned] == np.floor(even[thinned] * share + 0.5)).all()


def test_multiplications_by_hand():
    sweep = small_sweep()
    gan = gan_task(sweep, Setting("gan_equal", (0.5, 0.5), 0.0, 0.0, 1))
    generator, discriminator = (
        2 * 3 + 3 * 2,
        2 * 5 + 5,
    )  # two columns: a range of names without numbers is one, and one more
    assert columns_named(["alcohol..proline", "ash"]) == 2
    assert columns_named(["pixel0..pixel783", "V1..V3"]) == 787
    one = columns_named(sweep.data.columns)
    generator, discriminator = 2 * 3 + 3 * one, one * 5 + 5
    assert gan.multiplications == (4 * generator + 8 * discriminator) * 8 * 5 * 4 * 3 * 2
    privgan = gan_task(sweep, Setting("privgan", (0.5, 0.5), 1.0, 0.0, 1))
    shared = one * 5 + 5 * 2
    assert privgan.multiplications == (4 * generator + 8 * discriminator + 5 * shared) * 8 * 5 * 4 * 3 * 2


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("seed = 3", "sed = 3", "unknown key 'data.sed'; did you mean 'seed'"),
        ("fractions = [0.5, 0.1]", "fractions = [0.6]", "less than or equal to 0.5"),
        ("fractions = [0.5, 0.1]", "fractions = [0.1, 0.1]", "axes.fractions names a value twice"),
        ('"builtin:wine" }', '"builtin:wine", first_rows = 9 }', "data.table chooses rows by first_rows"),
        ("holdout_share = 0.25", "", "either data.train_rows or data.holdout_share"),
        ("weight = 1.0", "weight = -1.0", "greater than or equal to 0"),
    ],
)
def test_bad_files_in_one_sentence(old, new, sentence):
    with pytest.raises(SettingsError, match=sentence):
        parse_sweep(SMALL.replace(old, new), "wine.toml")


def test_sizes_and_axes_that_are_not_there():
    with pytest.raises(SettingsError, match="has no size 'huge'; sizes are tiny"):
        small_sweep("huge")
    with pytest.raises(SettingsError, match="there is no axis 'images'; axes are fractions, grid, weights, skews"):
        gan_tasks(small_sweep(), ["images"])
    with pytest.raises(SettingsError, match="names no value on grid"):
        gan_tasks(small_sweep("tiny"), ["grid"])
    with pytest.raises(SettingsError, match=r"size odd of wine.toml: unknown key 'training.epoch'"):
        small_sweep("odd", "[sizes.odd.training]\nepoch = 3\n")
