"""The plan file: one experiment, validated before anybody is disturbed, and its message on the wire."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from coordinator.defender_section import DefenderPlan
from coordinator.local_section import LocalPlan
from coordinator.secret_section import SecretLayerPlan, check_secret_plan, provable
from kernel.defender_plan import defender_ring
from kernel.errors import SettingsError
from kernel.network import ActivationName, LossName, OptimizerName
from kernel.plan_message import MAX_MICRO_BATCHES, MIN_INTEGER_BITS, spare_bits
from kernel.protection import LabelGradient, ProtectionSpec
from kernel.secret.plan import is_secret
from kernel.secret.spec import GradientForm, WeightsForm
from kernel.settings import Settings, parse_settings
from kernel.wire.channel import MAX_MESSAGE_BYTES
from protos.v1 import common_pb2, plan_pb2

ProtocolName = Literal["masked_sum", "beaver"]
_PROTOCOLS: dict[ProtocolName, plan_pb2.FirstLayerProtocol] = {
    "masked_sum": plan_pb2.FIRST_LAYER_PROTOCOL_MASKED_SUM,
    "beaver": plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER,
}
_CUT_DTYPES = {"float32": common_pb2.D_TYPE_FLOAT32, "bfloat16": common_pb2.D_TYPE_BFLOAT16}
_DEFAULT_RING_BITS: dict[ProtocolName, Literal[32, 64]] = {"masked_sum": 32, "beaver": 64}
_DEFAULT_FRACTIONAL_BITS: dict[tuple[ProtocolName, int], int] = {
    ("masked_sum", 32): 16,
    ("masked_sum", 64): 16,
    ("beaver", 64): 20,
    ("beaver", 32): 11,
}
_SECRET_FRACTIONAL_BITS = 18
"""Of a plan with more on shares than the first product: a polynomial's values take integer bits."""
_HEAD_INTERVAL = 8.0
_GRADIENTS: dict[GradientForm, plan_pb2.GradientForm] = {
    "open": plan_pb2.GRADIENT_FORM_UNSPECIFIED,
    "shared": plan_pb2.GRADIENT_FORM_SHARED,
}
_WEIGHTS: dict[WeightsForm, plan_pb2.WeightsForm] = {
    "own": plan_pb2.WEIGHTS_FORM_UNSPECIFIED,
    "shared": plan_pb2.WEIGHTS_FORM_SHARED,
}
_LABEL_GRADIENTS: dict[LabelGradient, plan_pb2.LabelGradient] = {
    "none": plan_pb2.LABEL_GRADIENT_UNSPECIFIED,
    "max_norm": plan_pb2.LABEL_GRADIENT_MAX_NORM,
    "marvell": plan_pb2.LABEL_GRADIENT_MARVELL,
}
_DEALER = "coordinator"
_HEADER_BYTES = 4096
"""Room for what stands before a tensor in its message."""


class FirstLayerPlan(Settings):
    protocol: ProtocolName = "masked_sum"
    ring_bits: Literal[32, 64] | None = Field(
        None,
        description="default 32 for masked_sum, 64 for beaver; 32 is faster, coarser, and leaves beaver 31 - 2f integer bits",
    )
    fractional_bits: int | None = Field(
        None,
        ge=4,
        le=40,
        description="f; default 16 for masked_sum, for beaver 20 in 64 bits and 11 in 32; 18 with secret layers, a shared gradient or weights",
    )
    dealer: str | None = Field(None, description="who issues beaver's triples: only `coordinator`")
    gradient: GradientForm = Field(
        "open",
        description="of dL/dz at the cut: open to every party, who can guess labels from it, or shared, so that none sees it (beaver)",
    )
    weights: WeightsForm | None = Field(
        None,
        description="of the first layer: each party's own block, or shared, so that nobody knows them (beaver); default: as the gradient, for a party's "
        "own block moves by a gradient that tells labels, too",
    )

    def ring(self, *, secret: bool) -> tuple[int, int]:
        """(ring_bits, fractional_bits) with the defaults of the protocol, or of a plan that keeps more on shares."""
        bits = self.ring_bits or _DEFAULT_RING_BITS[self.protocol]
        default = _SECRET_FRACTIONAL_BITS if secret else _DEFAULT_FRACTIONAL_BITS[self.protocol, bits]
        return bits, self.fractional_bits or default


class NetworkPlan(Settings):
    widths: tuple[int, ...] = Field(
        description="the cut (the first layer, or the first after secret layers), then the neutral server's layers; [] without a neutral server: the label head is on shares, too",
    )
    head_interval: float | None = Field(
        None,
        description="without a neutral server, default 8: power of two that |output of the label head| stays below, or the run stops",
    )
    activations: tuple[ActivationName, ...] = Field(description="one per width")
    loss: LossName = "binary"
    outputs: int = Field(1, ge=1, le=65536, description="1; for multiclass the number of classes")


class OptimizerPlan(Settings):
    name: OptimizerName = "adam"
    learning_rate: float = Field(gt=0, lt=1e6)
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum only")


class ProtectionPlan(Settings):
    """What lowers leakage, each at a price in scores; docs/threat_model.md says what each gives and does not."""

    z1_noise: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="standard deviation of the noise each party adds to its share of z1"
    )
    row_norm: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="L2 bound of a party's encoded row; longer rows are scaled down"
    )
    weight_norm: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="spectral-norm bound of a party's first-layer weights"
    )
    cut_interval: Annotated[float, AfterValidator(provable)] | None = Field(
        None,
        description="layers on shares: power of two from 1 to 1024; |z| of every unit of the cut is proved to stay below it, or the run stops",
    )
    freeze_first_layer_after: int | None = Field(
        None,
        ge=0,
        description="epochs, fewer than all; after them first-layer weights stay and dL/dz1 goes to nobody; 0: from the start",
    )
    label_gradient: LabelGradient = Field("none", description="noise of the label holder on dL/dh_L before it is sent")
    marvell_power: float = Field(
        10.0,
        gt=0,
        allow_inf_nan=False,
        description="marvell: mean squared length of the noise over the squared distance of the class means",
    )

    @property
    def spec(self) -> ProtectionSpec:
        return ProtectionSpec(
            z1_noise=self.z1_noise,
            row_norm=self.row_norm or 0.0,
            weight_norm=self.weight_norm or 0.0,
            freeze_first_layer_after=self.freeze_first_layer_after,
            label_gradient=self.label_gradient,
            marvell_power=self.marvell_power,
            cut_interval=self.cut_interval or 0.0,
        )

    def message(self) -> plan_pb2.ProtectionPlan | None:
        """None where nothing is on, so that the plan's hash is that of a plan without the section."""
        if self.spec == ProtectionSpec(marvell_power=self.marvell_power):
            return None
        return plan_pb2.ProtectionPlan(
            z1_noise=self.z1_noise,
            row_norm=self.row_norm or 0.0,
            weight_norm=self.weight_norm or 0.0,
            freeze_first_layer_after=self.freeze_first_layer_after,
            label_gradient=_LABEL_GRADIENTS[self.label_gradient],
            marvell_power=self.marvell_power if self.label_gradient == "marvell" else 0.0,
            cut_interval=self.cut_interval or 0.0,
        )


class PartyPlan(Settings):
    name: str = Field(min_length=1, max_length=63, pattern=r"^[a-z0-9][a-z0-9-]*$")
    table: str
    columns: tuple[str, ...] = Field(min_length=1, description="names, or inclusive ranges V1..V14 in table order")
    label: str | None = Field(None, description="label column; at exactly one party")


class Plan(Settings):
    name: str = Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    job: Literal["split_nn"] = "split_nn"
    seed: int = Field(0, ge=0, lt=2**63, description="weights, split and batch order; no mask depends on it")
    epochs: int = Field(ge=1, le=100_000)
    batch_rows: int = Field(ge=1, le=10_000_000)
    test_fraction: float = Field(0.2, gt=0, lt=1)
    barrier_every_epochs: int = Field(1, ge=1, description="epochs between barriers a run can be resumed from")
    cut_dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="of h_L and gradients on the wire; bfloat16 halves those bytes at 8 bits of precision"
    )
    micro_batches: int = Field(
        1,
        ge=1,
        le=MAX_MICRO_BATCHES,
        description="pieces a training step's rows travel in, so that links and roles overlap",
    )
    first_layer: FirstLayerPlan = FirstLayerPlan()
    secret_layers: tuple[SecretLayerPlan, ...] = Field(
        (), description="layers before the cut, from the rows on, of which parties hold shares only (beaver)"
    )
    network: NetworkPlan
    optimizer: OptimizerPlan
    parties: tuple[PartyPlan, ...]
    defender: DefenderPlan | None = Field(None, description="absent: none, and h1 stays at the neutral server")
    protection: ProtectionPlan = ProtectionPlan()
    local: LocalPlan = LocalPlan()

    @model_validator(mode="after")
    def _consistent(self) -> "Plan":
        self._check_parties()
        message = self.message()
        if is_secret(message):
            check_secret_plan(message)
        self._check_network()
        self._check_first_layer()
        self._check_protection(on_shares=is_secret(message))
        return self

    @property
    def serverless(self) -> bool:
        """All layers are on shares; the gradient is, too."""
        return not self.network.widths

    @property
    def gradient(self) -> GradientForm:
        """Of the gradient at the cut (`forms_on_shares`)."""
        return "shared" if self.serverless else self.first_layer.gradient

    @property
    def weights(self) -> WeightsForm:
        """Of the first layer's weights (`forms_on_shares`)."""
        return self.first_layer.weights or ("shared" if self.gradient == "shared" else "own")

    @property
    def ring(self) -> tuple[int, int]:
        """(ring_bits, fractional_bits) of what is shared."""
        secret = bool(self.secret_layers) or self.gradient == "shared" or self.weights == "shared"
        return self.first_layer.ring(secret=secret)

    def _check_parties(self) -> None:
        if len(self.parties) < 2:
            raise ValueError(f"a plan needs two parties or more, this one has {len(self.parties)}")
        repeated = [name for name, count in Counter(party.name for party in self.parties).items() if count > 1]
        if repeated:
            raise ValueError(f"party {repeated[0]!r} stands twice; names are unique")
        holders = [party.name for party in self.parties if party.label is not None]
        if not holders:
            raise ValueError("no party has a label; set `label` at the one that holds it")
        if len(holders) > 1:
            raise ValueError(f"{len(holders)} parties have a label ({', '.join(holders)}); exactly one may")

    def _check_network(self) -> None:
        network = self.network
        if len(network.activations) != len(network.widths):
            raise ValueError(
                f"{len(network.widths)} widths need as many activations, there are {len(network.activations)}"
            )
        if any(not 1 <= width <= 65536 for width in network.widths):
            raise ValueError("every width is 1 to 65536")
        if network.loss == "multiclass" and network.outputs < 2:
            raise ValueError("multiclass needs outputs = number of classes, at least 2")
        if network.loss != "multiclass" and network.outputs != 1:
            raise ValueError(f"{network.loss} has one output, the plan says {network.outputs}")
        if self.serverless:
            return
        if network.head_interval is not None:
            raise ValueError("network.head_interval is for a label head on shares; remove it, or say widths = []")
        largest = self.batch_rows * max(
            network.widths[0] * self.ring[0] // 8,
            network.widths[0] * self._defender_bits() // 8,
            network.widths[-1] * 4,
        )
        if largest > MAX_MESSAGE_BYTES - _HEADER_BYTES:
            raise ValueError(
                f"a step sends {largest >> 20} MiB in one message, the limit is {MAX_MESSAGE_BYTES >> 20} MiB; lower batch_rows"
            )

    def _defender_bits(self) -> int:
        """Of a word of a defender's share; 0 without one."""
        return 0 if self.defender is None else defender_ring(self.defender.objective, len(self.parties)).ring_bits

    def _check_first_layer(self) -> None:
        layer = self.first_layer
        names = [party.name for party in self.parties]
        if layer.dealer is not None and layer.protocol != "beaver":
            raise ValueError('masked_sum needs no dealer; remove first_layer.dealer or use protocol = "beaver"')
        if layer.dealer in names:
            raise ValueError(
                f"the dealer is party {layer.dealer!r}, which would know every triple; the dealer is the coordinator"
            )
        if layer.dealer in ("neutral-server", "neutral_server"):
            raise ValueError("the dealer is the neutral server, which could solve for X; the dealer is the coordinator")
        if layer.dealer not in (None, _DEALER):
            raise ValueError(f"unknown dealer {layer.dealer!r}; the dealer is the coordinator")
        bits, fractional = self.ring
        beaver = layer.protocol == "beaver"
        integer_bits = spare_bits(bits, fractional, beaver=beaver)
        if integer_bits < MIN_INTEGER_BITS:
            spent = f"2 x {fractional} (two factors)" if beaver else str(fractional)
            raise ValueError(
                f"fractional_bits = {fractional} leaves {integer_bits} integer bits for z1 in a ring of {bits} bits, {spent} of them "
                f"fractional; at least {MIN_INTEGER_BITS} are wanted: lower fractional_bits or use ring_bits = 64"
            )

    def _check_protection(self, *, on_shares: bool) -> None:
        asked = self.protection
        if "marvell_power" in asked.model_fields_set and asked.label_gradient != "marvell":
            raise ValueError('protection.marvell_power is for label_gradient = "marvell"; remove it or set that')
        objection = asked.spec.objection(self.network.loss, self.epochs, on_shares=on_shares)
        if objection:
            raise ValueError(f"protection: {objection}")

    def message(self) -> plan_pb2.RunPlan:
        """The plan as every role gets it (the server gets a part)."""
        bits, fractional = self.ring
        return plan_pb2.RunPlan(
            name=self.name,
            job=plan_pb2.JOB_KIND_SPLIT_NN,
            protocol=_PROTOCOLS[self.first_layer.protocol],
            ring=plan_pb2.RingPlan(ring_bits=bits, fractional_bits=fractional),
            network=plan_pb2.NetworkPlan(
                widths=self.network.widths,
                activations=self.network.activations,
                loss=self.network.loss,
                outputs=self.network.outputs,
                optimizer=plan_pb2.OptimizerPlan(
                    name=self.optimizer.name,
                    learning_rate=self.optimizer.learning_rate,
                    momentum=self.optimizer.momentum,
                ),
                seed=self.seed,
            ),
            parties=[
                plan_pb2.PartyPlan(name=party.name, table=party.table, columns=party.columns, label=party.label or "")
                for party in self.parties
            ],
            epochs=self.epochs,
            batch_rows=self.batch_rows,
            test_fraction=self.test_fraction,
            barrier_every_epochs=self.barrier_every_epochs,
            micro_batches=self.micro_batches,
            cut_dtype=_CUT_DTYPES[self.cut_dtype],
            dealer=_DEALER if self.first_layer.protocol == "beaver" else "",
            defender=self.defender.message() if self.defender is not None else None,
            protection=self.protection.message(),
            secret_layers=[layer.message() for layer in self.secret_layers],
            gradient=_GRADIENTS[self.gradient],
            head_interval=(self.network.head_interval or _HEAD_INTERVAL) if self.serverless else 0.0,
            weights=_WEIGHTS[self.weights],
        )


def parse_plan(text: str, what: str = "the plan") -> Plan:
    """A plan from its TOML text.

    Raises:
      SettingsError: one sentence saying what is wrong where.
    """
    return parse_settings(Plan, text, what)


def read_plan_text(file: Path) -> str:
    """The text of a plan file.

    Raises:
      SettingsError: it cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read {file}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from error
