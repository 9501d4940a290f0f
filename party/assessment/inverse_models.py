"""Inverse models: maps fitted on leaked rows, from what the attacker saw of a row to the row.

| attack | reads | fits |
|---|---|---|
| ``inverse_ridge`` | the last epoch | ridge, penalty by generalised cross-validation |
| ``inverse_mlp`` | the last epoch | a ReLU network on what a ridge leaves over, stopped by held-out leaked rows |
| ``stacked_ridge``, ``stacked_mlp`` | all epochs side by side | the same |
| ``paper_attacker`` | h1 of the last epoch | the attacker of the P2N2 paper's Fig. 7 (Zheng, Chen et al. 2020) |

The neutral server reads z1, and with a defender beside it the sum of the defenders' gradients at h1; it is after all
columns. A label holder reads h_L, a feature holder dL/dz1 or its share of it; they are after the others' columns and put their own rows
beside what they saw; their networks are fitted with effort "full" only.
"""

from collections.abc import Sequence
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from party.assessment.attack import Attack, Effort, Target
from party.assessment.background import Background
from party.assessment.decoder import DecoderRecipe, fit_decoder
from party.assessment.ridge import fit_ridge, standardised
from party.assessment.stack import LIMITS, stacked
from party.assessment.view import View

Floats = NDArray[np.float32]

SOURCES: Final = {
    "neutral-server": ("z1",),
    "label-holder": ("h_last",),
    "feature-holder": ("cut_gradient", "gradient_share"),
}
"""What an inverse model reads, by role: the first that the view has."""
BESIDE: Final = "defender_gradient"
"""What it reads beside that where the view has it: linear in the rows, as z1 is, and free of the noise put on z1."""

OUTERMOST: Final = 4.0
DIRECTIONS: Final = 64
WEIGHTS: Final = (1.0, 0.1, 0.0)
BALANCES: Final = ((1.0, 1.0), (1.0, 0.1), (0.1, 1.0))
"""Weights of two things seen of a row, side by side."""

RECIPES: Final[dict[Effort, DecoderRecipe]] = {
    "quick": DecoderRecipe(widths=(256, 256), epochs=30, patience=5),
    "full": DecoderRecipe(widths=(256, 256), epochs=80, patience=8),
}


class RowAttack(Attack):
    """An attack on columns: all of them, or those of the other parties for an attacker that has rows of its own."""

    baseline_kind: ClassVar[str] = "ridge"

    @classmethod
    def target(cls, view: View) -> Target:
        return "rows" if view.own_rows is None else "peer block"

    def without_view(self, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """For a party: the same estimate from its own columns alone, so that what columns tell of each other is not
        called a leak."""
        own = self.view.own_rows
        return None if own is None else self.estimate(standardised(own, self.background.rows), rows)

    def estimate(self, features: Floats, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Recovery [rows, columns] by a map fitted from the leaked rows' features to their columns: a ridge."""
        return self.plausible(fit_ridge(features[self.background.rows], self.background.targets)(features[rows]))

    def plausible(self, recovery: NDArray[np.float64]) -> NDArray[np.float64]:
        """No value further out of the leaked rows' range than that is wide: a map that runs away is reined in."""
        least, most = self.background.targets.min(axis=0), self.background.targets.max(axis=0)
        return np.clip(recovery, 2 * least - most, 2 * most - least)

    def features(self, seen: Floats) -> Floats:
        """float32[n, features] of what was seen [n, width], standardised, and of the attacker's own rows, if it has any.

        Beside own rows, what was seen is scaled by the weight among ``WEIGHTS`` that cross-validation likes best, so
        that a view of little worth is not fitted at the price of good columns.
        """
        leaked = self.background.rows
        seen = standardised(seen, leaked)
        if self.view.own_rows is None:
            return seen
        own = standardised(self.view.own_rows, leaked)
        choices = [np.concatenate([weight * seen, own], axis=1) for weight in WEIGHTS]
        return self.best(choices)

    def best(self, choices: Sequence[Floats]) -> Floats:
        """Of several [n, features], the one from which a ridge recovers leaked rows best, by its cross-validation."""
        if len(choices) == 1:
            return choices[0]
        leaked, targets = self.background.rows, self.background.targets
        return min(choices, key=lambda features: fit_ridge(features[leaked], targets).error)


class InverseRidge(RowAttack):
    """Ridge from the last epoch."""

    name: ClassVar[str] = "inverse_ridge"

    @classmethod
    def reads(cls, view: View) -> tuple[str, ...]:
        source = next((one for one in SOURCES.get(view.role, ()) if getattr(view, one) is not None), None)
        if source is None:
            return ()
        return (source, BESIDE) if view.role == "neutral-server" and view.defender_gradient is not None else (source,)

    @classmethod
    def note_on(cls, view: View) -> str:
        if view.role != "neutral-server" or not view.layers_before:
            return cls.note
        return f"what it reads is no linear map of the records: {layers_words(view.layers_before)} on shares before it"

    def epochs(self, name: str) -> Floats:
        """What was seen, float32[epochs, n, width]; gradients as directions and lengths, which no batch size distorts."""
        return directions(self.array(name)) if name == "cut_gradient" else self.array(name)

    def seen(self, name: str, limit: int) -> Floats:
        """What the attack makes use of, float32[n, width]; a stack of epochs keeps ``limit`` values of a row."""
        last: Floats = self.epochs(name)[-1]
        return last

    def best_features(self) -> Floats:
        """float32[n, features] of what was seen. Where that is two things, the best of one, the other, and both side by side
        in several balances: noise in one must not hide the other."""
        names, limit = self.reads(self.view), LIMITS[self.effort]
        choices = [self.features(self.seen(name, limit)) for name in names]
        if len(names) > 1:
            halves = [standardised(self.seen(name, limit // 2), self.background.rows) for name in names]
            choices += [
                np.concatenate([weight * half for weight, half in zip(balance, halves, strict=True)], axis=1)
                for balance in BALANCES
            ]
        return self.best(choices)

    def recover(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.estimate(self.best_features(), rows)


class NetworkEstimate(RowAttack):
    """An attack whose estimate is a network on what a ridge leaves over, so that it starts where the ridge ends."""

    baseline_kind: ClassVar[str] = "network"

    def estimate(self, features: Floats, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        leaked, targets = self.background.rows, self.background.targets
        recovery = fit_beyond_ridge(features[leaked], targets, features[rows], RECIPES[self.effort], self.seed)
        return self.plausible(recovery)


class InverseMlp(NetworkEstimate, InverseRidge):
    """A network from the last epoch."""

    name: ClassVar[str] = "inverse_mlp"

    @classmethod
    def suits(cls, view: View, background: Background, effort: Effort) -> bool:
        return view.role == "neutral-server" or effort == "full"


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

    def seen(self, name: str, limit: int) -> Floats:
        return stacked(self.epochs(name), limit)


class StackedMlp(InverseMlp, StackedRidge):
    """A network from all epochs."""

    name: ClassVar[str] = "stacked_mlp"


class PaperAttacker(RowAttack):
    """As published: h1 to the row, ReLU, mean squared error, Adam with rate 0.01; nothing held out, nothing tuned.

    The paper gives neither the attacker's width nor h1's scale: the width is that of ``RECIPE``, and h1 is standardised,
    for at rate 0.01 the fit fails on a wide range of inputs.
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
        leaked = self.background.rows
        seen = standardised(self.array("h1")[-1], leaked)
        return fit_decoder(seen[leaked], self.background.targets, self.RECIPE, self.seed)(seen[rows])


def fit_beyond_ridge(
    inputs: Floats, targets: Floats, wanted: Floats, recipe: DecoderRecipe, seed: int
) -> NDArray[np.float64]:
    """Recovery [wanted rows, columns] by a ridge plus a decoder of what the ridge leaves over on the leaked rows.

    Args:
      inputs: float32[leaked, features], standardised.
      targets: float32[leaked, columns].
      wanted: float32[rows, features], whose rows are recovered.
      recipe: of the decoder.
      seed: of the decoder.
    """
    ridge = fit_ridge(inputs, targets)
    left_over = targets - ridge(inputs)
    unit = max(float(np.sqrt(np.mean(left_over**2))), 1e-12)
    # Where inputs are nearly collinear, what matters may be too small to be seen: the ridge knows in which directions.
    axes = np.linalg.svd(ridge.weights, full_matrices=False)[0][:, :DIRECTIONS].astype(np.float32)
    both = np.concatenate([inputs, wanted])
    both = np.concatenate([both, standardised(both @ axes, np.arange(len(inputs)))], axis=1)
    # A column that is almost constant has rows many deviations out, which a network would follow anywhere.
    both = np.clip(both, -OUTERMOST, OUTERMOST)
    decoder = fit_decoder(both[: len(inputs)], (left_over / unit).astype(np.float32), recipe, seed)
    return ridge(wanted) + unit * decoder(both[len(inputs) :])


def layers_words(count: int) -> str:
    """ "one layer is", "2 layers are"."""
    return "one layer is" if count == 1 else f"{count} layers are"


def directions(gradients: Floats) -> Floats:
    """float32[epochs, n, width + 1]: each gradient at length 1, and the logarithm of its length."""
    lengths = np.linalg.norm(gradients, axis=2, keepdims=True)
    least = np.finfo(np.float32).tiny
    return np.concatenate([gradients / np.maximum(lengths, least), np.log(np.maximum(lengths, least))], axis=2)
