"""A view: what one role received in one run, by row. Attacks compute with views and never with data a role could not have."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kernel.errors import BadInputError

ROLES: Final = ("neutral-server", "feature-holder", "label-holder", "predictions")

_PER_EPOCH: Final = (
    "z1",
    "h1",
    "h_last",
    "head_gradient",
    "cut_gradient",
    "defender_gradient",
    "gradient_share",
    "solved_gradient",
)
_PER_ROW: Final = ("own_rows", "own_part", "outputs")


@dataclass(frozen=True, eq=False, kw_only=True)
class View:
    """Arrays that a role does not receive are None. The first axis of per-epoch arrays is the epochs, in order.

    Where layers are on shares before the cut, z1, h1 and dL/dz1 are those at the cut: the first layer that the neutral server
    sees (``widths[0]`` is its width), and no linear map of the rows.

    Attributes:
      role: one of ``ROLES``.
      name: the process' name, such as "party-b".
      rows: int64[n], the training rows' numbers in the aligned tables; every array below has them in this order.
      z1: float32[epochs, n, widths[0]], at the time each row's batch ran. Neutral server.
      h1: float32[epochs, n, widths[0]]. Neutral server; parties only with a defender.
      h_last: float32[epochs, n, widths[-1]]. Neutral server, label holder.
      head_gradient: dL/dh_L, float32[epochs, n, widths[-1]]. Neutral server (the label holder makes it).
      cut_gradient: dL/dz1, float32[epochs, n, widths[0]], of the epochs in which the first layer moved: those before a freeze.
        Everybody but "predictions"; nobody where it never moved.
      defender_gradient: the sum over parties of each row's own gradient of the defender's distance at h1, as decoded,
        float32[epochs, n, widths[0]]. Neutral server, only with a defender.
      gradient_share: this party's share of dL/dz1, decoded as if it were the gradient, float32[epochs, n, widths[0]]. Parties, with a
        shared gradient, in the place of ``cut_gradient``.
      solved_gradient: of dL/dz at the first layer on shares, what a party can solve for from its own rows and the gradient of its
        own weights, float32[epochs, n, width of that layer] (summed_gradient.py). Parties, where these weights are their own.
      own_rows: float32[n, own columns], a party's own encoded rows.
      own_weights: float32[own columns, widths[0]], a party's first layer after the last epoch.
      own_part: float32[n, widths[0]], its own part of z1 at these weights where that is not ``own_rows @ own_weights``
        because the plan bounds rows.
      outputs: float32[n, outputs], logits or probabilities. "predictions".
      layers_before: how many layers are on shares before the cut.
      shared_weights: whether first-layer weights are shares, so that a party does not know its own.

    Raises:
      BadInputError: an unknown role, or an array whose axes do not fit ``rows``.
    """

    role: str
    name: str
    rows: NDArray[np.int64]
    z1: NDArray[np.float32] | None = None
    h1: NDArray[np.float32] | None = None
    h_last: NDArray[np.float32] | None = None
    head_gradient: NDArray[np.float32] | None = None
    cut_gradient: NDArray[np.float32] | None = None
    defender_gradient: NDArray[np.float32] | None = None
    gradient_share: NDArray[np.float32] | None = None
    solved_gradient: NDArray[np.float32] | None = None
    own_rows: NDArray[np.float32] | None = None
    own_weights: NDArray[np.float32] | None = None
    own_part: NDArray[np.float32] | None = None
    outputs: NDArray[np.float32] | None = None
    layers_before: int = 0
    shared_weights: bool = False

    @property
    def own_part_unknown(self) -> bool:
        """Whether a party cannot compute its own part of what the neutral server sees."""
        return self.shared_weights or self.layers_before > 0

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise BadInputError(f'a view has role "{self.role}"; the roles are {", ".join(ROLES)}.')
        n = len(self.rows)
        for names, dimensions in ((_PER_EPOCH, 3), (_PER_ROW, 2)):
            for name in names:
                array = getattr(self, name)
                if array is not None and (array.ndim != dimensions or array.shape[-2] != n or 0 in array.shape):
                    wanted = "[epochs, rows, width]" if dimensions == 3 else "[rows, columns]"
                    raise BadInputError(
                        f"{name} in the view of {self.name} has shape {array.shape}, wanted {wanted} with {n} rows; "
                        "make the view from the transcript of one whole run."
                    )

    def restricted(self, rows: NDArray[np.int64]) -> "View":
        """The same view of some rows only, given as positions on the row axis."""
        arrays = {name: getattr(self, name) for name in (*_PER_EPOCH, *_PER_ROW)}
        cut = {name: array[..., rows, :] for name, array in arrays.items() if array is not None}
        return replace(self, rows=self.rows[rows], **cut)
