"""`tertium plan` says what a plan's mitigations show to whom and what they promise."""

import pytest
from command_line import tertium_here
from local_runs import part, plan_toml

from coordinator.cli.plan_privacy import privacy_lines
from coordinator.plan import parse_plan
from kernel.gaussian_accounting import gaussian_epsilon

PARTIES = [part("a", "wine", "alcohol"), part("b", "wine", "ash", label="target")]
NOISE = "[protection]\nz1_noise = 4.0\nrow_norm = 1.0\nweight_norm = 2.0\n"


def lines_of(text="", **fields):
    return privacy_lines(parse_plan(plan_toml("p", PARTIES, epochs=9, **fields) + text))


def test_a_plan_without_either_has_no_line():
    assert lines_of() == []


def test_a_defender_shows_h1_to_every_party():
    first, *others = lines_of(defender={"weight": 0.5, "reveal_h1": True, "widths": [], "activations": []})
    assert first == "defender: λ = 0.5, adversarial, mse, nets of no hidden layer at every party"
    assert "every party receives the first activations of every training row" in others[0]
    assert "decodes the sum of the parties' gradients" in others[0]
    assert "`reveal_h1 = true` in its policy" in others[1]


def test_noise_promises_what_accounting_says_over_all_epochs():
    """mu = 2 R S / noise * sqrt(epochs) = 2 * 1 * 2 / 4 * 3 = 3."""
    bounds, noise = lines_of(NOISE)
    assert "norm 1, its first-layer weights to spectral norm 2" in bounds
    assert f"a training row has ε = {gaussian_epsilon(3.0, 1e-5):.3g} at δ = 1e-05 over 9 releases in 9 epochs" in noise
    assert "relation: replace one row; given the weights" in noise
    assert "defenders" not in noise


def test_epochs_with_a_first_layer_that_stays_are_one_release():
    """mu = 2 R S / noise * sqrt(3 + 1) = 2."""
    noise = lines_of(NOISE + "freeze_first_layer_after = 3\n")[1]
    assert f"ε = {gaussian_epsilon(2.0, 1e-5):.3g} at δ = 1e-05 over 4 releases in 9 epochs" in noise


def test_a_defenders_gradients_are_outside_the_promise():
    noise = lines_of(NOISE, defender={"weight": 0.5, "reveal_h1": True})[-1]
    assert "not counting the sum of the defenders' gradients, which has no noise" in noise


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "freeze_first_layer_after = 3",
            "protection: first-layer weights stay after epoch 3 of 9, and dL/dz1 goes to nobody then",
        ),
        (
            "freeze_first_layer_after = 0",
            "protection: first-layer weights stay as they are drawn, and dL/dz1 goes to nobody then",
        ),
        ('label_gradient = "max_norm"', "protection: max_norm noise on dL/dh_L, at the label holder"),
        ('label_gradient = "marvell"', "protection: marvell noise of power 10 on dL/dh_L, at the label holder"),
    ],
)
def test_each_other_protection_has_a_line(text, line):
    assert lines_of(f"[protection]\n{text}\n") == [line]


def test_the_command_prints_them(tmp_path, capfd):
    file = tmp_path / "p.toml"
    file.write_text(plan_toml("p", PARTIES) + NOISE)
    shown = tertium_here(capfd, "plan", file, "--rows", 100, "--columns", 1, "--columns", 1)
    assert shown.code == 0
    assert "protection: noise of 4 on z1 at each party; a training row has ε = " in shown.out
