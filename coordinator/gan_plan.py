"""The plan file of job kinds `privgan` and `gan`: a GAN for every class at every party, with a shared discriminator or without."""

from collections import Counter
from typing import Literal

from pydantic import Field, model_validator

from coordinator.local_section import LocalPlan
from kernel.gan.nets import discriminator_shapes, parameters
from kernel.gan.spec import (
    CLASSIFIERS,
    CONVOLUTIONAL_LAYERS,
    NET_KINDS,
    SHARING_MODES,
    STEPS_POLICIES,
    ClassifierName,
    ImageShape,
    NetKind,
    NetSpec,
    SharingName,
    StepsPolicyName,
)
from kernel.settings import Settings
from kernel.wire.channel import MAX_MESSAGE_BYTES
from protos.v1 import plan_pb2

_JOBS: dict[Literal["privgan", "gan"], plan_pb2.JobKind] = {
    "privgan": plan_pb2.JOB_KIND_PRIVGAN,
    "gan": plan_pb2.JOB_KIND_GAN,
}
_HEADER_BYTES = 4096
"""Room for what stands before a tensor in its message."""
_NAMES_BYTES = 1 << 20
"""Room for the columns' names."""
ALL, REAL = "all", "real"
"""What a classifier is trained on besides one party's rows: those of all together, and real ones; no party may be called so."""
_CONVOLUTIONAL_CHANNELS = ((128, 64), (64, 128))
"""Of a generator from the coarsest map on, of a discriminator from the finest."""


def _check_widths(kind: NetKind, name: str, widths: tuple[int, ...]) -> None:
    if any(not 1 <= width <= 65536 for width in widths) or len(widths) > 16:
        raise ValueError(f"the {name}'s widths {list(widths)} cannot be built; each is 1 to 65536, at most 16 of them")
    if kind == "convolutional" and len(widths) != CONVOLUTIONAL_LAYERS:
        raise ValueError(
            f"a convolutional {name} has {CONVOLUTIONAL_LAYERS} numbers of channels, this one has {len(widths)}"
        )


class GanNetsPlan(Settings):
    """One class's nets; the defaults are the privGAN paper's."""

    kind: NetKind = "dense"
    latent: int = Field(100, ge=1, le=65536, description="width of the latent noise")
    generator: tuple[int, ...] = Field(
        (512, 512, 1024), description="hidden widths; convolutional: channels, coarsest map first"
    )
    discriminator: tuple[int, ...] = Field(
        (2048, 512, 256), description="hidden widths; convolutional: channels, finest map first"
    )
    learning_rate: float = Field(2e-4, gt=0, lt=1e6, description="of every net's Adam")
    beta_1: float = Field(0.5, ge=0, lt=1)
    real_label: float = Field(0.95, gt=0, le=1, description="a discriminator's target for real rows; fakes have 0")
    classes_at_once: int = Field(1, ge=1, le=1000, description="classes whose models are trained stacked, in one call")

    @model_validator(mode="before")
    @classmethod
    def _channels(cls, document: object) -> object:
        if isinstance(document, dict) and document.get("kind") == "convolutional":
            generator, discriminator = _CONVOLUTIONAL_CHANNELS
            return {"generator": generator, "discriminator": discriminator, **document}
        return document

    @model_validator(mode="after")
    def _buildable(self) -> "GanNetsPlan":
        for name, widths in (("generator", self.generator), ("discriminator", self.discriminator)):
            _check_widths(self.kind, name, widths)
        return self


class StepsPlan(Settings):
    """Rows are drawn with replacement, `batch_rows` a step, at every party."""

    policy: StepsPolicyName = Field(
        "equal_steps",
        description="equal_steps: all parties alike; proportional: as a party's own rows need; paper: floor(rows / parties / batch_rows)",
    )
    per_epoch: int | None = Field(
        None, ge=1, le=1_000_000, description="equal_steps: for every class; default what the largest party's rows need"
    )


class SharedPlan(Settings):
    mode: SharingName = Field(
        "fakes", description="fakes go to the neutral server, or masked updates of the parties' copies"
    )
    weight: float = Field(1.0, ge=0, allow_inf_nan=False, description="lambda of the origin loss in a generator's loss")
    penalty_after_epochs: int = Field(
        0, ge=0, description="generators pay from the epoch after; before, they are plain GANs"
    )
    warm_up_epochs: int = Field(
        0, ge=0, description="for so many epochs before, the shared discriminator learns already, on fakes only"
    )
    discriminator: tuple[int, ...] | None = Field(None, description="as nets.discriminator, which is the default")
    steps_per_round: int = Field(
        1, ge=1, le=1_000_000, description="updates: local steps whose gradients go out together"
    )
    ring_bits: Literal[32, 64] = Field(32, description="updates: of the masked gradients")
    fractional_bits: int = Field(24, ge=4, le=56)


class GanEvaluationPlan(Settings):
    rows: int = Field(3000, ge=1, le=1_000_000, description="synthetic rows a classifier is trained on")
    epochs: int = Field(25, ge=1, le=10_000, description="of the classifier")
    members: int = Field(200, ge=1, le=1_000_000, description="training rows of a class in the membership attack")
    classifier: ClassifierName = Field(
        "paper", description="paper: that of the privGAN paper; small: a tenth of its time"
    )


class GanPartyPlan(Settings):
    name: str = Field(min_length=1, max_length=63, pattern=r"^[a-z0-9][a-z0-9-]*$")
    table: str
    columns: tuple[str, ...] = Field(
        min_length=1, description="names, or inclusive ranges in table order; each with bounds"
    )
    label: str = Field(description="the column that says a row's class; an integer or a category")
    holdout: str | None = Field(
        None, description="another table with rows to hold out; default test_fraction of this one"
    )


class GanPlan(Settings):
    name: str = Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    job: Literal["privgan", "gan"]
    seed: int = Field(
        0, ge=0, lt=2**63, description="weights, latent noise, row draws and split; no mask depends on it"
    )
    epochs: int = Field(ge=1, le=100_000)
    batch_rows: int = Field(256, ge=1, le=1_000_000)
    test_fraction: float = Field(0.15, gt=0, lt=1, description="of each class of a party without a holdout table")
    barrier_every_epochs: int = Field(10, ge=1, description="epochs between barriers a run can be resumed from")
    preview_every_epochs: int = Field(0, ge=0, description="epochs between grids of synthetic rows; 0: one at the end")
    classes: tuple[int, ...] = Field((), description="labels to learn; none: all that any party has")
    nets: GanNetsPlan = GanNetsPlan()
    steps: StepsPlan = StepsPlan()
    shared: SharedPlan | None = Field(None, description="privgan only")
    evaluation: GanEvaluationPlan = GanEvaluationPlan()
    parties: tuple[GanPartyPlan, ...]
    local: LocalPlan = LocalPlan()

    @model_validator(mode="before")
    @classmethod
    def _shared_by_default(cls, document: object) -> object:
        if isinstance(document, dict) and document.get("job") == "privgan":
            return {"shared": {}, **document}
        return document

    @model_validator(mode="after")
    def _consistent(self) -> "GanPlan":
        self._check_parties()
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("a class stands twice in classes; each is learnt once")
        if self.steps.per_epoch is not None and self.steps.policy != "equal_steps":
            raise ValueError(
                f'steps.per_epoch is for policy "equal_steps"; {self.steps.policy!r} follows from the rows'
            )
        if self.job == "gan" and self.shared is not None:
            raise ValueError('job "gan" shares nothing; remove [shared], or say job = "privgan"')
        if self.shared is not None:
            self._check_shared(self.shared)
        return self

    def _check_parties(self) -> None:
        wanted = 2 if self.job == "privgan" else 1
        if len(self.parties) < wanted:
            raise ValueError(f"a {self.job} plan needs {wanted} parties or more, this one has {len(self.parties)}")
        repeated = [name for name, count in Counter(party.name for party in self.parties).items() if count > 1]
        if repeated:
            raise ValueError(f"party {repeated[0]!r} stands twice; names are unique")
        taken = [party.name for party in self.parties if party.name in (ALL, REAL)]
        if taken:
            raise ValueError(f"a party cannot be called {taken[0]!r}, which is what rows of several are; rename it")

        tested = [party.name for party in self.parties if party.holdout == party.table]
        if tested:
            raise ValueError(
                f"party {tested[0]!r} would hold out the rows it trains on: its holdout is its table; name another table, or leave "
                "holdout out (test_fraction of each class is held out)"
            )

    def _check_shared(self, shared: SharedPlan) -> None:
        if shared.warm_up_epochs > shared.penalty_after_epochs:
            raise ValueError(
                f"shared.warm_up_epochs = {shared.warm_up_epochs} does not fit into the {shared.penalty_after_epochs} epochs before "
                "generators pay (penalty_after_epochs); raise one or lower the other"
            )
        if shared.penalty_after_epochs - shared.warm_up_epochs >= self.epochs:
            raise ValueError(
                f"the shared discriminator would never learn in {self.epochs} epochs: it starts after epoch "
                f"{shared.penalty_after_epochs - shared.warm_up_epochs}; lower shared.penalty_after_epochs"
            )
        if shared.mode == "fakes" and shared.steps_per_round != 1:
            raise ValueError('shared.steps_per_round is for mode = "updates"; with fakes a round is one step')
        if shared.fractional_bits > shared.ring_bits - 6:
            raise ValueError(
                f"{shared.fractional_bits} fractional bits in a ring of {shared.ring_bits} leave no room for a gradient; lower them"
            )
        _check_widths(self.nets.kind, "shared discriminator", self.shared_widths)

    @property
    def shared_widths(self) -> tuple[int, ...]:
        """Of the shared discriminator; those of the parties' own without a word."""
        own = None if self.shared is None else self.shared.discriminator
        return self.nets.discriminator if own is None else own

    def largest_message_bytes(self, columns: int, image: ImageShape | None = None) -> int:
        """Of a step's fakes or of an update and the weights that answer it, for rows of so many columns; must stay below
        `MAX_MESSAGE_BYTES`.

        Raises:
          SettingsError: rows the nets cannot take.
        """
        if self.shared is not None and self.shared.mode == "updates":
            net = NetSpec(self.nets.kind, self.shared_widths)
            weights = parameters(discriminator_shapes(net, columns, image, len(self.parties)))
            return self.nets.classes_at_once * weights * max(self.shared.ring_bits // 8, 4)
        return self.nets.classes_at_once * self.batch_rows * columns * 4

    def message(self) -> plan_pb2.RunPlan:
        """The plan as every party gets it (the server gets a part)."""
        nets, shared, evaluation = self.nets, self.shared, self.evaluation
        return plan_pb2.RunPlan(
            name=self.name,
            job=_JOBS[self.job],
            parties=[
                plan_pb2.PartyPlan(
                    name=party.name,
                    table=party.table,
                    columns=party.columns,
                    label=party.label,
                    holdout=party.holdout or "",
                )
                for party in self.parties
            ],
            epochs=self.epochs,
            batch_rows=self.batch_rows,
            test_fraction=self.test_fraction,
            barrier_every_epochs=self.barrier_every_epochs,
            gan=plan_pb2.GanPlan(
                nets=plan_pb2.GanNets(
                    kind=NET_KINDS[nets.kind],
                    latent=nets.latent,
                    generator=nets.generator,
                    discriminator=nets.discriminator,
                    learning_rate=nets.learning_rate,
                    beta_1=nets.beta_1,
                    real_label=nets.real_label,
                ),
                steps=STEPS_POLICIES[self.steps.policy],
                steps_per_epoch=self.steps.per_epoch or 0,
                classes_at_once=nets.classes_at_once,
                classes=self.classes,
                seed=self.seed,
                shared=None
                if shared is None
                else plan_pb2.SharedDiscriminatorPlan(
                    mode=SHARING_MODES[shared.mode],
                    weight=shared.weight,
                    penalty_after_epochs=shared.penalty_after_epochs,
                    warm_up_epochs=shared.warm_up_epochs,
                    widths=self.shared_widths,
                    steps_per_round=shared.steps_per_round,
                    ring=plan_pb2.RingPlan(ring_bits=shared.ring_bits, fractional_bits=shared.fractional_bits),
                ),
                evaluation=plan_pb2.GanEvaluationPlan(
                    rows=evaluation.rows,
                    epochs=evaluation.epochs,
                    members=evaluation.members,
                    classifier=CLASSIFIERS[evaluation.classifier],
                ),
                preview_every_epochs=self.preview_every_epochs,
            ),
        )


def check_message_size(plan: GanPlan, columns: int, image: ImageShape | None = None) -> str:
    """A sentence where what a step sends or the evaluation's rows are too long for one message, or an empty text.

    Raises:
      SettingsError: rows the nets cannot take.
    """
    size = plan.largest_message_bytes(columns, image)
    if plan.shared is not None and size > MAX_MESSAGE_BYTES - _HEADER_BYTES:
        what, remedy = {
            "fakes": ("fakes", "batch_rows"),
            "updates": ("the shared discriminator's weights", "shared.discriminator"),
        }[plan.shared.mode]
        return (
            f"a step sends {size >> 20} MiB of {what} in one message, the limit is {MAX_MESSAGE_BYTES >> 20} MiB; "
            f"lower {remedy} or nets.classes_at_once"
        )
    most = most_rows_of_a_message(columns)
    if plan.evaluation.rows > most:
        return (
            f"evaluation.rows = {plan.evaluation.rows} rows of {columns} columns do not fit into one message; "
            f"{most} do: lower evaluation.rows"
        )
    return ""


def most_rows_of_a_message(columns: int) -> int:
    """Synthetic rows with their labels."""
    return (MAX_MESSAGE_BYTES - _NAMES_BYTES) // (4 * columns + 8)
