"""Bad input of `bench defender` and `bench frontier`: one sentence, exit code 2, nothing started and nothing written."""

import importlib.resources

import pytest
from command_line import tertium_here

PLAN = importlib.resources.files("coordinator.local") / "plans" / "breast_cancer.toml"


@pytest.mark.parametrize(
    ("bench", "options", "sentence"),
    [
        ("defender", ["--lambdas=-1,0"], "weight '-1' is no λ of a defender; wanted a number, 0 or more"),
        ("defender", ["--lambdas", "0,much"], "weight 'much' is no λ of a defender"),
        ("defender", ["--lambdas", ""], "the list of weights is empty"),
        ("defender", ["--seeds", "0"], "Invalid value for '--seeds'"),
        ("defender", ["--seeds", "five"], "Invalid value for '--seeds'"),
        ("defender", ["--objective", "both"], "'defender.objective'"),
        ("defender", ["--attacks", "some"], "--attacks is 'some'; it is none, quick, full"),
        ("defender", ["--attacks", "quick", "--leaked-fraction", "1"], "--leaked-fraction is 1"),
        ("frontier", ["--seeds", "0"], "Invalid value for '--seeds'"),
        ("frontier", ["--attacks", "none"], "without attacks there is none; say quick or full"),
        ("frontier", ["--leaked-fraction", "0"], "--leaked-fraction is 0"),
        (
            "frontier",
            ["--variant", "f = 3"],
            "there is no variant 'f = 3'; these plans have f = 4, max-norm, unprotected",
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
