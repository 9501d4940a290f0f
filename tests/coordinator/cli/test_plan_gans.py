"""`tertium plan` of GAN plans: schedule, links, what the server will see, and refusals."""

import pytest
from command_line import tertium_here
from gan_runs import gan_plan_toml


@pytest.fixture
def said(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")

    def of(*options, **fields):
        (tmp_path / "p.toml").write_text(gan_plan_toml("p", **fields))
        return tertium_here(capfd, "plan", tmp_path / "p.toml", *options)

    return of


SIZES = ("--rows", "100", "--columns", "64")


def test_fakes(said):
    found = said(*SIZES)
    assert found.code == 0, found.err
    assert "p: privgan, sharing fakes" in found.out
    assert "4 steps, 100 rows" in found.out
    assert (
        "epochs: 1 without sharing, then 1 in which the shared discriminator learns and nobody pays, then 1 in which "
        "generators pay" in found.out
    )
    assert "will see every fake of every party, and whose it is" in found.out
    assert "party-a>neutral-server" in found.out
    assert "wire limit of an epoch on the busiest link" in found.out


def test_updates(said):
    found = said(*SIZES, mode="updates")
    assert "will see the sum of the parties' gradients" in found.out
    assert "no fake, no row" in found.out
    assert "each can work out the other's gradient" in found.out


def test_updates_among_three_hide_a_party(said):
    assert "each can work out" not in said(*SIZES, mode="updates", parties=3).out
    assert "each can work out" not in said(*SIZES, mode="fakes").out


def test_alone(said):
    found = said(*SIZES, job="gan")
    assert "3 epochs at the parties alone" in found.out
    assert "it takes no part" in found.out
    assert "wire limit" not in found.out


def test_the_paper_policy_that_leaves_no_step_is_refused(said):
    said("--rows", "10", "--columns", "64", steps={"policy": "paper"}).refused(2, "class 0", "no step of 16 rows")


def test_one_width_only(said):
    said("--rows", "10", "--columns", "64", "--columns", "60").refused(2, "--columns says [64, 60]")


def test_rows_need_the_plans_classes(said):
    said(*SIZES, classes=[]).refused(2, "name the plan's classes")


def test_the_first_layers_protocol_is_no_option_of_gans(said, tmp_path, capfd):
    said(*SIZES)
    tertium_here(capfd, "run", tmp_path / "p.toml", "--local", "--protocol", "beaver").refused(
        2, "--protocol is of the first layer", "job privgan"
    )
