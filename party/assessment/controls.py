"""Controls: what an attack is run on beside the view, to show that it works and that it does not see ghosts.

| for | positive: it must succeed | negative: it must be at chance |
|---|---|---|
| rows | each array it reads is a noise-free linear image of the rows, at least as wide as they have columns | Gaussian noise of the same shape |
| rows, by z1 and the defenders' gradient | each is such an image of every other column: who reads one fails | the same |
| rows, by z1 and dL/dz1 | z1 of gradient descent on full batches, with the gradients that moved it | the same |
| labels | raw gradients (p - y) w of plain split learning, p alike for all rows; of two classes, the second a little off that line | the same |
"""

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from party.assessment.attack import Target
from party.assessment.view import View

Floats = NDArray[np.float32]

_POSITIVE, _NEGATIVE = 0xC0, 0xC1
_EPOCHS: Final = 3
_GUESS: Final = 0.25
_OFF_LINE: Final = 0.01
_RATE: Final = 0.1


def positive_view(
    view: View,
    reads: tuple[str, ...],
    target: Target,
    targets: NDArray[np.float32],
    classes: NDArray[np.int64],
    seed: int,
) -> View:
    """The view of a run without protection; see the module.

    Args:
      view: whose role, rows and epochs (three at most) it has.
      reads: the arrays to be made.
      target: what the attack is after.
      targets: float32[n, columns], the truth of the view's rows.
      classes: int64[n], their labels.
      seed: of the projections.
    """
    generator = np.random.default_rng([_POSITIVE, seed])
    made: dict[str, Any] = {}
    if target == "labels":
        made = {name: _label_gradients(getattr(view, name).shape, classes, generator) for name in reads}
    elif "z1" in reads and "cut_gradient" in reads:
        made = _descent(view, targets, generator)
    else:
        for number, name in enumerate(reads):
            shape = getattr(view, name).shape
            part = targets[:, number :: len(reads)] if targets.shape[1] >= len(reads) else targets
            width = max(shape[-1], targets.shape[1])
            epochs = min(shape[0], _EPOCHS) if len(shape) == 3 else 1
            images = np.stack([part @ _projection(part.shape[1], width, generator) for _ in range(epochs)])
            made[name] = images if len(shape) == 3 else images[0]
        if "h1" in made and view.own_weights is not None and view.own_rows is not None:
            # The party's own part of z1, as the peer block attack takes it off.
            own = _projection(view.own_weights.shape[0], made["h1"].shape[2], generator)
            return replace(view, h1=made["h1"] + view.own_rows @ own, own_weights=own, own_part=None)
    return replace(view, **made)


def negative_view(view: View, reads: tuple[str, ...], epochs: int, seed: int) -> View:
    """The view with independent standard Gaussian noise in the arrays that an attack reads, of so many epochs."""
    generator = np.random.default_rng([_NEGATIVE, seed])
    shapes = {name: getattr(view, name).shape for name in reads}
    noise: dict[str, Any] = {
        name: generator.standard_normal((epochs, *shape[1:]) if len(shape) == 3 else shape, np.float32)
        for name, shape in shapes.items()
    }
    return replace(view, **noise)


def _projection(columns: int, width: int, generator: np.random.Generator) -> Floats:
    return generator.standard_normal((columns, width), np.float32) / np.float32(np.sqrt(columns))


def _label_gradients(
    shape: tuple[int, ...], classes: NDArray[np.int64], generator: np.random.Generator
) -> NDArray[np.float32]:
    """[epochs, n, width], three epochs at most: (p - y) w^T with p alike for all rows and a new w in each epoch.

    Of two classes, rows of the second leave the line by 1 %, which is what ``label_line`` looks for; the other attacks
    do not see it.
    """
    epochs, rows, width = min(shape[0], _EPOCHS), *shape[1:]
    if classes.max() <= 1:
        error = _GUESS - classes[:, None]
    else:
        error = 1 / (classes.max() + 1) - np.eye(int(classes.max()) + 1)[classes]
    heads = generator.standard_normal((epochs, error.shape[1], width), np.float32)
    raw: NDArray[np.float32] = error.astype(np.float32) @ heads
    if classes.max() <= 1:
        off = np.float32(_OFF_LINE) * classes[:, None].astype(np.float32)
        raw += off * generator.standard_normal((epochs, rows, width), np.float32)
    return raw


def _descent(view: View, targets: NDArray[np.float32], generator: np.random.Generator) -> dict[str, Floats]:
    """z1 and dL/dz1 of full-batch gradient descent, whatever the loss: the gradients are random, their effect is not."""
    if view.z1 is None:
        return {}
    n, columns = targets.shape
    width, epochs = max(view.z1.shape[2], columns), min(len(view.z1), _EPOCHS)
    weights: NDArray[Any] = _projection(columns, width, generator)
    z1, gradients = [], []
    for _ in range(epochs):
        gradient = generator.standard_normal((n, width), np.float32) / np.float32(np.sqrt(n))
        z1.append(targets @ weights)
        gradients.append(gradient)
        weights = weights - np.float32(_RATE) * (targets.T @ gradient)
    return {"z1": np.stack(z1), "cut_gradient": np.stack(gradients)}
