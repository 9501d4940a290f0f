"""What rules of advice look at in a plan."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PlanFacts:
    """What the rules look at. ``protection`` and ``defender`` are the plan's sections, empty where absent; ``columns`` are
    those of all parties together, ``party_columns`` those of each; ``secret_layers`` is how many are on shares before the cut."""

    widths: tuple[int, ...]
    columns: int | None
    loss: str
    epochs: int
    protection: Mapping[str, Any]
    defender: Mapping[str, Any]
    party_columns: tuple[int, ...] = ()
    protocol: str = "masked_sum"
    gradient: str = "open"
    weights: str = "own"
    secret_layers: int = 0

    @property
    def cut(self) -> int:
        """Number of the first layer that the neutral server sees."""
        return self.secret_layers + 1

    @property
    def on_shares(self) -> bool:
        """Whether more than the first product is computed on shares: no freeze can be had then."""
        return self.gradient == "shared" or self.weights == "shared" or self.secret_layers > 0

    @property
    def bounds_weights(self) -> bool:
        """Whether row_norm and weight_norm can bound z at the cut: every party knows its own weights there."""
        return self.weights == "own" and not self.secret_layers
