"""Plans with layers on shares: what the file becomes on the wire, and a sentence for what cannot be had."""

import pytest

from coordinator.plan import Plan, parse_plan
from coordinator.secret_section import forms_on_shares
from kernel.errors import SettingsError, WireError
from kernel.plan_message import check_plan_message, plan_hash
from kernel.secret.plan import is_secret, secret_spec
from kernel.secret.spec import SecretLayer, SecretSpec, StepSize
from kernel.settings import parse_toml
from protos.v1 import plan_pb2

TEXT = """
name = "deep"
epochs = 4
batch_rows = 100

[first_layer]
protocol = "beaver"

[[secret_layers]]
width = 8
activation = "square"

[[secret_layers]]
width = 6
activation = "poly3"
approximates = "relu"
interval = 16

[network]
widths = [4, 3]
activations = ["sigmoid", "relu"]

[optimizer]
name = "momentum"
learning_rate = 0.25
momentum = 0.875

[[parties]]
name = "a"
table = "t"
columns = ["V1..V3"]
label = "y"

[[parties]]
name = "b"
table = "t"
columns = ["W1"]
"""
SHARED = TEXT.replace('"beaver"\n', '"beaver"\ngradient = "shared"\nweights = "shared"\n')
LAYERS = TEXT[TEXT.index("[[secret_layers]]") : TEXT.index("[network]")]
GRADIENT_ONLY = TEXT.replace(LAYERS, "").replace('"beaver"\n', '"beaver"\ngradient = "shared"\nweights = "own"\n')
WEIGHTS_ONLY = TEXT.replace(LAYERS, "").replace('"beaver"\n', '"beaver"\nweights = "shared"\n')


def test_every_number_of_the_section_is_in_the_message():
    message = parse_plan(SHARED).message()
    assert list(message.secret_layers) == [
        plan_pb2.SecretLayer(width=8, activation=plan_pb2.SECRET_ACTIVATION_SQUARE, interval=8),
        plan_pb2.SecretLayer(width=6, activation=plan_pb2.SECRET_ACTIVATION_POLY3_RELU, interval=16),
    ]
    assert (message.gradient, message.weights) == (plan_pb2.GRADIENT_FORM_SHARED, plan_pb2.WEIGHTS_FORM_SHARED)
    assert list(message.network.widths) == [4, 3]
    assert message.ring == plan_pb2.RingPlan(ring_bits=64, fractional_bits=18)
    assert message.dealer == "coordinator"
    check_plan_message(message)
    assert secret_spec(message, 9) == SecretSpec(
        columns=9,
        layers=(SecretLayer(8, "square", 8.0), SecretLayer(6, "poly3", 16.0, "relu")),
        cut_width=4,
        gradient="shared",
        weights="shared",
        fractional_bits=18,
        gradient_shift=7,
        step_size=StepSize(1, 2),
        momentum=StepSize(7, 3),
        head_interval=1.0,
    )


@pytest.mark.parametrize("text", [TEXT, SHARED, GRADIENT_ONLY, WEIGHTS_ONLY])
def test_each_option_alone_makes_a_plan_secret(text):
    plan = parse_plan(text)
    assert is_secret(plan.message())
    assert plan.ring == (64, 18)
    check_plan_message(plan.message())
    assert parse_plan(text.replace('"beaver"\n', '"beaver"\nfractional_bits = 16\n')).ring == (64, 16)


def test_a_plan_that_asks_for_none_of_it_is_as_it_was():
    """Also where it names the defaults: the message has no new field set, so that the hash is the old one."""
    plain = TEXT.replace(LAYERS, "")
    named = plain.replace('"beaver"\n', '"beaver"\ngradient = "open"\nweights = "own"\n')
    for text in (plain, named):
        message = parse_plan(text).message()
        assert not is_secret(message)
        assert parse_plan(text).ring == (64, 20)
        assert not message.secret_layers
        assert {field.name for field, _ in message.ListFields()}.isdisjoint({"gradient", "weights", "head_interval"})
        assert plan_hash(message).hex() == "50843daf8c57c25beb6e6fbd4d4e16fda0d13b8ae1f7fd9004dcab8cb7a7f387"


def test_what_each_layer_says_changes_the_hash():
    texts = [
        TEXT,
        SHARED,
        GRADIENT_ONLY,
        WEIGHTS_ONLY,
        TEXT.replace('"relu"\ninterval', '"sigmoid"\ninterval'),
        TEXT.replace("interval = 16", "interval = 32"),
        TEXT.replace("width = 8", "width = 9"),
        TEXT.replace('"square"', '"identity"'),
    ]
    assert len({plan_hash(parse_plan(text).message()) for text in texts}) == len(texts)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"square"', '"relu"', "shares cannot compute 'relu', only polynomials (identity, square, poly3); say activation = "),
        ('"square"', '"relu"', 'activation = "poly3" and approximates = "relu"'),
        ('"square"', '"sigmoid"', 'activation = "poly3" and approximates = "sigmoid"'),
        ('"square"', '"tanh"', 'activation = "poly3" and approximates = "sigmoid" or "relu"'),
        ('"square"\n', '"square"\napproximates = "relu"\n', 'approximates is for activation = "poly3"'),
        ('approximates = "relu"\n', "", 'poly3 needs approximates = "sigmoid" or "relu"'),
        ("interval = 16", "interval = 12", "12 cannot be proved on shares; say a power of two from 1 to 1024"),
        ("interval = 16", "interval = 2048", "2048 cannot be proved"),
        ("interval = 16", "interval = 0.5", "0.5 cannot be proved"),
        ("interval = 16", "interval = nan", "nan cannot be proved"),
        ("width = 8", "width = 0", "'secret_layers.0.width'"),
        ("approximates =", "aproximates =", "did you mean 'approximates'"),
        ('"beaver"', '"masked_sum"', 'say first_layer.protocol = "beaver"'),
        ('"beaver"\n', '"beaver"\nring_bits = 32\n', "secret_layers: values on shares need a ring of 64 bits, the plan has 32"),
        ('"beaver"\n', '"beaver"\nfractional_bits = 21\n', "shares take 8 to 20 fractional_bits, the plan has 21"),
        ('"beaver"\n', '"beaver"\nfractional_bits = 7\n', "shares take 8 to 20 fractional_bits, the plan has 7"),
        ('"beaver"\n', '"beaver"\ndealer = "a"\n', "the dealer is party 'a'"),
        ("batch_rows = 100\n", "batch_rows = 100\nmicro_batches = 3\n", "taken in one piece, the plan has 3; remove micro_batches"),
        ('"momentum"', '"adam"', "optimizer adam cannot be had for weights on shares"),
        ("learning_rate = 0.25", "learning_rate = 0.01", "the nearest are 0.00994873046875 and 0.010009765625"),
        ("learning_rate = 0.25", "learning_rate = 3e-6", "is below the step of fixed point on shares, 2^-18 = 3.81e-06"),
        ("momentum = 0.875", "momentum = 0.9", "momentum = 0.9 cannot be had on shares"),
        ("batch_rows = 100", "batch_rows = 60_000", "lower batch_rows or the widths on shares"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_a_sentence(old, new, sentence):
    with pytest.raises(SettingsError) as caught:
        parse_plan(TEXT.replace(old, new, 1))
    assert sentence in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "what"),
    [(GRADIENT_ONLY, 'gradient = "shared"'), (WEIGHTS_ONLY, 'weights = "shared"'), (SHARED, 'secret_layers and gradient = "shared"')],
)  # fmt: skip
def test_masked_sum_is_refused_with_what_the_plan_has(text, what):
    with pytest.raises(SettingsError) as caught:
        parse_plan(text.replace('"beaver"', '"masked_sum"'))
    assert f"masked_sum has no shares of the weights to go on with, and the plan has {what}" in str(caught.value)


def test_weights_in_the_clear_take_any_optimizer():
    """Nothing is on shares but the gradient: each party moves its own block as it likes."""
    adam = GRADIENT_ONLY.replace('"momentum"', '"adam"').replace("0.25", "0.003")
    message = parse_plan(adam).message()
    check_plan_message(message)
    assert message.network.optimizer.name == "adam"


BOUNDS = "row_norm = 2.0\nweight_norm = 2.0\n"


@pytest.mark.parametrize(
    ("text", "section", "sentence"),
    [
        (
            TEXT,
            BOUNDS,
            "nobody knows the weights before the cut, so that row_norm and weight_norm do not bound z there",
        ),
        (TEXT, f"{BOUNDS}z1_noise = 0.5\n", "say cut_interval, which is proved on shares"),
        (WEIGHTS_ONLY, BOUNDS, "nobody knows the weights before the cut"),
        (TEXT, "freeze_first_layer_after = 2\n", "freeze_first_layer_after is for weights in the clear"),
        (GRADIENT_ONLY, "freeze_first_layer_after = 2\n", "freeze_first_layer_after is for weights in the clear"),
    ],
)
def test_protection_that_makes_no_sense_on_shares(text, section, sentence):
    """Refused by the coordinator, and by a party whatever coordinator sent it."""
    with pytest.raises(SettingsError) as caught:
        parse_plan(f"{text}\n[protection]\n{section}")
    assert sentence in str(caught.value)
    message = parse_plan(text).message()
    message.protection.CopyFrom(parse_plan(f"{TEXT.replace(LAYERS, '')}\n[protection]\n{section}").message().protection)
    with pytest.raises(WireError) as refused:
        check_plan_message(message)
    assert sentence in str(refused.value)


def test_protection_of_clear_weights_and_of_labels_stays():
    parse_plan(f"{GRADIENT_ONLY}\n[protection]\n{BOUNDS}z1_noise = 0.5\n")
    parse_plan(f'{SHARED}\n[protection]\nlabel_gradient = "max_norm"\n')


@pytest.mark.parametrize("text", [TEXT, SHARED, WEIGHTS_ONLY, GRADIENT_ONLY])
def test_noise_at_a_cut_that_is_proved(text):
    plan = parse_plan(f"{text}\n[protection]\ncut_interval = 16\nz1_noise = 0.5\n")
    check_plan_message(plan.message())
    assert secret_spec(plan.message(), columns=4).cut_interval == 16.0
    assert plan.protection.spec.reach(4) == 2 * 16 * 2  # what is below twice the interval in each of four units


@pytest.mark.parametrize(
    ("text", "section", "sentence"),
    [
        (TEXT, "z1_noise = 0.5\n", "or with layers on shares cut_interval"),
        (TEXT, "cut_interval = 12\n", "12 cannot be proved on shares; say a power of two from 1 to 1024"),
        (TEXT.replace(LAYERS, ""), "cut_interval = 16\n", "this plan keeps none; use row_norm and weight_norm"),
        (GRADIENT_ONLY, f"{BOUNDS}cut_interval = 16\n", "remove one or the other"),
    ],
)
def test_a_bound_of_the_cut_that_cannot_be_had(text, section, sentence):
    with pytest.raises(SettingsError) as caught:
        parse_plan(f"{text}\n[protection]\n{section}")
    assert sentence in str(caught.value)


def test_weights_are_shared_with_the_gradient_unless_the_plan_says_otherwise():
    """Whoever reads the plan file itself must find the same."""
    for text in (TEXT, SHARED, GRADIENT_ONLY, WEIGHTS_ONLY, GRADIENT_ONLY.replace('weights = "own"\n', "")):
        plan = parse_plan(text)
        assert forms_on_shares(parse_toml(text, "a plan")) == (plan.gradient, plan.weights)
    assert plan.weights == "shared"
    adam = text.replace('"momentum"', '"adam"')
    with pytest.raises(SettingsError, match=r'adam cannot be had .*; or say first_layer\.weights = "own"'):
        parse_plan(adam)
    serverless = text.replace('gradient = "shared"\n', "").replace("widths = [4, 3]", "widths = []")
    serverless = serverless.replace('["sigmoid", "relu"]', "[]")
    assert (parse_plan(serverless).gradient, parse_plan(serverless).weights) == ("shared", "shared")
    assert forms_on_shares(parse_toml(serverless, "a plan")) == ("shared", "shared")


def _changed(**fields):
    message = parse_plan(TEXT).message()
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def _deeper(message, change):
    change(message)
    return message


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (_changed(micro_batches=2), "2 micro-batches"),
        (_changed(head_interval=8), "exactly where there is no neutral server"),
        (_deeper(_changed(), lambda one: setattr(one.ring, "fractional_bits", 21)), "8 to 20 fractional bits"),
        (_deeper(_changed(), lambda one: setattr(one.network.optimizer, "name", "adam")), "cannot be had for weights on"),
        (_deeper(_changed(), lambda one: setattr(one.network.optimizer, "learning_rate", 0.01)), "the nearest are"),
        (_deeper(_changed(), lambda one: setattr(one.network.optimizer, "learning_rate", 1e-6)), "below the step"),
        (_deeper(_changed(), lambda one: setattr(one.secret_layers[0], "interval", 12)), "secret layer 1 has interval 12"),
        (_deeper(_changed(), lambda one: setattr(one.secret_layers[1], "activation", 0)), "secret layer 2 names no activation"),
        (_deeper(_changed(), lambda one: setattr(one.secret_layers[1], "width", 0)), "secret layer 2 is 0 wide"),
        (_deeper(_changed(dealer="", protocol=1), lambda one: None), "take protocol beaver"),
    ],
)  # fmt: skip
def test_a_party_holds_a_message_to_the_same(message, sentence):
    check_plan_message(parse_plan(TEXT).message())
    with pytest.raises(WireError) as caught:
        check_plan_message(message)
    assert sentence in str(caught.value)


def test_an_interval_of_a_head_belongs_to_plans_on_shares():
    message = parse_plan(TEXT.replace(LAYERS, "")).message()
    message.head_interval = 8
    with pytest.raises(WireError, match="interval for a label head"):
        check_plan_message(message)


def test_the_schema_offers_the_section():
    schema = Plan.model_json_schema()
    layer = schema["$defs"]["SecretLayerPlan"]
    assert set(layer["properties"]) == {"width", "activation", "approximates", "interval"}
    assert layer["properties"]["activation"]["enum"] == ["identity", "square", "poly3"]
    assert schema["properties"]["secret_layers"]["default"] == []
    first = schema["$defs"]["FirstLayerPlan"]["properties"]
    assert first["gradient"]["enum"] == ["open", "shared"]
    assert {"enum": ["own", "shared"], "type": "string"} in first["weights"]["anyOf"]


@pytest.mark.parametrize(
    "more", ["\n[defender]\nweight = 1.0\nreveal_h1 = true\n", '\n[protection]\nlabel_gradient = "marvell"\n']
)
def test_without_a_server_there_is_nothing_to_protect(more):
    serverless = TEXT.replace("widths = [4, 3]", "widths = []").replace('["sigmoid", "relu"]', "[]")
    assert parse_plan(serverless).serverless
    with pytest.raises(SettingsError) as caught:
        parse_plan(serverless + more)
    assert "nothing in the clear is left to protect; remove [defender] and [protection]" in str(caught.value)


def test_an_interval_of_the_head_is_for_a_head_on_shares():
    with pytest.raises(SettingsError, match=r"network\.head_interval is for a label head on shares"):
        parse_plan(TEXT.replace("widths = [4, 3]", "widths = [4, 3]\nhead_interval = 8"))


def test_a_party_refuses_what_a_coordinator_of_another_version_lets_through():
    message = parse_plan(TEXT.replace("widths = [4, 3]", "widths = []").replace('["sigmoid", "relu"]', "[]")).message()
    message.protection.label_gradient = plan_pb2.LABEL_GRADIENT_MARVELL
    message.protection.marvell_power = 1.0
    with pytest.raises(WireError, match="nothing in the clear is left to protect"):
        check_plan_message(message)
