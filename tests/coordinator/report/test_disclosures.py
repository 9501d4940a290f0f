"""Who saw what: the rows that a plan's protocol and its defender bring into the table, and no others."""

import pytest
from local_runs import part, plan_toml

from coordinator.report.disclosures import disclosures_of

TEXT = plan_toml("p", [part("a", "wine", "alcohol"), part("b", "wine", "ash", label="target")], epochs=2)


@pytest.fixture
def saw(tmp_path):
    def of(plan):
        (tmp_path / "plan.toml").write_text(plan)
        return [(role, what) for role, what, _ in disclosures_of(tmp_path)]

    return of


def test_a_defender_shows_h1_to_every_party_and_the_sum_of_gradients_to_the_server(saw):
    plain, defended = saw(TEXT), saw(TEXT + "\n[defender]\nweight = 1\nreveal_h1 = true\n")
    assert defended[: len(plain)] == plain
    assert defended[len(plain) :] == [
        ("every party", "h₁ of every training row in every epoch"),
        ("neutral server", "Σᵢ ∂dᵢ/∂h₁ of every training row, the decoded sum of the defenders' gradients"),
        ("neutral server", "one masked share of that sum per party"),
    ]


def test_without_one_no_party_is_said_to_see_h1(saw):
    assert [what for role, what in saw(TEXT) if "h₁" in what] == ["z₁ = Σ XᵢΘᵢ of every mini-batch, h₁…h_L, ∂L/∂h_L"]


@pytest.mark.parametrize(
    ("protection", "told"),
    [
        ("", ["∂L/∂z₁ of every mini-batch"]),
        ("freeze_first_layer_after = 1", ["∂L/∂z₁ of every mini-batch of the first epoch"]),
        ("freeze_first_layer_after = 3", ["∂L/∂z₁ of every mini-batch of the first 3 epochs"]),
        ("freeze_first_layer_after = 0", []),
    ],
)
def test_gradients_go_to_parties_while_their_weights_move(saw, protection, told):
    found = saw(TEXT.replace("epochs = 2", "epochs = 9") + f"\n[protection]\n{protection}\n")
    assert [what for role, what in found if role == "every party"] == told


def test_beaver_adds_its_openings_and_its_dealer(saw):
    told = saw(TEXT.replace("masked_sum", "beaver"))
    assert ("dealer (coordinator)", "the randomness of all triples") in told
