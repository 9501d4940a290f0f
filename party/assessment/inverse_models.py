"""Inverse models: maps fitted on leaked rows, from what the attacker saw of a row to the row.

| attack | reads | fits |
|---|---|---|
| ``inverse_ridge`` | the last epoch | ridge, penalty by generalised cross-validation |
| ``inverse_mlp`` | the last epoch | a ReLU network on what a ridge leaves over, stopped by held-out leaked rows |
| ``stacked_ridge``, ``stacked_mlp`` | all epochs side by side | the same |
| ``paper_attacker`` | h1 of the last epoch | the attacker of the P2N2 paper's Fig. 7 (Zheng, Chen et al. 2020) |

The neutral server reads z1 and is after all columns. A label holder reads h_L, a feature holder dL/dz1; they are after the
others' columns and put their own rows beside what they saw.
"""

from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from party.assessment.attack import Attack, Effort, Target
from party.assessment.decoder import DecoderRecipe, fit_decoder
from party.assessment.ridge import fit_ridge
from party.assessment.stack import LIMITS, stacked
from party.assessment.view import View

Floats = NDArray[np.float32]

SOURCES: Final = {"neutral-server": "z1", "label-holder": "h_last", "feature-holder": "cut_gradient"}
"""What an inverse model reads, by role."""

RECIPES: Final[dict[Effort, DecoderRecipe]] = {
    "quick": DecoderRecipe(widths=(256,), epochs=40),
    "full": DecoderRecipe(widths=(512,), epochs=150, patience=15),
}


class RowAttack(Attack):
    """An attack on columns: all of them, or those of the other parties for an attacker that has rows of its own."""

    @classmethod
    def target(cls, view: View) -> Target:
        return "rows" if view.own_rows is None else "peer block"

    def without_view(self, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """For a party: ridge from its own columns alone, so that what columns tell of each other is not called a leak."""
        own = self.view.own_rows
        if own is None:
            return None
        return fit_ridge(own[self.background.rows], self.background.targets)(own[rows])

    def beside_own(self, seen: Floats) -> Floats:
        """What was seen, float32[n, width], with the attacker's own rows beside it, if it has any."""
        own = self.view.own_rows
        return seen if own is None else np.concatenate([seen, own], axis=1)


class InverseRidge(RowAttack):
    """Ridge from the last epoch."""

    name: ClassVar[str] = "inverse_ridge"

    @classmethod
    def reads(cls, view: View) -> tuple[str, ...]:
        source = SOURCES.get(view.role)
        return (source,) if source is not None and getattr(view, source) is not None else ()

    def features(self) -> Floats:
        """float32[n, features] of all rows."""
        seen: Floats = self.array(self.reads(self.view)[0])[-1]
        return self.beside_own(seen)

    def recover(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        features = self.features()
        return fit_ridge(features[self.background.rows], self.background.targets)(features[rows])


class InverseMlp(InverseRidge):
    """A network on what a ridge leaves over, so that it starts where the ridge ends."""

    name: ClassVar[str] = "inverse_mlp"

    def recover(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        features, leaked, targets = self.features(), self.background.rows, self.background.targets
        return fit_beyond_ridge(features[leaked], targets, features[rows], RECIPES[self.effort], self.seed)


class StackedRidge(InverseRidge):
    """Ridge from all epochs: where weights move, each epoch adds equations; where noise is fresh, epochs average it out."""

    name: ClassVar[str] = "stacked_ridge"

    @classmethod
    def reads(cls, view: View) -> tuple[str, ...]:
        names = super().reads(view)
        return names if names and len(getattr(view, names[0])) > 1 else ()

    @property
    def epochs_seen(self) -> int:
        return len(self.array(self.reads(self.view)[0]))

    def features(self) -> Floats:
        values: Floats = self.array(self.reads(self.view)[0])
        return self.beside_own(stacked(values, LIMITS[self.effort]))


class StackedMlp(StackedRidge, InverseMlp):
    """A network from all epochs."""

    name: ClassVar[str] = "stacked_mlp"


class PaperAttacker(RowAttack):
    """As published: h1 to the row, ReLU, mean squared error, Adam with rate 0.01; nothing held out, nothing tuned.

    The paper does not give the attacker's width; it is that of ``RECIPE``.
    """

    name: ClassVar[str] = "paper_attacker"
    note = "the paper's own attacker, for comparison with its Fig. 7; the other attackers are stronger"

    RECIPE: ClassVar[DecoderRecipe] = DecoderRecipe(
        widths=(128,), learning_rate=0.01, epochs=20, batch_rows=128, held_out=0
    )

    @classmethod
    def reads(cls, view: View) -> tuple[str, ...]:
        return ("h1",) if view.h1 is not None and view.role == "neutral-server" else ()

    def recover(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        seen: Floats = self.array("h1")[-1]
        return fit_decoder(seen[self.background.rows], self.background.targets, self.RECIPE, self.seed)(seen[rows])


def fit_beyond_ridge(
    inputs: Floats, targets: Floats, wanted: Floats, recipe: DecoderRecipe, seed: int
) -> NDArray[np.float64]:
    """Recovery [wanted rows, columns] by a ridge plus a decoder of what the ridge leaves over on the leaked rows.

    Args:
      inputs: float32[leaked, features].
      targets: float32[leaked, columns].
      wanted: float32[rows, features], whose rows are recovered.
      recipe: of the decoder.
      seed: of the decoder.
    """
    ridge = fit_ridge(inputs, targets)
    left_over = targets - ridge(inputs)
    deviation = inputs.std(axis=0)
    scale = np.where(deviation > 0, 1 / np.where(deviation > 0, deviation, 1), 0).astype(np.float32)
    unit = max(float(np.sqrt(np.mean(left_over**2))), 1e-12)
    mean = inputs.mean(axis=0)
    decoder = fit_decoder((inputs - mean) * scale, (left_over / unit).astype(np.float32), recipe, seed)
    return ridge(wanted) + unit * decoder((wanted - mean) * scale)
