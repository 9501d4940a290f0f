"""The plan file's [defender]: training against recovery of rows from h1, and what it costs to have it."""

from pydantic import Field, model_validator

from kernel.defender_plan import DISTANCES, OBJECTIVES, DistanceName, ObjectiveName
from kernel.network import ActivationName
from kernel.settings import Settings
from protos.v1 import plan_pb2


class DefenderPlan(Settings):
    weight: float = Field(
        ge=0,
        lt=1e9,
        allow_inf_nan=False,
        description="lambda: the loss is L - weight * sum over parties of the mean distance over rows and columns",
    )
    reveal_h1: bool = Field(
        False, description="must be true: h1 of every training step goes to every party, which learns from it"
    )
    objective: ObjectiveName = Field(
        "adversarial",
        description="adversarial: the defender lowers the distance; literal: Eq. 3-4 of the paper, it runs away",
    )
    distance: DistanceName = "mse"
    widths: tuple[int, ...] = Field((64,), max_length=16, description="hidden layers of each party's net; [] is linear")
    activations: tuple[ActivationName, ...] = Field(("relu",), description="one per width")
    learning_rate: float = Field(0.01, gt=0, lt=1e6, allow_inf_nan=False, description="of the defender's Adam")

    @model_validator(mode="after")
    def _consistent(self) -> "DefenderPlan":
        if not self.reveal_h1:
            raise ValueError(
                "a defender sends h1 to every party, who can learn other parties' rows from it (docs/threat_model.md); "
                "set reveal_h1 = true to accept that, or remove [defender]"
            )
        if len(self.activations) != len(self.widths):
            raise ValueError(
                f"{len(self.widths)} widths of the defender need as many activations, there are {len(self.activations)}"
            )
        if any(not 1 <= width <= 65536 for width in self.widths):
            raise ValueError("every width of the defender is 1 to 65536")
        return self

    def message(self) -> plan_pb2.DefenderPlan:
        return plan_pb2.DefenderPlan(
            weight=self.weight,
            reveal_h1=self.reveal_h1,
            objective=OBJECTIVES[self.objective],
            distance=DISTANCES[self.distance],
            widths=self.widths,
            activations=self.activations,
            learning_rate=self.learning_rate,
        )
