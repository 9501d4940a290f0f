"""A plan's GANs (protos/v1/plan.proto, GanPlan) as every role computes with them.

For each class k every party j trains a generator G_jk and a discriminator D_jk on its own rows of that class. With a shared
discriminator P_k, which learns from fakes only which party made them, a generator's loss is

    BCE(D_jk(G_jk(z)), 1) + weight * CE(P_k(G_jk(z)), r),  r drawn per row from the *other* parties    (Mukherjee et al. 2021, Eq. 4)
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from kernel.errors import WireError
from kernel.fixed_point import FixedPoint
from protos.v1 import plan_pb2

NetKind = Literal["dense", "convolutional"]
StepsPolicyName = Literal["equal_steps", "proportional", "paper"]
SharingName = Literal["fakes", "updates"]
ClassifierName = Literal["paper", "small"]

NET_KINDS: dict[NetKind, plan_pb2.GanNetKind] = {
    "dense": plan_pb2.GAN_NET_KIND_DENSE,
    "convolutional": plan_pb2.GAN_NET_KIND_CONVOLUTIONAL,
}
STEPS_POLICIES: dict[StepsPolicyName, plan_pb2.StepsPolicy] = {
    "equal_steps": plan_pb2.STEPS_POLICY_EQUAL_STEPS,
    "proportional": plan_pb2.STEPS_POLICY_PROPORTIONAL,
    "paper": plan_pb2.STEPS_POLICY_PAPER,
}
SHARING_MODES: dict[SharingName, plan_pb2.SharingMode] = {
    "fakes": plan_pb2.SHARING_MODE_FAKES,
    "updates": plan_pb2.SHARING_MODE_UPDATES,
}
GAN_JOBS = (plan_pb2.JOB_KIND_PRIVGAN, plan_pb2.JOB_KIND_GAN)
CLASSIFIERS: dict[ClassifierName, plan_pb2.ClassifierSize] = {
    "paper": plan_pb2.CLASSIFIER_SIZE_PAPER,
    "small": plan_pb2.CLASSIFIER_SIZE_SMALL,
}
CONVOLUTIONAL_LAYERS = 2
Name = TypeVar("Name", NetKind, StepsPolicyName, SharingName, ClassifierName)
FEWEST_SCORED = 20
"""Held-out rows of a party that a classifier is scored on; a score on fewer would tell of one row."""
_MAX_WIDTH = 1 << 16
_MAX_LAYERS = 16
_MAX_COUNT = 1_000_000


@dataclass(frozen=True)
class ImageShape:
    """Pixels of a row in reading order."""

    height: int
    width: int


@dataclass(frozen=True)
class NetSpec:
    """One net's layers; see GanNets in the proto for what ``widths`` are."""

    kind: NetKind
    widths: tuple[int, ...]


@dataclass(frozen=True)
class AdamSpec:
    """Adam by the formulas of Keras 3; one for every net."""

    learning_rate: float
    beta_1: float
    beta_2: float = 0.999
    epsilon: float = 1e-7


@dataclass(frozen=True)
class SharedSpec:
    """The shared discriminator and when it counts."""

    mode: SharingName
    weight: float
    penalty_after_epochs: int
    warm_up_epochs: int
    net: NetSpec
    steps_per_round: int
    ring: FixedPoint
    """Of masked gradients, with room for one addend a party."""

    def learns(self, epoch: int) -> bool:
        """Whether the shared discriminator is trained in ``epoch`` (from 1); before, nothing goes over the wire."""
        return epoch > self.penalty_after_epochs - self.warm_up_epochs

    def pays(self, epoch: int) -> bool:
        """Whether generators pay the origin loss in ``epoch``."""
        return epoch > self.penalty_after_epochs


@dataclass(frozen=True)
class EvaluationSpec:
    rows: int
    epochs: int
    members: int
    classifier: ClassifierName = "paper"


@dataclass(frozen=True)
class GanSpec:
    """The GANs of a plan; ``classes`` empty: all that any party has."""

    generator: NetSpec
    discriminator: NetSpec
    latent: int
    adam: AdamSpec
    real_label: float
    batch_rows: int
    steps: StepsPolicyName
    steps_per_epoch: int
    classes_at_once: int
    classes: tuple[int, ...]
    seed: int
    shared: SharedSpec | None
    evaluation: EvaluationSpec
    preview_every_epochs: int

    @property
    def evaluation_seed(self) -> int:
        """Of what an evaluation draws; parties take no other."""
        return self.seed


def gan_spec(plan: plan_pb2.RunPlan) -> GanSpec:
    """The GANs of a plan message of job kind privgan or gan, checked.

    Raises:
      WireError: no GANs, a number out of range, an unknown kind, a shared discriminator where the job has none or none where
        it has one.
    """
    if not plan.HasField("gan"):
        raise WireError("the plan's job is GANs and it describes none; run one version everywhere")
    message = plan.gan
    nets = message.nets
    kind = _name_of(nets.kind, NET_KINDS, "kind of nets")
    _check(0 < nets.real_label <= 1, f"real_label is {nets.real_label}; it must be above 0 and at most 1")
    _check(1 <= nets.latent <= _MAX_WIDTH, f"latent is {nets.latent}; it must be 1 to {_MAX_WIDTH}")
    _check(1 <= plan.batch_rows <= _MAX_COUNT, f"batches of {plan.batch_rows} rows cannot be drawn")
    _check(
        plan.epochs >= 1 and 0 < plan.test_fraction < 1,
        "epochs and test_fraction must be positive, the fraction below 1",
    )
    _check(message.steps_per_epoch <= _MAX_COUNT, f"{message.steps_per_epoch} steps an epoch are too many")
    _check(1 <= message.classes_at_once <= 1000, f"classes_at_once is {message.classes_at_once}; it must be 1 to 1000")
    _check(len(set(message.classes)) == len(message.classes), "a class stands twice in the plan")
    evaluation = message.evaluation
    _check(
        1 <= evaluation.rows <= _MAX_COUNT
        and 1 <= evaluation.epochs <= 10_000
        and 1 <= evaluation.members <= _MAX_COUNT,
        "evaluation needs rows, epochs and members of 1 or more",
    )
    parties_are_enough = len(plan.parties) >= (2 if plan.job == plan_pb2.JOB_KIND_PRIVGAN else 1)
    _check(parties_are_enough, f"{len(plan.parties)} parties: privgan needs two or more, gan one")
    _check(all(party.label for party in plan.parties), "every party of a GAN plan names its label column")
    _check(
        (plan.job == plan_pb2.JOB_KIND_PRIVGAN) == message.HasField("shared"),
        "job privgan has a shared discriminator and job gan has none; this plan says otherwise",
    )
    return GanSpec(
        generator=_net(kind, nets.generator, "generator"),
        discriminator=_net(kind, nets.discriminator, "discriminator"),
        latent=nets.latent,
        adam=adam_spec(nets.learning_rate, nets.beta_1),
        real_label=nets.real_label,
        batch_rows=plan.batch_rows,
        steps=_name_of(message.steps, STEPS_POLICIES, "steps policy"),
        steps_per_epoch=message.steps_per_epoch,
        classes_at_once=message.classes_at_once,
        classes=tuple(message.classes),
        seed=message.seed,
        shared=shared_spec(message.shared, kind, len(plan.parties)) if message.HasField("shared") else None,
        evaluation=EvaluationSpec(
            evaluation.rows, evaluation.epochs, evaluation.members, classifier_name(evaluation.classifier)
        ),
        preview_every_epochs=message.preview_every_epochs,
    )


def adam_spec(learning_rate: float, beta_1: float) -> AdamSpec:
    """Raises WireError for numbers with which nothing trains."""
    _check(_finite_positive(learning_rate) and 0 <= beta_1 < 1, "learning_rate must be above 0, beta_1 in [0, 1)")
    return AdamSpec(learning_rate, beta_1)


def shared_spec(message: plan_pb2.SharedDiscriminatorPlan, kind: NetKind, parties: int) -> SharedSpec:
    """The shared discriminator of a plan message, checked.

    Raises:
      WireError: a weight below 0, a warm-up longer than the epochs before the penalty, a ring that is none of ours.
    """
    _check(
        math.isfinite(message.weight) and message.weight >= 0,
        f"lambda is {message.weight}; it must be finite, 0 or more",
    )
    _check(
        message.warm_up_epochs <= message.penalty_after_epochs,
        f"a warm-up of {message.warm_up_epochs} epochs does not fit before epoch {message.penalty_after_epochs + 1}, "
        "from which generators pay",
    )
    mode = _name_of(message.mode, SHARING_MODES, "mode of sharing")
    _check(1 <= message.steps_per_round <= _MAX_COUNT, f"rounds of {message.steps_per_round} steps cannot be made")
    _check(mode == "updates" or message.steps_per_round == 1, "in mode fakes a round is one step")
    _check(
        message.ring.ring_bits in (32, 64),
        f"the plan says a ring of {message.ring.ring_bits} bits; rings have 32 or 64",
    )
    _check(
        4 <= message.ring.fractional_bits <= message.ring.ring_bits - 6,
        f"{message.ring.fractional_bits} fractional bits in a ring of {message.ring.ring_bits} leave no room for a gradient",
    )
    return SharedSpec(
        mode=mode,
        weight=message.weight,
        penalty_after_epochs=message.penalty_after_epochs,
        warm_up_epochs=message.warm_up_epochs,
        net=_net(kind, message.widths, "shared discriminator"),
        steps_per_round=message.steps_per_round,
        ring=FixedPoint(32 if message.ring.ring_bits == 32 else 64, message.ring.fractional_bits, addends=parties),
    )


def net_kind(message: plan_pb2.GanNetKind) -> NetKind:
    """Raises WireError for one that does not exist."""
    return _name_of(message, NET_KINDS, "kind of nets")


def classifier_name(message: plan_pb2.ClassifierSize) -> ClassifierName:
    """Raises WireError for one that does not exist."""
    return _name_of(message, CLASSIFIERS, "classifier")


def _net(kind: NetKind, widths: Iterable[int], what: str) -> NetSpec:
    found = tuple(widths)
    _check(
        len(found) <= _MAX_LAYERS and all(1 <= width <= _MAX_WIDTH for width in found),
        f"the {what}'s widths {list(found)} cannot be built; each is 1 to {_MAX_WIDTH}, at most {_MAX_LAYERS} of them",
    )
    if kind == "convolutional":
        _check(
            len(found) == CONVOLUTIONAL_LAYERS,
            f"a convolutional {what} has {CONVOLUTIONAL_LAYERS} numbers of channels, the plan names {len(found)}",
        )
    return NetSpec(kind, found)


def _finite_positive(value: float) -> bool:
    return math.isfinite(value) and value > 0


def _check(fine: bool, sentence: str) -> None:
    if not fine:
        raise WireError(f"the plan's GANs cannot be trained: {sentence}")


def _name_of(number: int, names: Mapping[Name, int], what: str) -> Name:
    for name, value in names.items():
        if value == number:
            return name
    raise WireError(f"the plan asks for a {what} that does not exist ({number}); run one version everywhere")
