"""The plan's mitigations as every role computes with them, and the one truth about which of them make sense together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from kernel.network import LossName

LabelGradient = Literal["none", "max_norm", "marvell"]
LABEL_GRADIENTS: tuple[LabelGradient, ...] = get_args(LabelGradient)


@dataclass(frozen=True)
class ProtectionSpec:
    """Everything off by default.

    Attributes:
      z1_noise: standard deviation of the noise that each party adds to each unit of its share of z1; 0: none.
      row_norm, weight_norm: L2 bound of a party's encoded row, spectral-norm bound of its first-layer weights; 0: unbounded.
      cut_interval: |z| of every unit of the cut is proved on shares to stay below it, before z leaves; 0: not proved.
      freeze_first_layer_after: epochs after which first-layer weights stay, and dL/dz1 goes to nobody; 0: from the start; None:
        never.
      label_gradient: what the label holder does to dL/dh_L before it is sent.
      marvell_power: of Marvell: mean squared length of the noise over the squared distance of the class means.
    """

    z1_noise: float = 0.0
    row_norm: float = 0.0
    weight_norm: float = 0.0
    freeze_first_layer_after: int | None = None
    label_gradient: LabelGradient = "none"
    marvell_power: float = 10.0
    cut_interval: float = 0.0

    @property
    def bounded(self) -> bool:
        """Whether every party bounds its rows and first-layer weights."""
        return self.row_norm > 0

    def reach(self, cut_width: int) -> float:
        """How long what a row adds to z can be, L2: of one party's part where rows and weights are bounded, of the whole row where z is
        proved; infinite without a bound. What is proved to stay below an interval can come to twice that, for `range_proof` is sure only there.
        """
        if self.bounded:
            return self.row_norm * self.weight_norm
        return 2.0 * self.cut_interval * math.sqrt(cut_width) if self.cut_interval > 0 else math.inf

    def trains_first_layer(self, epoch: int) -> bool:
        """Whether first-layer weights move in ``epoch``, counted from 1."""
        return self.freeze_first_layer_after is None or epoch <= self.freeze_first_layer_after

    def releases(self, epochs: Sequence[int]) -> int:
        """How often a row's z1 is shown in these epochs: all with a frozen first layer send the same, and count as one."""
        moving = sum(map(self.trains_first_layer, epochs))
        return moving + (moving < len(epochs))

    def objection(self, loss: LossName, epochs: int, *, on_shares: bool = False) -> str | None:
        """Why these numbers cannot be kept to in a run of ``epochs`` with ``loss``; None where they can.

        Args:
          on_shares: whether more than the product of the first layer is (`kernel.secret.plan.is_secret`).
        """
        for name in ("z1_noise", "row_norm", "weight_norm", "marvell_power", "cut_interval"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                return f"{name} is {value}; it must be a finite number and not negative"
        if (self.row_norm > 0) != (self.weight_norm > 0):
            return "row_norm and weight_norm bound z1 together; set both or neither, each above 0"
        if self.cut_interval > 0 and not on_shares:
            return "cut_interval is proved on shares, and this plan keeps none; use row_norm and weight_norm"
        if self.bounded and self.cut_interval > 0:
            return (
                "row_norm and weight_norm bound z already, cut_interval proves another bound; remove one or the other"
            )
        if self.z1_noise > 0 and not self.bounded and not self.cut_interval:
            return (
                "z1_noise needs row_norm and weight_norm, or with layers on shares cut_interval: without a bound on z training scales "
                "the noise away"
            )
        if self.freeze_first_layer_after is not None and not 0 <= self.freeze_first_layer_after < epochs:
            return (
                f"freeze_first_layer_after is {self.freeze_first_layer_after} of {epochs} epochs; it must be 0 or more, and leave "
                "epochs after it"
            )
        if self.label_gradient == "marvell" and loss != "binary":
            return f'marvell hides two classes, the loss is {loss}; use label_gradient = "max_norm"'
        if self.label_gradient == "marvell" and self.marvell_power == 0:
            return "marvell_power is 0, which is no noise; it must be above 0"
        return None
