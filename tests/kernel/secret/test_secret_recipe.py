"""kernel.secret.recipe: the items of hand-worked steps, and what their corrections weigh."""

import pytest

from kernel.errors import SettingsError
from kernel.secret.recipe import activation_shift, range_shift, step_recipe
from kernel.secret.spec import SecretLayer, SecretSpec, StepSize

ROWS = 10


def spec_of(layers=(), **more):
    return SecretSpec(
        **{
            "columns": 7,
            "layers": layers,
            "cut_width": 3,
            "gradient": "shared",
            "weights": "own",
            "fractional_bits": 18,
            "gradient_shift": 4,
            "step_size": StepSize(3, 5),
            **more,
        }
    )


def names(recipe):
    return [item.name for item in recipe.items]


def test_one_layer_with_a_shared_gradient_by_hand():
    """V 7 x 3 masks weights, C = U V, W masks the gradient, X = U^T W: C 30 and X 21 words of a correction."""
    recipe = step_recipe(spec_of(), ROWS, training=True)
    assert [(item.name, item.shape, item.rule, item.of) for item in recipe.items] == [
        ("V1", (7, 3), "", ()),
        ("C1", (10, 3), "rows times", ("U", "V1")),
        ("W1", (10, 3), "", ()),
        ("X1", (7, 3), "transposed times", ("U", "W1")),
    ]
    assert recipe.correction_words == 30 + 21


def test_shared_weights_move_by_a_truncation():
    """Of f + s + e = 18 + 4 + 5 bits; with momentum of its 3 bits besides. Floors 21 words each, bits half of that."""
    recipe = step_recipe(spec_of(weights="shared", momentum=StepSize(7, 3)), ROWS, training=True)
    assert names(recipe)[4:] == ["N1", "N1.floor", "N1.bit", "M1", "M1.floor", "M1.bit"]
    assert {item.name: item.shift for item in recipe.items if item.rule == "floor"} == {"N1.floor": 27, "M1.floor": 3}
    assert recipe.correction_words == 30 + 21 + 2 * 21 + 21


def test_an_open_gradient_takes_no_triple_at_the_cut():
    assert names(step_recipe(spec_of(gradient="open", weights="shared"), ROWS, training=True))[:3] == ["V1", "C1", "N1"]


def test_two_layers_by_hand():
    layer = SecretLayer(5, "square", 8.0)
    recipe = step_recipe(spec_of((layer,)), ROWS, training=True)
    forward = ["V1", "C1", "T1", "T1.floor", "T1.bit", "Q1.floor", "Q1.a", "Q1.m", "Q1.m*a", "Q1.m*a2", "Q1.m*cubic"]
    forward += ["T1.square", "T1.bit.floor", "H1", "H1.floor", "H1.bit", "R1", "V2", "C2"]
    backward = [
        "W2",
        "X2",
        "B2",
        "D1",
        "D1.floor",
        "D1.bit",
        "D1*T1",
        "D1.bit*T1",
        "T1.bit*D1",
        "G1",
        "G1.floor",
        "G1.bit",
        "W1",
        "X1",
    ]
    moves = ["NB1", "NB1.floor", "NB1.bit", "N2", "N2.floor", "N2.bit"]
    assert names(recipe) == forward + backward + moves
    shifts = {item.name: item.shift for item in recipe.items if item.rule == "floor"}
    assert shifts == {
        "T1.floor": 18,
        "Q1.floor": 39,
        "H1.floor": 18,
        "D1.floor": 18,
        "G1.floor": 18,
        "NB1.floor": 9,
        "N2.floor": 27,
    }
    # floors of f bits or less leave a bit's share 32 bits; T is opened for 39 bits too
    assert {item.name for item in recipe.items if item.bits == 32} == {
        "T1.bit.floor", "H1.bit", "D1.bit", "D1.bit*T1", "T1.bit*D1", "G1.bit", "NB1.bit", "N2.bit"
    }  # fmt: skip
    elements = 50
    whole = 50 + elements * (2 + 4 + 1 + 1) + 30 + (15 + 50) + elements * (1 + 1 + 1) + 35 + 5 + 15
    halves = elements * (1 + 1 + 1 + 2 + 1) + 5 + 15
    assert recipe.correction_words == whole + halves // 2


@pytest.mark.parametrize("weights", ["own", "shared"])
@pytest.mark.parametrize("gradient", ["open", "shared"])
def test_a_pass_without_training_is_a_training_step_s_beginning(gradient, weights):
    layers = (SecretLayer(5, "poly3", 8.0, "relu"), SecretLayer(4, "identity", 8.0))
    spec = spec_of(layers, gradient=gradient, weights=weights)
    alone, whole = (step_recipe(spec, ROWS, training=training).items for training in (False, True))
    assert whole[: len(alone)] == alone
    assert {item.name[0] for item in alone} == set("VCTQPHR")


@pytest.mark.parametrize("layers", [(), (SecretLayer(5, "poly3", 8.0, "sigmoid"),)])
def test_names_are_unique_and_sources_come_first(layers):
    recipe = step_recipe(spec_of(layers, head="binary", weights="shared", momentum=StepSize(1, 1)), ROWS, training=True)
    known = {"U"}
    for item in recipe.items:
        assert item.name not in known
        assert known.issuperset(item.of)
        known.add(item.name)


def test_without_a_server_the_head_has_its_own():
    """The cubic's T, Q, P and G of the head, and its bias moves."""
    recipe = step_recipe(spec_of(head="multiclass"), ROWS, training=True)
    assert {item.name for item in recipe.items if not item.rule} == {
        "V1",
        "T1",
        "Q1.a",
        "Q1.m",
        "P1",
        "G1",
        "W1",
        "NB1",
    }


@pytest.mark.parametrize(("rows", "spare"), [(1, 4), (2, 3), (3, 2), (4, 2), (5, 1), (8, 1), (9, 0), (16, 0), (40, 0)])
def test_spare_bits_of_a_partial_batch(rows, spare):
    """s is 4: of 9 to 16 rows. What is left out of the gradient before it is multiplied."""
    spec = spec_of((SecretLayer(5, "square", 8.0),))
    assert spec.spare_bits(rows) == spare
    shifts = {item.name: item.shift for item in step_recipe(spec, rows, training=True).items}
    assert shifts["D1.floor"] == 18 + spare


@pytest.mark.parametrize(("activation", "bits"), [("identity", 18), ("square", 18), ("poly3", 34)])
def test_activation_shift(activation, bits):
    assert activation_shift(activation, 18) == bits


@pytest.mark.parametrize(("interval", "bits"), [(1.0, 36), (8.0, 39), (1024.0, 46)])
def test_range_shift(interval, bits):
    assert range_shift(spec_of(), interval) == bits


def test_a_move_too_small_for_the_ring_is_refused():
    """f + s + e = 20 + 19 + 24 = 63 bits."""
    spec = spec_of(weights="shared", fractional_bits=20, gradient_shift=19, step_size=StepSize(1, 24))
    with pytest.raises(SettingsError, match="a truncation by 63 bits cannot be had"):
        step_recipe(spec, ROWS, training=True)


def test_too_many_layers_are_refused():
    spec = spec_of((SecretLayer(5, "poly3", 8.0, "relu"),) * 6, momentum=StepSize(1, 1))
    with pytest.raises(SettingsError, match="256 can be dealt; use fewer layers"):
        step_recipe(spec, ROWS, training=True)
