"""coordinator.plan: what a plan becomes on the wire, and what its hash covers."""

import pytest

from coordinator.plan import Plan, parse_plan
from kernel.errors import SettingsError
from kernel.plan_message import check_plan_message, cut_dtype, label_holder, network_spec, plan_hash, share_ring
from kernel.wire.channel import MAX_MESSAGE_BYTES
from protos.v1 import common_pb2, plan_pb2

TEXT = """
# a comment
name = "fraud"
seed = 9
epochs = 4
batch_rows = 100
test_fraction = 0.25
barrier_every_epochs = 2

[network]
widths = [8, 4]
activations = ["sigmoid", "relu"]

[optimizer]
name = "momentum"
learning_rate = 0.01
momentum = 0.5

[[parties]]
name = "a"
table = "t"
columns = ["V1..V3", "V5"]
label = "y"

[[parties]]
name = "b"
table = "u"
columns = ["W1"]
"""


def hash_of(text):
    return plan_hash(parse_plan(text).message())


def test_every_number_of_the_file_is_in_the_message():
    message = parse_plan(TEXT).message()
    assert message == plan_pb2.RunPlan(
        micro_batches=1,
        name="fraud",
        job=plan_pb2.JOB_KIND_SPLIT_NN,
        protocol=plan_pb2.FIRST_LAYER_PROTOCOL_MASKED_SUM,
        ring=plan_pb2.RingPlan(ring_bits=32, fractional_bits=16),
        network=plan_pb2.NetworkPlan(
            widths=[8, 4],
            activations=["sigmoid", "relu"],
            loss="binary",
            outputs=1,
            optimizer=plan_pb2.OptimizerPlan(name="momentum", learning_rate=0.01, momentum=0.5),
            seed=9,
        ),
        parties=[
            plan_pb2.PartyPlan(name="a", table="t", columns=["V1..V3", "V5"], label="y"),
            plan_pb2.PartyPlan(name="b", table="u", columns=["W1"]),
        ],
        epochs=4,
        batch_rows=100,
        test_fraction=0.25,
        barrier_every_epochs=2,
        cut_dtype=common_pb2.D_TYPE_FLOAT32,
    )
    check_plan_message(message)  # a party holds it to its own safety, and finds nothing
    assert label_holder(message) == "a"
    assert network_spec(message.network).widths == (8, 4)


@pytest.mark.parametrize(
    ("protocol", "ring", "scale", "dealer"), [("masked_sum", (32, 16), 16, ""), ("beaver", (64, 20), 40, "coordinator")]
)
def test_a_protocol_brings_its_ring_and_its_dealer(protocol, ring, scale, dealer):
    plan = parse_plan(TEXT.replace("[network]", f'[first_layer]\nprotocol = "{protocol}"\n[network]'))
    assert plan.ring == ring
    message = plan.message()
    assert (message.ring.ring_bits, message.ring.fractional_bits) == ring
    assert (share_ring(message).ring_bits, share_ring(message).fractional_bits) == (ring[0], scale)
    assert message.dealer == dealer
    check_plan_message(message)


def test_the_type_of_tensors_at_the_cut():
    """float32 unless the plan says bfloat16; naming the default changes nothing."""
    halved = TEXT.replace("[network]", 'cut_dtype = "bfloat16"\n[network]')
    message = parse_plan(halved).message()
    assert message.cut_dtype == common_pb2.D_TYPE_BFLOAT16
    assert cut_dtype(message.cut_dtype) == "bfloat16"
    check_plan_message(message)
    named = TEXT.replace("[network]", 'cut_dtype = "float32"\n[network]')
    assert cut_dtype(parse_plan(named).message().cut_dtype) == "float32"
    assert hash_of(named) == hash_of(TEXT) != hash_of(halved)


@pytest.mark.parametrize("value", ['"float16"', '"BFLOAT16"', '"float64"', '""', "2"])
def test_another_type_is_refused_with_the_two_that_travel(value):
    with pytest.raises(SettingsError, match="cut_dtype") as caught:
        parse_plan(TEXT.replace("[network]", f"cut_dtype = {value}\n[network]"))
    assert "'float32' or 'bfloat16'" in str(caught.value)
    assert caught.value.exit_code == 2


def test_the_schema_offers_both_types():
    field = Plan.model_json_schema()["properties"]["cut_dtype"]
    assert (field["enum"], field["default"]) == (["float32", "bfloat16"], "float32")
    assert "bfloat16 halves" in field["description"]


def test_naming_the_default_dealer_changes_nothing():
    beaver = TEXT.replace("[network]", '[first_layer]\nprotocol = "beaver"\n[network]')
    assert hash_of(beaver) == hash_of(beaver.replace("[network]", 'dealer = "coordinator"\n[network]'))


def test_the_hash_is_of_the_experiment_not_of_its_spelling():
    respelled = TEXT.replace("# a comment\n", "").replace('columns = ["W1"]', "columns = [\n  'W1',\n]")
    respelled = respelled.replace("[network]", '[first_layer]\nprotocol = "masked_sum"\nring_bits = 32\n[network]')
    assert hash_of(respelled) == hash_of(TEXT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "fraud"', 'name = "other"'),
        ("seed = 9", "seed = 10"),
        ("epochs = 4", "epochs = 5"),
        ("batch_rows = 100", "batch_rows = 101"),
        ("0.25", "0.26"),
        ("barrier_every_epochs = 2", "barrier_every_epochs = 1"),
        ("barrier_every_epochs = 2", 'barrier_every_epochs = 2\ncut_dtype = "bfloat16"'),
        ("[8, 4]", "[8, 5]"),
        ('"relu"', '"tanh"'),
        ("0.01", "0.02"),
        ("momentum = 0.5", "momentum = 0.6"),
        ('table = "u"', 'table = "v"'),
        ('"V5"', '"V6"'),
        ('label = "y"', 'label = "z"'),
    ],
)
def test_whatever_an_experiment_depends_on_changes_the_hash(old, new):
    assert TEXT.count(old) == 1
    assert hash_of(TEXT.replace(old, new)) != hash_of(TEXT)


PROTECTED = (
    TEXT
    + """
[protection]
z1_noise = 0.5
row_norm = 3.0
weight_norm = 2.0
freeze_first_layer_after = 3
label_gradient = "marvell"
marvell_power = 4.0
"""
)


def test_protection_reaches_the_message():
    message = parse_plan(PROTECTED).message()
    check_plan_message(message)
    assert message.protection == plan_pb2.ProtectionPlan(
        z1_noise=0.5,
        row_norm=3.0,
        weight_norm=2.0,
        freeze_first_layer_after=3,
        label_gradient=plan_pb2.LABEL_GRADIENT_MARVELL,
        marvell_power=4.0,
    )


@pytest.mark.parametrize(
    "section", ["[protection]", "[protection]\nz1_noise = 0", '[protection]\nlabel_gradient = "none"']
)
def test_an_empty_protection_changes_nothing(section):
    assert hash_of(f"{TEXT}\n{section}\n") == hash_of(TEXT) != hash_of(PROTECTED)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("row_norm = 3.0\nweight_norm = 2.0\n", "", "z1_noise needs row_norm and weight_norm"),
        ("row_norm = 3.0\n", "", "row_norm and weight_norm bound z1 together; set both or neither"),
        ("z1_noise = 0.5", "z1_noise = -0.5", "'protection.z1_noise'"),
        ("z1_noise = 0.5", "z1_noise = nan", "'protection.z1_noise'"),
        ("z1_noise = 0.5", "z1_noise = inf", "'protection.z1_noise'"),
        ("row_norm = 3.0", "row_norm = 0.0", "'protection.row_norm'"),
        ("weight_norm = 2.0", "weight_norm = -1", "'protection.weight_norm'"),
        ("freeze_first_layer_after = 3", "freeze_first_layer_after = -1", "greater than or equal to 0"),
        ("freeze_first_layer_after = 3", "freeze_first_layer_after = 4", "4 of 4 epochs"),
        ('"marvell"', '"marvel"', "'none', 'max_norm' or 'marvell'"),
        ('"marvell"', '"max_norm"', 'marvell_power is for label_gradient = "marvell"'),
        ("marvell_power = 4.0", "marvell_power = 0", "'protection.marvell_power'"),
        ("marvell_power", "marvel_power", "did you mean 'marvell_power'"),
        ("[optimizer]", "loss = 'regression'\n[optimizer]", "marvell hides two classes, the loss is regression"),
    ],
)
def test_protection_that_cannot_be_kept_to_is_a_sentence(old, new, sentence):
    assert PROTECTED.count(old) == 1
    with pytest.raises(SettingsError) as caught:
        parse_plan(PROTECTED.replace(old, new))
    assert sentence in str(caught.value)
    assert caught.value.exit_code == 2


def test_what_only_a_local_run_reads_does_not():
    local = TEXT + '\n[local.tables.t]\nsource = "rows.csv"\n'
    assert parse_plan(local).local.tables == {"t": {"source": "rows.csv"}}
    assert hash_of(local) == hash_of(TEXT)


def test_a_step_may_fill_a_message_and_not_more():
    rows = (MAX_MESSAGE_BYTES - 4096) // (8 * 4)  # a tensor travels behind a header
    assert parse_plan(TEXT.replace("batch_rows = 100", f"batch_rows = {rows}")).batch_rows == rows
    with pytest.raises(Exception, match="lower batch_rows"):
        parse_plan(TEXT.replace("batch_rows = 100", f"batch_rows = {rows + 1}"))


def test_a_plan_does_not_change_after_it_was_checked():
    plan = parse_plan(TEXT)
    with pytest.raises(Exception, match="frozen"):
        plan.epochs = 7
    assert isinstance(plan, Plan)
