"""All attacks on one recorded run, and the document that its report is made from."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.durable import write_durably
from party.assessment.attack import Effort
from party.assessment.evaluator import evaluate_attacks
from party.assessment.image_shape import image_shape
from party.assessment.recorded_view import read_views
from party.assessment.recoveries import draw_recoveries
from party.assessment.run_files import RunFiles


def attack_run(
    files: RunFiles,
    transcripts: Path,
    out: Path,
    *,
    effort: Effort,
    leaked_fraction: float,
    most_epochs: int | None = None,
    image: Path | None = None,
) -> None:
    """Attack and write {attacks, effort, leaked_fraction, rows, columns, epochs, received, seconds, image} to ``out``.

    Args:
      image: where a picture of originals and recoveries goes when every row is an image; it shows real rows.

    Raises:
      BadInputError: no transcript, no whole epoch, a leaked fraction of 0 or 1.
    """
    started = time.perf_counter()
    recorded = read_views(files, transcripts, most_epochs=most_epochs)
    seed = files.plan.network.seed
    shape = image_shape([party.schema for party in files.parties])
    targets, labels = files.targets(recorded.rows), class_numbers(files, recorded.rows)
    results = evaluate_attacks(
        recorded.views,
        targets,
        labels,
        files.spec.loss,
        effort=effort,
        leaked_fraction=leaked_fraction,
        seed=seed,
        image_shape=shape,
    )
    if recorded.predictions is not None:
        rows = recorded.predictions.rows
        results += evaluate_attacks(
            [recorded.predictions],
            files.targets(rows),
            class_numbers(files, rows),
            files.spec.loss,
            effort=effort,
            leaked_fraction=leaked_fraction,
            seed=seed,
            image_shape=shape,
        )
    document: dict[str, Any] = {
        "effort": effort,
        "leaked_fraction": leaked_fraction,
        "rows": len(recorded.rows),
        "training_rows": len(files.split.train),
        "columns": int(targets.shape[1]),
        "epochs": list(recorded.epochs),
        "recorded_epochs": recorded.recorded_epochs,
        "received": recorded.received,
        "attacks": {},
    }
    for result in results:
        document["attacks"] |= result.document()
    if image is not None and shape is not None:
        document["image"] = draw_recoveries(
            recorded.views, targets, labels, image, shape, effort=effort, fraction=leaked_fraction, seed=seed
        )
    document["seconds"] = time.perf_counter() - started
    write_durably(out, json.dumps(document).encode())


def class_numbers(files: RunFiles, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Labels as attacks read them: class numbers int64[n], or the encoded values of a regression."""
    labels = files.labels[rows]
    return labels if files.spec.loss == "regression" else labels.astype(np.int64)
