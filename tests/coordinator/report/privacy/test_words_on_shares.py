"""What is read and received of layers on shares, in words."""

import pytest
from attack_results import record

from coordinator.report.privacy.words import at_cut, received_words, sentence


def test_what_is_received_is_named_by_the_layer_at_the_cut():
    assert received_words("share", 1) == "masked shares of z₁; their sum over the parties is z₁"
    assert received_words("share", 3) == "masked shares of z₃; their sum over the parties is z₃"
    assert received_words("cut_gradient", 1) == "∂L/∂z₁, the gradient of the first layer"
    assert received_words("cut_gradient", 2) == "∂L/∂z₂, the gradient at the cut"
    assert received_words("gradient_share", 12) == "its share of ∂L/∂z₁₂: uniform words"
    assert received_words("first_gradient", 1) == received_words("first_gradient", 3)
    assert received_words("another", 2) == "another"


def test_h1_is_that_of_the_cut():
    assert at_cut("z₁, h₁…h_L", 2) == "z₂, h₂…h_L"


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        ("label_summed", "from its own columns and the leaked labels alone it would be"),
        ("label_norm", "guessing would be"),
    ],
)
def test_sums_are_compared_with_own_columns(attack, words):
    told = sentence(record("feature-holder", attack, "auc", 0.99, 0.8, target="labels"))
    assert told.endswith(f"{words} 80 %.")
