"""coordinator.defender_section: the [defender] of a plan file, in the message, in the hash, and in sentences."""

import pytest

from coordinator.plan import parse_plan
from kernel.defender_plan import DefenderSpec, defender_spec
from kernel.errors import SettingsError
from kernel.plan_message import check_plan_message, plan_hash

PLAN = """
name = "p"
epochs = 1
batch_rows = 100
network = { widths = [8], activations = ["relu"] }
optimizer = { name = "adam", learning_rate = 0.01 }
parties = [
  { name = "a", table = "t", columns = ["x"], label = "y" },
  { name = "b", table = "t", columns = ["z"] },
]
"""
SHORT = "weight = 0.01\nreveal_h1 = true"
LONG = """
weight = 0.01
reveal_h1 = true
objective = "adversarial"
distance = "mse"
widths = [64]
activations = ["relu"]
learning_rate = 0.01
"""


def parsed(section):
    return parse_plan(f"{PLAN}\n[defender]\n{section}")


def test_a_section_and_its_defaults():
    message = parsed(SHORT).message()
    check_plan_message(message)
    assert defender_spec(message) == DefenderSpec(0.01, "adversarial", "mse", (64,), ("relu",), 0.01)
    assert message == parsed(LONG).message()


def test_without_a_section_there_is_no_defender():
    message = parse_plan(PLAN).message()
    assert not message.HasField("defender")
    check_plan_message(message)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("weight = 0.01", "weight = 0"),
        ('"adversarial"', '"literal"'),
        ('"mse"', '"mae"'),
        ("[64]", "[65]"),
        ('["relu"]', '["tanh"]'),
        ("learning_rate = 0.01", "learning_rate = 0.02"),
    ],
)
def test_whatever_it_says_changes_the_hash(old, new):
    hashes = {plan_hash(plan.message()) for plan in (parse_plan(PLAN), parsed(LONG), parsed(LONG.replace(old, new)))}
    assert len(hashes) == 3


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ("weight = -1\nreveal_h1 = true", r"'defender\.weight': Input should be greater than or equal to 0"),
        ("weight = nan\nreveal_h1 = true", r"'defender\.weight': Input should be a finite number"),
        ("weight = inf\nreveal_h1 = true", r"'defender\.weight': Input should be a finite number"),
        ("reveal_h1 = true", r"'defender\.weight' is missing"),
        ("weight = 1", "sends h1 to every party, .* set reveal_h1 = true to accept that, or remove"),
        ("weight = 1\nreveal_h1 = false", "set reveal_h1 = true to accept that"),
        (SHORT + "\nwidths = [64, 32]", "2 widths of the defender need as many activations, there are 1"),
        (SHORT + "\nwidths = []", "0 widths of the defender need as many activations, there are 1"),
        (SHORT + "\nwidths = [0]", "every width of the defender is 1 to 65536"),
        (SHORT + '\nactivations = ["elu"]', r"'defender\.activations\.0': Input should be"),
        (SHORT + "\nlearning_rate = nan", r"'defender\.learning_rate': Input should be a finite number"),
        (SHORT + "\nlearning_rate = 0", r"'defender\.learning_rate': Input should be greater than 0"),
        (SHORT + '\nobjective = "minimax"', "Input should be 'adversarial' or 'literal'"),
        (SHORT + '\ndistance = "ssim"', "Input should be 'mse' or 'mae'"),
        ("weight = 1\nrevealh1 = true", "did you mean 'reveal_h1'"),
    ],
)
def test_a_section_that_cannot_be_used_is_a_sentence(section, sentence):
    with pytest.raises(SettingsError, match=sentence) as caught:
        parsed(section)
    assert caught.value.exit_code == 2


def test_words_of_a_literal_defender_must_fit_a_message_too():
    """64 bits a word where z1 has 32."""
    rows = PLAN.replace("batch_rows = 100", "batch_rows = 1500000")
    assert parse_plan(f"{rows}\n[defender]\n{SHORT}").defender is not None
    with pytest.raises(SettingsError, match="MiB in one message"):
        parse_plan(f'{rows}\n[defender]\n{SHORT}\nobjective = "literal"')
