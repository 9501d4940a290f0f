"""All attacks on one recorded run, and the document that its report is made from."""

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.durable import write_durably
from kernel.errors import BadInputError
from party.assessment.attack import AttackResult, Effort, Skipped
from party.assessment.evaluator import evaluate_attacks
from party.assessment.recorded_frames import SERVER
from party.assessment.recorded_view import read_views
from party.assessment.recoveries import draw_recoveries
from party.assessment.run_files import RunFiles
from party.assessment.run_views import RecordedViews
from party.assessment.view import View
from party.rows.image_shape import image_shape


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
    """Attack and write {attacks, skipped, effort, leaked_fraction, rows, columns, epochs, recorded_epochs, trained_epochs,
    received, seconds, image} to ``out``. ``skipped`` is what could not be measured: [{role, attack, sentence}].

    Args:
      image: where a picture of originals and recoveries goes when every row is an image; it shows real rows.

    Raises:
      BadInputError: no transcript, no whole epoch, a leaked fraction of 0 or 1, or not one attack could be run.
    """
    started = time.perf_counter()
    recorded = read_views(files, transcripts, most_epochs=most_epochs)
    seed = files.plan.network.seed
    shape = image_shape([party.schema for party in files.parties])
    targets, labels = files.targets(recorded.rows), class_numbers(files, recorded.rows)
    skipped: list[Skipped] = []
    serverless = all(view.role != SERVER for view in recorded.views)
    results = evaluate_attacks(
        views_of_one_time(recorded, skipped),
        targets,
        labels,
        files.spec.loss,
        effort=effort,
        leaked_fraction=leaked_fraction,
        seed=seed,
        image_shape=shape,
        skipped=skipped,
    )
    skipped += [
        Skipped(
            f"{view.role} {view.name}",
            "",
            "what it received in training are words that are uniform without the dealer's masks",
        )
        for view in recorded.views
        if serverless and view.solved_gradient is None
    ]
    results += _on_predictions(files, recorded, effort, leaked_fraction, shape, skipped)
    if not results:
        told = "; ".join(dict.fromkeys(one.sentence for one in skipped)) or "no view has what an attack reads"
        raise BadInputError(f"no attack could be run: {told}")
    document: dict[str, Any] = {
        "effort": effort,
        "leaked_fraction": leaked_fraction,
        "rows": len(recorded.rows),
        "training_rows": len(files.split.train),
        "columns": int(targets.shape[1]),
        "epochs": list(recorded.epochs),
        "recorded_epochs": recorded.recorded_epochs,
        "trained_epochs": recorded.trained_epochs,
        "received": recorded.received,
        "attacks": {},
    }
    for result in results:
        document["attacks"] |= result.document()
    if image is not None and shape is not None and not serverless:
        try:
            document["image"] = draw_recoveries(
                recorded.views, targets, labels, image, shape, effort=effort, fraction=leaked_fraction, seed=seed
            )
        except Exception as error:  # a picture that cannot be drawn must not cost the numbers
            skipped.append(Skipped(SERVER, "", f"recovered images were not drawn: {type(error).__name__}"))
    document["skipped"] = [asdict(one) for one in skipped]
    document["seconds"] = time.perf_counter() - started
    write_durably(out, json.dumps(document).encode())


def views_of_one_time(recorded: RecordedViews, skipped: list[Skipped]) -> list[View]:
    """The views, without a party's own weights where these are of another epoch than the last one that was recorded.

    An attack that takes a party's own part out of h1 would take out the wrong one and find less than there is.
    """
    last, trained = recorded.epochs[-1], recorded.trained_epochs
    if last == trained:
        return list(recorded.views)
    found = []
    for view in recorded.views:
        if view.own_weights is not None and view.h1 is not None:
            why = f"h₁ was not attacked: its recording ends with epoch {last}, and the party's weights are of epoch {trained}"
            skipped.append(Skipped(f"{view.role} {view.name}", "peer_block", why))
        found.append(replace(view, own_weights=None, own_part=None))
    return found


def _on_predictions(
    files: RunFiles,
    recorded: RecordedViews,
    effort: Effort,
    leaked_fraction: float,
    shape: tuple[int, int] | None,
    skipped: list[Skipped],
) -> list[AttackResult]:
    if recorded.predictions is None:
        why = "predictions were not attacked: no evaluation of the trained network was recorded whole"
        skipped.append(Skipped("predictions", "", why))
        return []
    rows = recorded.predictions.rows
    try:
        return evaluate_attacks(
            [recorded.predictions],
            files.targets(rows),
            class_numbers(files, rows),
            files.spec.loss,
            effort=effort,
            leaked_fraction=leaked_fraction,
            seed=files.plan.network.seed,
            image_shape=shape,
            skipped=skipped,
        )
    except BadInputError as error:  # too few test rows cost the predictions' line, not those of training
        skipped.append(Skipped("predictions", "", f"predictions were not attacked: {error}"))
        return []


def class_numbers(files: RunFiles, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Labels as attacks read them: class numbers int64[n], or the encoded values of a regression."""
    labels = files.labels[rows]
    return labels if files.spec.loss == "regression" else labels.astype(np.int64)
