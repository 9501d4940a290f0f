"""A picture of what an attacker of images recovers, beside the originals. It shows real rows."""

import io
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from numpy.typing import NDArray

from kernel.durable import write_durably
from party.assessment.attack import Attack, Effort
from party.assessment.background import draw_background
from party.assessment.evaluator import others_columns
from party.assessment.inverse_models import InverseMlp, InverseRidge, PaperAttacker
from party.assessment.peer_block import PeerBlock
from party.assessment.view import View

SHOWN = 10
_DRAW = 0x9A1D
_ATTACKERS: tuple[tuple[str, type[Attack]], ...] = (
    ("linear reader, last epoch", InverseRidge),
    ("neural reader, last epoch", InverseMlp),
    ("the P²N² paper's own reader", PaperAttacker),
    ("linear reader of h₁, own part taken out", PeerBlock),
)
"""In the words of the report's tables. Of the server those of whole rows, of a party that of h1 which is soon fitted."""


def draw_recoveries(
    views: Sequence[View],
    targets: NDArray[np.float32],
    labels: NDArray[np.int64],
    path: Path,
    shape: tuple[int, int],
    *,
    effort: Effort,
    fraction: float,
    seed: int,
) -> list[str]:
    """Writes a PNG: originals in the first line, then one line for each attacker that a view allows: the neutral server's,
    and that of every party to which h1 is revealed, whose own pixels are as they are.

    The rows are drawn by the seed among those not leaked, of every class in turn: nobody has chosen pretty ones.

    Args:
      views: of the same rows, the neutral server's among them.
      targets: float32[n, pixels in reading order], in [0, 1].
      labels: int64[n].

    Returns:
      what each line is, from the top; to be said beside the picture.
    """
    background = draw_background(targets, labels, fraction, seed)
    rows = shown_rows(labels, background.rows, seed)
    lines = [("original", targets[rows])]
    for view in views:
        columns = others_columns(view, targets)
        for name, attacker in _ATTACKERS:
            if (view.own_rows is None) == issubclass(attacker, PeerBlock) or not attacker.reads(view):
                continue
            recovered = targets[rows].copy()
            recovered[:, columns] = attacker(view, background.columns(columns), effort=effort, seed=seed).recover(rows)
            lines.append((f"{view.name}: {name}", recovered))
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

    figure = Figure(figsize=(0.75 * len(lines[0]) + 2.2, 0.8 * len(lines)), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(lines), len(lines[0]), squeeze=False)
    for number, (images, name) in enumerate(zip(lines, names, strict=True)):
        for place, image in enumerate(images):
            cell = axes[number, place]
            cell.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            cell.set_xticks([])
            cell.set_yticks([])
        axes[number, 0].set_ylabel(fill(name, 22), rotation=0, ha="right", va="center", fontsize=9)
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=144, metadata={"Software": None})
    return written.getvalue()
