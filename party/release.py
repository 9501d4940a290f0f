"""Scores on the label holder's test rows: everything this party publishes about its labels, in one place."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.metrics import scores
from kernel.network import LossName
from protos.v1 import common_pb2, coordination_pb2


def evaluate_outputs(
    loss: LossName,
    labels: NDArray[Any],
    outputs: NDArray[np.float32],
    decode: Callable[[NDArray[np.float32]], NDArray[Any]],
) -> coordination_pb2.Evaluated:
    """Scores with 95 % intervals, and for a binary label the ROC on a fixed grid.

    Args:
      labels: encoded test labels [rows]; outputs: linear head outputs [rows, outputs]; decode: `LabelEncoder.decode`,
        called where probabilities are needed.
    """
    reply = coordination_pb2.Evaluated()
    if loss == "binary":
        # ranked by the linear output: float32 sigmoids tie at 0 and 1
        found = {
            "auc": scores.auc(labels, outputs[:, 0]),
            "accuracy": scores.accuracy(labels, (outputs[:, 0] > 0).astype(labels.dtype)),
        }
        false_positive, true_positive = scores.roc_curve(labels, outputs[:, 0])
        reply.false_positive_rate.extend(false_positive.tolist())
        reply.true_positive_rate.extend(true_positive.tolist())
    elif loss == "multiclass":
        found = {
            "accuracy": scores.accuracy(labels, outputs.argmax(axis=1)),
            "macro_auc": scores.macro_auc(labels, decode(outputs)),
        }
    else:
        found = {
            "r_squared": scores.r_squared(labels, outputs[:, 0]),
            "mean_squared_error": scores.mean_squared_error(labels, outputs[:, 0]),
        }
    for name, score in found.items():
        reply.scores.append(
            common_pb2.ScoreValue(name=name, value=score.value, low=score.low, high=score.high, rows=score.n)
        )
    return reply
