"""Synthetic rows as they travel: made by this party's generators, or come from outside to train a classifier on."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kernel.errors import BadInputError, WireError
from kernel.gan.schedule import Group, sample_noise
from kernel.gan.spec import GanSpec
from kernel.wire.channel import MAX_MESSAGE_BYTES
from party.gan.local_gan import LocalGan
from party.gan.rows import Rows, to_unit
from protos.v1 import coordination_pb2

_ROOM_BYTES = 4096
_LABEL_BYTES = 8
_AT_ONCE = 1000
"""Rows that a generator makes in one call: bounds what its layers take."""


def make_rows(
    order: coordination_pb2.Synthesise,
    spec: GanSpec,
    groups: Sequence[Group],
    nets: Mapping[int, LocalGan],
    columns: int,
    me: str,
) -> coordination_pb2.SyntheticRows:
    """Rows of the classes that are asked for, in that order; all that there is a generator for where none is.

    Args:
      nets: per group the party's own.

    Raises:
      BadInputError: no rows, more than a message holds, or a class without a generator here.
    """
    places = {label: (number, model) for number in nets for model, label in enumerate(groups[number].classes)}
    classes = list(order.classes) or sorted(places)
    missing = [label for label in classes if label not in places]
    if missing or not classes:
        raise BadInputError(
            f"{me!r} has no generator of classes {missing or 'at all'}: it had no rows of them; ask for others of {sorted(places)}"
        )
    rows = order.rows_per_class * len(classes)
    most = (MAX_MESSAGE_BYTES - _ROOM_BYTES) // (4 * columns + _LABEL_BYTES)
    if not 1 <= rows <= most:
        raise BadInputError(f"{rows} rows of {columns} columns were asked for; one message holds 1 to {most}")
    values = np.empty((rows, columns), "<f4")
    for number, label in enumerate(classes):
        latent = sample_noise(order.seed, label, order.rows_per_class, spec.latent)
        group, model = places[label]
        for start in range(0, order.rows_per_class, _AT_ONCE):
            stop = min(start + _AT_ONCE, order.rows_per_class)
            first = number * order.rows_per_class
            values[first + start : first + stop] = to_unit(nets[group].sample(model, latent[start:stop]))
    return coordination_pb2.SyntheticRows(
        rows=rows,
        columns=columns,
        values=values.tobytes(),
        labels=np.repeat(np.array(classes, "<i8"), order.rows_per_class).tobytes(),
    )


def read_rows(
    message: coordination_pb2.SyntheticRows, columns: int, classes: Sequence[int]
) -> tuple[Rows, NDArray[np.int64]]:
    """Rows from outside, float32[rows, columns] in [0, 1], and their labels, int64[rows].

    Args:
      columns: of this party's own rows; classes: of the run.

    Raises:
      WireError: another width or length, values that are not finite or outside, a class that the run does not have.
    """
    if message.columns != columns or message.rows < 1:
        raise WireError(f"{message.rows} synthetic rows of {message.columns} columns came; rows here have {columns}")
    if (len(message.values), len(message.labels)) != (4 * message.rows * columns, _LABEL_BYTES * message.rows):
        raise WireError(
            f"{message.rows} synthetic rows came in {len(message.values)} and {len(message.labels)} bytes of values and labels, "
            f"which need {4 * message.rows * columns} and {_LABEL_BYTES * message.rows}; run one version everywhere"
        )
    values = np.frombuffer(message.values, "<f4").reshape(message.rows, columns)
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise WireError(
            "synthetic rows came with values that are not finite or not from 0 to 1; their generator diverged"
        )
    labels = np.frombuffer(message.labels, "<i8")
    unknown = sorted(set(labels.tolist()) - set(classes))
    if unknown:
        raise WireError(f"synthetic rows came of classes {unknown[:5]}, which the run does not have ({list(classes)})")
    return values.astype(np.float32, copy=False), labels.astype(np.int64, copy=False)
