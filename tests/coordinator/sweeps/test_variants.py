"""Variants of a plan: what overrides change, what they may not, and the packaged file."""

from pathlib import Path

import pytest
from local_runs import part, plan_toml

from coordinator.plan import parse_plan, read_plan_text
from coordinator.sweeps import frontier as sweep
from coordinator.sweeps.frontier import DEFAULT_PLANS, default_plans, frontier_cases
from coordinator.sweeps.variants import PLAIN, Variant, merged, read_variants, variants_of, varied
from kernel.errors import BadInputError, SettingsError

PARTIES = [
    part("clinic", "breast_cancer", "mean radius..mean area", label="target"),
    part("laboratory", "breast_cancer", "mean smoothness..mean concavity"),
]
PLAN = plan_toml("pair", PARTIES, epochs=3, widths=(4,), activations=("tanh",))
FOLDER = Path(sweep.__file__).parent / "plans"


def file_of(directory, text):
    file = directory / "variants.toml"
    file.write_text(text)
    return file


def plan_of(variant, seed=7):
    return varied(PLAN, "the plan", variant, seed)[1]


def test_tables_merge_and_everything_else_is_replaced():
    document = {"a": 1, "table": {"kept": 1, "list": [1, 2], "deeper": {"x": 1, "y": 2}}}
    found = merged(document, {"a": {"now": 2}, "table": {"list": [3], "deeper": {"y": 4}}, "new": {"z": 5}})
    assert found == {
        "a": {"now": 2},
        "table": {"kept": 1, "list": [3], "deeper": {"x": 1, "y": 4}},
        "new": {"z": 5},
    }
    assert document == {"a": 1, "table": {"kept": 1, "list": [1, 2], "deeper": {"x": 1, "y": 2}}}


def test_a_variant_changes_what_it_says_and_the_seed():
    before = parse_plan(PLAN)
    assert plan_of(Variant("none")) == before
    changed = plan_of(Variant("narrow", {"network": {"widths": [2]}, "protection": {"label_gradient": "marvell"}}), 11)
    assert changed.network == before.network.model_copy(update={"widths": (2,)})
    assert changed.protection.label_gradient == "marvell"
    rest = {"network": before.network, "protection": before.protection, "seed": before.seed}
    assert changed.model_copy(update=rest) == before


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"protection": {"z1_nose": 1.0}}, "variant 'odd' of the plan: unknown key 'protection.z1_nose'; did you mean"),
        ({"defended": True}, "unknown key 'defended'; did you mean 'defender'"),
        ({"protection": {"z1_noise": 1.0}}, "z1_noise needs row_norm and weight_norm"),
        ({"defender": {"weight": 1.0}}, "set reveal_h1 = true to accept that"),
        ({"defender": {"weight": -1.0, "reveal_h1": True}}, "'defender.weight'"),
        ({"seed": 3}, "variant 'odd' overrides 'seed', which stays: seeds are counted by --seeds"),
        ({"name": "other"}, "variant 'odd' overrides 'name', which stays"),
    ],
)
def test_what_cannot_be_is_a_sentence(overrides, sentence):
    with pytest.raises(SettingsError) as refused:
        plan_of(Variant("odd", overrides))
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_lists_variants_for_some_plans_or_all(tmp_path):
    listed = read_variants(
        file_of(
            tmp_path,
            """
            variant = [
                { name = "all", overrides = { epochs = 2 } },
                { name = "theirs", plans = ["other"] },
                { name = "ours", plans = ["pair", "other"], overrides = { epochs = 1 } },
            ]
            """,
        )
    )
    assert [one.name for one in variants_of(listed, "pair")] == [PLAIN, "all", "ours"]
    assert [one.name for one in variants_of(listed, "other")] == ["all", "theirs", "ours"]
    assert [one.is_plain for one in variants_of(listed, "other")] == [False, True, False]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "'variant' is missing"),
        ("variant = []", "'variant'"),
        ('[[variant]]\nname = "a"\noverride = {}', "unknown key 'variant.0.override'; did you mean 'overrides'"),
        ('[[variant]]\nname = ""', "'variant.0.name'"),
        ("variant = 3 3", "not valid TOML"),
    ],
)
def test_a_file_that_is_none_is_a_sentence(text, sentence, tmp_path):
    with pytest.raises(SettingsError) as refused:
        read_variants(file_of(tmp_path, text))
    assert sentence in str(refused.value)


def test_names_are_unique_and_some_variant_is_for_the_plan(tmp_path):
    twice = read_variants(file_of(tmp_path, "[[variant]]\nname = 'a'\n[[variant]]\nname = 'a'\noverrides.epochs = 2"))
    with pytest.raises(SettingsError, match="two variants of plan 'pair' are called 'a'"):
        variants_of(twice, "pair")
    none = read_variants(file_of(tmp_path, "[[variant]]\nname = 'a'\nplans = ['other']"))
    with pytest.raises(SettingsError, match="no variant is for plan 'pair'"):
        variants_of(none, "pair")


def test_every_packaged_variant_makes_a_plan():
    plans = [FOLDER / f"{name}.toml" for name in DEFAULT_PLANS]
    cases = frontier_cases(plans, read_variants(None), [1])
    for name in DEFAULT_PLANS:
        of_plan = [case for case in cases if case.base.name == name]
        assert 10 <= len(of_plan) <= 18
        assert [case.variant.name for case in of_plan if case.variant.is_plain] == ["unprotected"]
        texts = [case.plan.message().SerializeToString(deterministic=True) for case in of_plan]
        assert len(set(texts)) == len(texts), "two variants train the same network"


def test_packaged_variants_suit_a_plan_of_ones_own(tmp_path):
    file = tmp_path / "pair.toml"
    file.write_text(PLAN)
    cases = frontier_cases([file], read_variants(None), [3, 4])
    assert {case.plan.seed for case in cases} == {3, 4}
    assert [case.variant.is_plain for case in cases].count(True) == 2


def test_mnist_is_the_deployed_plan_without_its_defender():
    packaged = parse_plan(read_plan_text(FOLDER / "mnist.toml"))
    deployed = parse_plan(read_plan_text(Path(__file__).parents[3] / "deploy" / "plans" / "mnist_defender.toml"))
    assert packaged == deployed.model_copy(update={"defender": None, "name": "mnist"})


def test_plans_without_their_table_are_left_out_with_a_note(monkeypatch):
    notes = []
    monkeypatch.setattr(sweep, "tables_are_here", lambda file: file.stem == "distress")
    assert [file.stem for file in default_plans(notes.append)] == ["distress"]
    assert notes == [f"{name} is left out: its table is not on this machine" for name in ("fraud", "mnist")]
    monkeypatch.setattr(sweep, "tables_are_here", lambda file: False)
    with pytest.raises(BadInputError, match="no table of fraud, distress, mnist"):
        default_plans(notes.append)


def test_only_the_variants_that_are_named(tmp_path):
    file = tmp_path / "pair.toml"
    file.write_text(PLAN)
    listed = read_variants(None)
    assert [case.variant.name for case in frontier_cases([file], listed, [1], ["f = 4"])] == ["f = 4"]
    with pytest.raises(SettingsError, match=r"no variant 'f = 5'; these plans have 'f = 4', 'max-norm', 'unprotected'"):
        frontier_cases([file], listed, [1], ["f = 4", "f = 5"])
