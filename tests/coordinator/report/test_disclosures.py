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


def on_shares(gradient="open", weights="own", layers=0, widths=(8, 8)):
    return plan_toml(
        "p",
        [part("a", "wine", "alcohol"), part("b", "wine", "ash", label="target")],
        protocol="beaver",
        widths=widths,
        activations=("tanh",) * len(widths),
        on_shares={"gradient": gradient, "weights": weights},
        secret_layers=({"width": 4, "activation": "square"},) * layers,
    )


OWN = ("every party", "Xⱼᵀ(∂L/∂z) of its own first-layer weights, summed over the rows of a mini-batch")
PROOF = ("every party", "whether every checked layer on shares kept its interval: one bit a layer and mini-batch")
OPENED = ("every party", "E = X − U once, and in every round of a mini-batch values on shares less a mask each")


def test_a_shared_gradient_goes_to_no_party(saw):
    told = saw(on_shares("shared", "shared"))
    assert ("first party of the plan", "∂L/∂z₁ of every mini-batch less the other parties' shares") in told
    assert ("every other party", "a seed, and that a step is done") in told
    assert ("every party", "∂L/∂z₁ of every mini-batch") not in told
    assert OWN not in told
    assert PROOF not in told  # there is no layer whose range is proved
    assert OPENED in told
    assert ("dealer (coordinator)", "all masks, and what is derived from them") in told


def test_weights_of_its_own_tell_a_party_their_gradient(saw):
    assert OWN in saw(on_shares("shared", "own"))
    assert OWN in saw(on_shares("open", "own", 1))
    assert OWN not in saw(on_shares("open", "shared", 1))
    assert OWN not in saw(TEXT)  # in masked_sum and beaver the open gradient is told


@pytest.mark.parametrize(("layers", "number"), [(1, "₂"), (2, "₃")])
def test_layers_before_the_cut_move_what_the_server_sees(saw, layers, number):
    told = saw(on_shares("open", "own", layers))
    assert told[0] == (
        "neutral server",
        f"z{number}, the output of the first layer it sees, of every mini-batch, h{number}…h_L, ∂L/∂h_L",
    )
    assert ("every party", f"∂L/∂z{number} of every mini-batch") in told
    assert PROOF in told
    assert not any("z₁" in what for _, what in told)


def test_without_a_server_nobody_sees_an_output_in_training(saw):
    told = saw(on_shares("shared", "shared", 1, widths=()))
    assert "neutral server" not in {role for role, _ in told}
    assert told[0] == ("label holder", "the network's outputs on rows it is evaluated on and predicts for")
    assert ("coordinator", "sealed envelopes of the parties") in told
    assert PROOF in told
    assert OWN in saw(on_shares("shared", "own", 1, widths=()))
