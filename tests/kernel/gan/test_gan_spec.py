"""kernel.gan.spec: a plan's GANs come out as they went in, and what cannot be trained is refused by its name."""

import math

import pytest

from kernel.errors import WireError
from kernel.fixed_point import FixedPoint
from kernel.gan.spec import AdamSpec, EvaluationSpec, GanSpec, NetSpec, SharedSpec, gan_spec, net_kind
from protos.v1 import plan_pb2

UPDATES, FAKES = plan_pb2.SHARING_MODE_UPDATES, plan_pb2.SHARING_MODE_FAKES


def plan():
    return plan_pb2.RunPlan(
        name="digits",
        job=plan_pb2.JOB_KIND_PRIVGAN,
        parties=[
            plan_pb2.PartyPlan(name=name, table="t", columns=["p0..p63"], label="digit") for name in ("ann", "bob")
        ],
        epochs=5,
        batch_rows=256,
        test_fraction=0.2,
        gan=plan_pb2.GanPlan(
            nets=plan_pb2.GanNets(
                kind=plan_pb2.GAN_NET_KIND_DENSE,
                latent=100,
                generator=[512, 1024],
                discriminator=[2048, 512],
                learning_rate=2e-4,
                beta_1=0.5,
                real_label=0.95,
            ),
            steps=plan_pb2.STEPS_POLICY_PROPORTIONAL,
            classes_at_once=10,
            classes=[3, 1],
            seed=9,
            shared=plan_pb2.SharedDiscriminatorPlan(
                mode=UPDATES,
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


def test_every_field_arrives():
    assert gan_spec(plan()) == GanSpec(
        generator=NetSpec("dense", (512, 1024)),
        discriminator=NetSpec("dense", (2048, 512)),
        latent=100,
        adam=AdamSpec(2e-4, 0.5, 0.999, 1e-7),
        real_label=0.95,
        batch_rows=256,
        steps="proportional",
        steps_per_epoch=0,
        classes_at_once=10,
        classes=(3, 1),
        seed=9,
        shared=SharedSpec("updates", 0.5, 3, 2, NetSpec("dense", (16,)), 4, FixedPoint(64, 40, addends=2)),
        evaluation=EvaluationSpec(3000, 25, 200),
        preview_every_epochs=10,
    )


def test_a_gan_without_a_shared_discriminator():
    message = plan()
    message.job = plan_pb2.JOB_KIND_GAN
    message.gan.ClearField("shared")
    assert gan_spec(message).shared is None
    del message.parties[1:]
    assert gan_spec(message).shared is None


def test_when_the_shared_discriminator_learns_and_generators_pay():
    shared = gan_spec(plan()).shared
    assert [shared.learns(epoch) for epoch in range(1, 6)] == [False, True, True, True, True]
    assert [shared.pays(epoch) for epoch in range(1, 6)] == [False, False, False, True, True]


@pytest.mark.parametrize(
    ("number", "name"), [(plan_pb2.GAN_NET_KIND_DENSE, "dense"), (plan_pb2.GAN_NET_KIND_CONVOLUTIONAL, "convolutional")]
)
def test_kinds_of_nets(number, name):
    assert net_kind(number) == name


SHARED = {
    "negative weight": ({"weight": -0.1}, "lambda is -0.1; it must be finite, 0 or more"),
    "infinite weight": ({"weight": math.inf}, "lambda is inf"),
    "no number": ({"weight": math.nan}, "lambda is nan"),
    "long warm-up": ({"warm_up_epochs": 4}, "a warm-up of 4 epochs does not fit before epoch 4"),
    "no mode": ({"mode": plan_pb2.SHARING_MODE_UNSPECIFIED}, r"a mode of sharing that does not exist \(0\)"),
    "no steps": ({"steps_per_round": 0}, "rounds of 0 steps"),
    "long rounds of fakes": ({"mode": FAKES}, "in mode fakes a round is one step"),
    "ring": ({"ring": plan_pb2.RingPlan(ring_bits=48, fractional_bits=16)}, "a ring of 48 bits"),
    "fraction": ({"ring": plan_pb2.RingPlan(ring_bits=32, fractional_bits=27)}, "27 fractional bits in a ring of 32"),
    "no fraction": ({"ring": plan_pb2.RingPlan(ring_bits=32, fractional_bits=3)}, "3 fractional bits"),
}
NETS = {
    "kind": ({"kind": plan_pb2.GAN_NET_KIND_UNSPECIFIED}, r"a kind of nets that does not exist \(0\)"),
    "learning rate": ({"learning_rate": 0.0}, "learning_rate must be above 0"),
    "learning rate NaN": ({"learning_rate": math.nan}, "learning_rate must be above 0"),
    "beta": ({"beta_1": 1.0}, r"beta_1 in \[0, 1\)"),
    "real label": ({"real_label": 1.5}, "real_label is 1.5"),
    "latent": ({"latent": 0}, "latent is 0"),
    "channels": (
        {"kind": plan_pb2.GAN_NET_KIND_CONVOLUTIONAL, "generator": [8, 4, 2]},
        "has 2 numbers of channels, the plan names 3",
    ),
    "width": ({"generator": [0]}, r"the generator's widths \[0\] cannot be built"),
    "layers": ({"discriminator": [1] * 17}, "the discriminator's widths"),
}
GAN = {
    "steps": ({"steps": plan_pb2.STEPS_POLICY_UNSPECIFIED}, r"a steps policy that does not exist \(0\)"),
    "steps an epoch": ({"steps_per_epoch": 1_000_001}, "1000001 steps an epoch are too many"),
    "classes at once": ({"classes_at_once": 0}, "classes_at_once is 0"),
    "classes": ({"classes": [3, 3]}, "a class stands twice"),
    "evaluation": ({"evaluation": plan_pb2.GanEvaluationPlan(rows=1, epochs=0, members=1)}, "evaluation needs"),
}
PLAN = {
    "batch": ({"batch_rows": 0}, "batches of 0 rows"),
    "epochs": ({"epochs": 0}, "epochs and test_fraction must be positive"),
    "fraction": ({"test_fraction": 1.0}, "the fraction below 1"),
    "job": ({"job": plan_pb2.JOB_KIND_GAN}, "this plan says otherwise"),
    "one party": ({"parties": [plan_pb2.PartyPlan(name="ann", label="digit")]}, "1 parties: privgan needs two or more"),
    "no label": ({"parties": [plan_pb2.PartyPlan(name=name) for name in "ab"]}, "names its label column"),
    "no GANs": ({"gan": None}, "it describes none"),
}


def changed(message, fields):
    for name, value in fields.items():
        message.ClearField(name)
        if isinstance(value, list):
            getattr(message, name).extend(value)
        elif hasattr(value, "DESCRIPTOR"):
            getattr(message, name).CopyFrom(value)
        elif value is not None:
            setattr(message, name, value)


@pytest.mark.parametrize(
    ("place", "fields", "sentence"),
    [
        (place, fields, sentence)
        for place, cases in (("gan.shared", SHARED), ("gan.nets", NETS), ("gan", GAN), ("", PLAN))
        for fields, sentence in cases.values()
    ],
    ids=[name for cases in (SHARED, NETS, GAN, PLAN) for name in cases],
)
def test_what_cannot_be_trained_is_refused(place, fields, sentence):
    message = plan()
    inner = message
    for name in filter(None, place.split(".")):
        inner = getattr(inner, name)
    changed(inner, fields)
    with pytest.raises(WireError, match=sentence):
        gan_spec(message)
