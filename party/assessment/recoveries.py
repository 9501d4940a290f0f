"""A picture of what an attacker of images recovers, beside the originals. It shows real rows."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernel.durable import write_durably
from party.assessment.attack import Attack, Effort
from party.assessment.background import draw_background
from party.assessment.inverse_models import InverseMlp, InverseRidge, PaperAttacker
from party.assessment.view import View

SHOWN = 10
_DRAW = 0x9A1D
_ATTACKERS: tuple[tuple[str, type[Attack]], ...] = (
    ("ridge", InverseRidge),
    ("network", InverseMlp),
    ("the paper's", PaperAttacker),
)


def draw_recoveries(
    view: View,
    targets: NDArray[np.float32],
    labels: NDArray[np.int64],
    path: Path,
    shape: tuple[int, int],
    *,
    effort: Effort,
    fraction: float,
    seed: int,
) -> list[str]:
    """Writes a PNG: originals in the first line, then one line for each attacker that the view allows.

    The rows are drawn by the seed among those not leaked, of every class in turn: nobody has chosen pretty ones.

    Args:
      view: the neutral server's.
      targets: float32[n, pixels in reading order], in [0, 1].
      labels: int64[n].

    Returns:
      what each line is, from the top; to be said beside the picture.
    """
    background = draw_background(targets, labels, fraction, seed)
    rows = shown_rows(labels, background.rows, seed)
    lines = [("original", targets[rows])]
    for name, attacker in _ATTACKERS:
        if attacker.reads(view):
            recovered = attacker(view, background, effort=effort, seed=seed).recover(rows)
            lines.append((name, np.asarray(recovered, np.float32)))
    write_durably(path, grid([values.reshape(-1, *shape) for _, values in lines], [name for name, _ in lines]))
    return [name for name, _ in lines]


def shown_rows(labels: NDArray[np.int64], leaked: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Positions of up to ``SHOWN`` rows that were not leaked, classes taking turns."""
    left = np.random.default_rng([_DRAW, seed]).permutation(np.setdiff1d(np.arange(len(labels)), leaked))
    by_class = [left[labels[left] == one] for one in np.unique(labels[left])]
    turns = [rows[turn] for turn in range(SHOWN) for rows in by_class if turn < len(rows)]
    return np.array(sorted(turns[:SHOWN], key=lambda row: int(labels[row])), np.int64)


def grid(lines: list[NDArray[np.float32]], names: list[str]) -> bytes:
    """A PNG of images float32[images, height, width] in [0, 1], one line each with its name; light on dark."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(0.75 * len(lines[0]) + 1.2, 0.8 * len(lines)), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(lines), len(lines[0]), squeeze=False)
    for number, (images, name) in enumerate(zip(lines, names, strict=True)):
        for place, image in enumerate(images):
            cell = axes[number, place]
            cell.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            cell.set_xticks([])
            cell.set_yticks([])
        axes[number, 0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=144, metadata={"Software": None})
    return written.getvalue()
