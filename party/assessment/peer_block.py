"""Peer block: the others' columns at a party to which h1 is revealed (only where a plan turns the defender on).

1. h1 = act(z1 + bias); the activation is undone where that is possible. Its kind is seen from the values.
2. The party's own part of z1 is taken off: what is left is the sum of the others' parts and the bias.
3. A ridge, or a network on what the ridge leaves over, goes from there and the party's own rows to the others' columns.

Where the first layer is not the cut, or its weights are shares, a party does not know its own part: then 2 is left out.
The own part is known after the last epoch and h1 is from the time of each row's batch, so 2 is off by what the weights
moved within that epoch; own rows beside it let the fit mend that. The baseline is what own rows tell without h1.
"""

from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from party.assessment.inverse_models import NetworkEstimate, RowAttack
from party.assessment.view import View

Floats = NDArray[np.float32]

_EDGE: Final = 1e-6


class PeerBlock(RowAttack):
    """See the module; whether to undo the activation is decided by cross-validation on the leaked rows."""

    name: ClassVar[str] = "peer_block"

    @classmethod
    def reads(cls, view: View) -> tuple[str, ...]:
        known = view.own_weights is not None or view.own_part_unknown
        return ("h1",) if view.h1 is not None and view.own_rows is not None and known else ()

    def best_features(self) -> Floats:
        """float32[n, features] of all rows, from the better of h1 as it came and the others' part of z1."""
        seen: Floats = self.array("h1")[-1]
        if self.view.own_part_unknown:
            return self.features(seen)
        bounded = self.view.own_part
        own: Floats = self.array("own_rows") @ self.array("own_weights") if bounded is None else bounded
        return self.best([self.features(values) for values in (seen, others_part(seen, own))])

    def recover(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.estimate(self.best_features(), rows)


class PeerBlockMlp(NetworkEstimate, PeerBlock):
    """The same with a network on what the ridge leaves over."""

    name: ClassVar[str] = "peer_block_mlp"


def others_part(h1: Floats, own: Floats) -> Floats:
    """z1 + bias of h1 less the party's own part, float32[n, width]; for ReLU, zero where a unit is off, and which are off.

    Args:
      h1: float32[n, width] of an identity, sigmoid, tanh or ReLU layer, told apart by their ranges.
      own: float32[n, width], the party's own part of z1.
    """
    least, most = float(h1.min()), float(h1.max())
    if least == 0 and np.mean(h1 == 0) > 1 / h1.size:  # ReLU: zeros are exact
        on = h1 > 0
        return np.concatenate([np.where(on, h1 - own, 0), on], axis=1).astype(np.float32)
    if least >= 0 and most <= 1:
        inside = np.clip(h1, _EDGE, 1 - _EDGE)
        return (np.log(inside) - np.log1p(-inside) - own).astype(np.float32)
    if least >= -1 and most <= 1:
        return (np.arctanh(np.clip(h1, _EDGE - 1, 1 - _EDGE)) - own).astype(np.float32)
    return (h1 - own).astype(np.float32)
