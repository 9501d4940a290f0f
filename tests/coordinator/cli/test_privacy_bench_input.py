"""Bad input of `bench defender` and `bench frontier`: one sentence, exit code 2, nothing started and nothing written."""

import importlib.resources
import re

import pytest
from command_line import tertium_here

from coordinator.sweeps.axes import parse_weights
from coordinator.sweeps.frontier import frontier_cases, packaged_plans
from coordinator.sweeps.variants import read_variants

BENCHES = ("defender", "frontier")
PLAN = importlib.resources.files("coordinator.local") / "plans" / "breast_cancer.toml"


@pytest.mark.parametrize(
    ("bench", "options", "sentence"),
    [
        ("defender", ["--lambdas=-1,0"], "weight '-1' is no λ of a defender; wanted a number, 0 or more"),
        ("defender", ["--lambdas", "0,much"], "weight 'much' is no λ of a defender"),
        ("defender", ["--lambdas", ""], "the list of weights is empty"),
        ("defender", ["--seeds", "0"], "Invalid value for '--seeds'"),
        ("defender", ["--seeds", "five"], "Invalid value for '--seeds'"),
        ("defender", ["--objective", "both"], "--objective is 'both'; it is adversarial or literal"),
        ("defender", ["--attacks", "some"], "--attacks is 'some'; it is none, quick, full"),
        ("defender", ["--attacks", "quick", "--leaked-fraction", "1"], "--leaked-fraction is 1"),
        ("frontier", ["--seeds", "0"], "Invalid value for '--seeds'"),
        ("frontier", ["--attacks", "none"], "without attacks there is none; say quick or full"),
        ("frontier", ["--leaked-fraction", "0"], "--leaked-fraction is 0"),
        (
            "frontier",
            ["--variant", "f = 3"],
            "there is no variant 'f = 3'; these plans have 'f = 4', 'max-norm', 'unprotected' (a line each with",
        ),
        ("frontier", ["--variants", "none.toml"], "cannot read none.toml"),
    ],
)
def test_one_sentence(bench, options, sentence, capfd, tmp_path):
    places = ["--out", tmp_path / "out", "--runs", tmp_path / "runs"]
    tertium_here(capfd, "bench", bench, PLAN, *places, *options).refused(2, sentence)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_key_of_a_variant_stops_all(capfd, tmp_path):
    file = tmp_path / "variants.toml"
    file.write_text('[[variant]]\nname = "good"\n[[variant]]\nname = "odd"\noverrides.protection.nose = 1.0\n')
    outcome = tertium_here(capfd, "bench", "frontier", PLAN, "--variants", file, "--out", tmp_path / "out")
    outcome.refused(2, "variant 'odd' of", "unknown key 'protection.nose'")
    assert list(tmp_path.iterdir()) == [file]


def test_variants_are_listed_a_line_each_and_nothing_is_run(capfd, tmp_path):
    file = tmp_path / "variants.toml"
    file.write_text('variant = [{ name = "a, b" }, { name = "c", overrides = { epochs = 2 } }]')
    places = ["--out", tmp_path / "out", "--runs", tmp_path / "runs"]
    shown = tertium_here(capfd, "bench", "frontier", PLAN, "--variants", file, "--list", *places)
    assert (shown.code, shown.out.splitlines()) == (0, ["breast_cancer:", "  'a, b'", "  'c'"])
    packaged = tertium_here(capfd, "bench", "frontier", "--list", *places)
    assert {"fraud:", "distress:", "mnist:", "  'unprotected'"} <= set(packaged.out.splitlines())
    assert list(tmp_path.iterdir()) == [file]


def test_help_says_how_much_the_defaults_run(capfd):
    """The counts are those of the packaged plans and variants, and of the options' defaults."""
    help_of = {bench: " ".join(tertium_here(capfd, "bench", bench, "--help").out.split()) for bench in BENCHES}
    cases, plans = frontier_cases(packaged_plans(), read_variants(None), [1]), len(packaged_plans())
    told = re.search(
        r"about (\d+) runs \(fraud, distress and MNIST under some (\d+) variants each", help_of["frontier"]
    )
    runs, variants = map(int, told.groups())
    assert runs == plans * variants
    assert abs(len(cases) - runs) <= 6
    runs, weights, seeds = map(
        int, re.search(r"(\d+) runs of the fraud plan \((\d+) weights × (\d+) seeds\)", help_of["defender"]).groups()
    )
    assert (weights, runs) == (len(parse_weights("0,1e-5,1e-4,1e-3,1e-2,1e-1")), weights * seeds)
    assert "0,1e-5,1e-4,1e-3,1e-2,1e-1" in help_of["defender"].replace(" ", "")
