"""kernel.plan_message: the plan's hash covers everything, and numbers that cannot be built are refused."""

import pytest
from google.protobuf.descriptor import FieldDescriptor

from kernel.errors import WireError
from kernel.fixed_point import FixedPoint
from kernel.network import NetworkSpec, OptimizerSpec
from kernel.plan_message import (
    check_plan_message,
    cut_dtype,
    label_holder,
    network_spec,
    plan_hash,
    protection_spec,
    safe_run_name,
    share_ring,
)
from kernel.protection import ProtectionSpec
from protos.v1 import common_pb2, plan_pb2


def plan():
    return plan_pb2.RunPlan(
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
            optimizer=plan_pb2.OptimizerPlan(name="momentum", learning_rate=0.05, momentum=0.8),
            seed=7,
        ),
        parties=[
            plan_pb2.PartyPlan(name="bank", table="t", columns=["V1..V14"], label="Class"),
            plan_pb2.PartyPlan(name="shop", table="t", columns=["V15"]),
            plan_pb2.PartyPlan(name="clinic", table="u", columns=["W"]),
        ],
        epochs=5,
        batch_rows=5000,
        test_fraction=0.2,
        barrier_every_epochs=1,
        dealer="coordinator",
        cut_dtype=common_pb2.D_TYPE_FLOAT32,
        defender=plan_pb2.DefenderPlan(
            weight=0.5,
            reveal_h1=True,
            objective=plan_pb2.DEFENDER_OBJECTIVE_ADVERSARIAL,
            distance=plan_pb2.DEFENDER_DISTANCE_MAE,
            widths=[64, 32],
            activations=["relu", "tanh"],
            learning_rate=0.02,
        ),
        protection=plan_pb2.ProtectionPlan(
            z1_noise=0.5,
            row_norm=3.0,
            weight_norm=4.0,
            freeze_first_layer_after=3,
            label_gradient=plan_pb2.LABEL_GRADIENT_MARVELL,
            marvell_power=10.0,
        ),
    )


def accepted():
    message = plan()
    message.dealer = ""  # masked_sum has none
    return message


def gans():
    """Of two parties that share a discriminator."""
    return plan_pb2.RunPlan(
        name="digits",
        job=plan_pb2.JOB_KIND_PRIVGAN,
        parties=[
            plan_pb2.PartyPlan(name=name, table="t", columns=["p0..p63"], label="digit", holdout="u")
            for name in ("ann", "bob")
        ],
        epochs=5,
        batch_rows=256,
        test_fraction=0.2,
        barrier_every_epochs=2,
        gan=plan_pb2.GanPlan(
            nets=plan_pb2.GanNets(
                kind=plan_pb2.GAN_NET_KIND_DENSE,
                latent=100,
                generator=[512],
                discriminator=[2048],
                learning_rate=2e-4,
                beta_1=0.5,
                real_label=0.95,
            ),
            steps=plan_pb2.STEPS_POLICY_EQUAL_STEPS,
            steps_per_epoch=7,
            classes_at_once=10,
            classes=[3],
            seed=9,
            shared=plan_pb2.SharedDiscriminatorPlan(
                mode=plan_pb2.SHARING_MODE_UPDATES,
                weight=0.5,
                penalty_after_epochs=3,
                warm_up_epochs=2,
                widths=[16],
                steps_per_round=4,
                ring=plan_pb2.RingPlan(ring_bits=64, fractional_bits=40),
            ),
            evaluation=plan_pb2.GanEvaluationPlan(
                rows=3000, epochs=25, members=200, classifier=plan_pb2.CLASSIFIER_SIZE_PAPER
            ),
            preview_every_epochs=10,
        ),
    )


def alterations(message, path=""):
    """Every scalar of the message, one at a time, changed in place (and changed back)."""
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            kept = list(value)
            del value[0]
            yield f"{path}{field.name} without its first"
            del value[:]
            value.extend(kept)
            if field.message_type is not None:
                for number, inner in enumerate(value):
                    yield from alterations(inner, f"{path}{field.name}[{number}].")
        elif field.message_type is not None:
            yield from alterations(value, f"{path}{field.name}.")
        else:
            changed = value + "x" if field.type == FieldDescriptor.TYPE_STRING else 2 if value == 1 else 1
            changed = not value if field.type == FieldDescriptor.TYPE_BOOL else changed
            setattr(message, field.name, changed)
            yield path + field.name
            setattr(message, field.name, value)


def test_every_field_enters_the_hash():
    message = plan()
    message.gan.CopyFrom(gans().gan)
    message.secret_layers.add(width=16, activation=plan_pb2.SECRET_ACTIVATION_SQUARE, interval=8)
    columns_of_the_last = message.parties[2].columns
    hashes = {"plan": plan_hash(message)}
    for name in alterations(message):
        hashes[name] = plan_hash(message)
    assert columns_of_the_last == ["W"]
    assert plan_hash(message) == hashes["plan"]
    assert len(hashes) > 30
    assert len(set(hashes.values())) == len(hashes)


def test_the_hash_survives_the_wire():
    assert plan_hash(plan_pb2.RunPlan.FromString(plan().SerializeToString())) == plan_hash(plan())
    assert len(plan_hash(plan())) == 32


def test_the_network_of_a_plan():
    wanted = NetworkSpec((8, 4), ("sigmoid", "relu"), "binary", 1, OptimizerSpec("momentum", 0.05, 0.8), 7)
    assert network_spec(plan().network) == wanted


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"widths": [8, 0]}, "each is 1 to 65536"),
        ({"widths": [8, 65537]}, "each is 1 to 65536"),
        ({"outputs": 0}, "0 outputs cannot be built"),
        ({"outputs": 1 << 31}, "cannot be built"),
        ({"activations": ["relu"]}, "2 widths need as many activations; found 1"),
        (
            {"activations": ["relu", "swish"]},
            "unknown activation 'swish'; known: identity, sigmoid, relu, tanh",
        ),
        ({"loss": "hinge"}, "unknown loss 'hinge'"),
        ({"loss": ""}, "unknown loss ''"),
        (
            {"optimizer": plan_pb2.OptimizerPlan(name="lion")},
            "unknown optimizer 'lion'; known: sgd, momentum, adam",
        ),
    ],
)
def test_a_network_that_does_not_exist_is_refused(change, sentence):
    network = plan().network
    for field, value in change.items():
        network.ClearField(field)
        network.MergeFrom(plan_pb2.NetworkPlan(**{field: value}))
    with pytest.raises(WireError, match=sentence):
        network_spec(network)


def test_a_network_without_widths_is_one_without_a_neutral_server():
    network = plan().network
    network.ClearField("widths")
    network.ClearField("activations")
    assert (network_spec(network).widths, network_spec(network).activations) == ((), ())


@pytest.mark.parametrize("name", ["fraud-20261101-1", "A", "0", "a..b", "x" * 80])
def test_a_run_id_that_can_be_a_directory(name):
    assert safe_run_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\\b", "-a", ".a", "a b", "a\n", "a\0", "ä", "x" * 81])
def test_a_run_id_that_cannot(name):
    with pytest.raises(WireError, match="a run id is 1 to 80"):
        safe_run_name(name)


def test_the_ring_has_room_for_every_party():
    ring = share_ring(plan())
    assert ring == FixedPoint(32, 16, addends=3)
    assert 3 * ring.limit == pytest.approx(FixedPoint(32, 16).limit)
    wide = plan()
    wide.ring.ring_bits = 64
    assert share_ring(wide) == FixedPoint(64, 16, addends=3)
    wide.ring.fractional_bits = 61
    with pytest.raises(WireError, match="fractional_bits is 61"):
        share_ring(wide)
    wide.ring.ring_bits = 16
    with pytest.raises(WireError, match="16 bits"):
        share_ring(wide)


def test_the_protection_of_a_plan():
    """All of it; and none where the message is not set, whatever a later default."""
    assert protection_spec(plan()) == ProtectionSpec(0.5, 3.0, 4.0, 3, "marvell", 10.0)
    of = plan()
    of.protection.freeze_first_layer_after = 0
    assert protection_spec(of).freeze_first_layer_after == 0
    of.protection.ClearField("freeze_first_layer_after")
    assert protection_spec(of).freeze_first_layer_after is None
    bare = plan()
    bare.ClearField("protection")
    assert protection_spec(bare) == ProtectionSpec()


def test_a_good_plan_is_accepted_in_both_protocols():
    check_plan_message(accepted())
    beaver = accepted()
    beaver.protocol = plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER
    beaver.ring.ring_bits, beaver.ring.fractional_bits, beaver.dealer = 64, 20, "coordinator"
    check_plan_message(beaver)
    beaver.ring.ring_bits, beaver.ring.fractional_bits = 32, 11
    check_plan_message(beaver)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda plan: plan.ClearField("protocol"), "no first-layer protocol"),
        (lambda plan: plan.parties.__delitem__(slice(1, None)), "two parties or more"),
        (lambda plan: plan.parties.append(plan.parties[0]), "each once"),
        (lambda plan: setattr(plan, "dealer", "coordinator"), "dealer"),
        (lambda plan: setattr(plan.ring, "ring_bits", 33), "33 bits"),
        (lambda plan: setattr(plan, "epochs", 0), "0 epochs"),
        (lambda plan: setattr(plan.protection, "row_norm", 0.0), "set both or neither"),
        (lambda plan: setattr(plan.protection, "z1_noise", float("nan")), "z1_noise is nan"),
        (lambda plan: setattr(plan.protection, "label_gradient", 9), "protection 9 of label gradients"),
        (lambda plan: setattr(plan, "batch_rows", 0), "batches of 0"),
        (lambda plan: setattr(plan, "test_fraction", float("nan")), "test_fraction nan"),
        (lambda plan: setattr(plan.parties[1], "label", "Class"), "2 parties"),
        (lambda plan: setattr(plan, "protocol", plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER), "leaves -1 integer bits"),
    ],
)
def test_a_party_refuses_a_plan_that_would_not_protect_it(change, found):
    message = accepted()
    change(message)
    with pytest.raises(WireError, match=found):
        check_plan_message(message)


@pytest.mark.parametrize(
    ("message", "name"), [(common_pb2.D_TYPE_FLOAT32, "float32"), (common_pb2.D_TYPE_BFLOAT16, "bfloat16")]
)
def test_two_types_travel_at_the_cut(message, name):
    plan = accepted()
    plan.cut_dtype = message
    check_plan_message(plan)
    assert cut_dtype(message) == name


@pytest.mark.parametrize(
    "message",
    [common_pb2.D_TYPE_UNSPECIFIED, common_pb2.D_TYPE_FLOAT64, common_pb2.D_TYPE_INT64, common_pb2.D_TYPE_UINT8, 77],
)
def test_no_other_type_does(message):
    plan = accepted()
    plan.cut_dtype = message
    sentence = f"the plan asks for tensors of type {message} at the cut; float32 and bfloat16 travel there"
    for check in (lambda: check_plan_message(plan), lambda: cut_dtype(message)):
        with pytest.raises(WireError, match=sentence):
            check()


@pytest.mark.parametrize("dealer", ["", "bank", "neutral-server"])
def test_a_party_refuses_a_dealer_that_could_solve_for_its_rows(dealer):
    message = accepted()
    message.protocol = plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER
    message.ring.ring_bits, message.dealer = 64, dealer
    with pytest.raises(WireError, match="dealer"):
        check_plan_message(message)


@pytest.mark.parametrize(("ring_bits", "fractional_bits"), [(64, 20), (32, 11)])
def test_a_product_of_two_encoded_factors_has_twice_the_fraction(ring_bits, fractional_bits):
    message = plan()
    assert share_ring(message) == FixedPoint(32, 16, addends=3)
    message.protocol = plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER
    message.ring.ring_bits, message.ring.fractional_bits = ring_bits, fractional_bits
    assert share_ring(message) == FixedPoint(ring_bits, 2 * fractional_bits, addends=3)


def test_exactly_one_party_holds_the_label():
    message = plan()
    assert label_holder(message) == "bank"
    message.parties[1].label = "Class"
    with pytest.raises(WireError, match="2 parties of the plan have a label"):
        label_holder(message)
    message.parties[0].label = message.parties[1].label = ""
    with pytest.raises(WireError, match="0 parties of the plan have a label"):
        label_holder(message)


def test_gans_are_accepted_with_or_without_a_shared_discriminator():
    check_plan_message(gans())
    alone = gans()
    alone.job = plan_pb2.JOB_KIND_GAN
    alone.gan.ClearField("shared")
    del alone.parties[1]
    check_plan_message(alone)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda plan: plan.ClearField("gan"), "the plan's job is GANs and it describes none"),
        (lambda plan: setattr(plan.parties[1], "name", "ann"), "names each party once; this one names ann, ann"),
        (lambda plan: plan.parties.pop(), "1 parties: privgan needs two or more"),
        (lambda plan: setattr(plan.gan.shared, "weight", -0.5), "lambda is -0.5"),
        (lambda plan: plan.defender.SetInParent(), r"belongs to split training \(defender\)"),
        (lambda plan: plan.protection.SetInParent(), r"belongs to split training \(protection\)"),
        (lambda plan: plan.network.SetInParent(), r"belongs to split training \(network\)"),
        (lambda plan: setattr(plan, "micro_batches", 1), "belongs to split training"),
        (lambda plan: setattr(plan, "dealer", "coordinator"), "belongs to split training"),
        (lambda plan: setattr(plan, "cut_dtype", common_pb2.D_TYPE_FLOAT32), "belongs to split training"),
    ],
)
def test_gans_that_cannot_be_trained_or_are_more_than_gans(change, sentence):
    plan = gans()
    change(plan)
    with pytest.raises(WireError, match=sentence):
        check_plan_message(plan)


@pytest.mark.parametrize("job", [plan_pb2.JOB_KIND_SPLIT_NN, plan_pb2.JOB_KIND_UNSPECIFIED])
def test_a_plan_of_another_job_with_gans_is_refused(job):
    plan = accepted()
    plan.job = job
    check_plan_message(plan)
    plan.gan.CopyFrom(gans().gan)
    with pytest.raises(WireError, match="describes GANs and is of another job"):
        check_plan_message(plan)
