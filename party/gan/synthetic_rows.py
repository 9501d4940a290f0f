"""Synthetic rows as they travel: made by this party's generators, or come from outside to train a classifier on."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kernel.errors import BadInputError, WireError
from kernel.gan.schedule import Group, sample_noise
from kernel.gan.spec import GanSpec
from kernel.gan.synthetic_message import decode_synthetic, encode_synthetic
from kernel.wire.channel import MAX_MESSAGE_BYTES
from party.gan.local_gan import LocalGan
from party.gan.rows import Rows, to_unit
from protos.v1 import coordination_pb2

_NAME_BYTES = 8
"""What a message and a column's name take besides its letters."""
_LABEL_BYTES = 8
_AT_ONCE = 1000
"""Rows that a generator makes in one call: bounds what its layers take."""


def make_rows(
    order: coordination_pb2.Synthesise,
    spec: GanSpec,
    groups: Sequence[Group],
    nets: Mapping[int, LocalGan],
    columns: tuple[str, ...],
    me: str,
) -> coordination_pb2.SyntheticRows:
    """Rows of the classes that are asked for, in that order; of all that there is a generator for where none is.

    Args:
      nets: per group the party's own; columns: names of the party's.

    Raises:
      BadInputError: no rows, more than a message holds, or a class without a generator here.
    """
    places = {label: (number, model) for number in nets for model, label in enumerate(groups[number].classes)}
    classes, count = list(order.classes) or sorted(places), order.rows_per_class
    missing = [label for label in classes if label not in places]
    if missing or not classes:
        raise BadInputError(
            f"{me!r} has no generator of classes {missing or 'at all'}: it had no rows of them; ask for others of {sorted(places)}"
        )
    room = MAX_MESSAGE_BYTES - sum(len(name.encode()) + _NAME_BYTES for name in ("", *columns))
    most = room // (4 * len(columns) + _LABEL_BYTES)
    if not 1 <= count * len(classes) <= most:
        raise BadInputError(
            f"{count} rows of {len(classes)} classes with {len(columns)} columns were asked for; a message holds 1 to {most} rows"
        )
    values = np.empty((len(classes), count, len(columns)), np.float32)
    for made, label in zip(values, classes, strict=True):
        latent = sample_noise(order.seed, label, count, spec.latent)
        group, model = places[label]
        for start in range(0, count, _AT_ONCE):
            piece = slice(start, start + _AT_ONCE)
            made[piece] = to_unit(nets[group].sample(model, latent[piece]))
    labels = np.repeat(np.array(classes, np.int64), count)
    return encode_synthetic(values.reshape(len(labels), len(columns)), labels, columns)


def read_rows(
    message: coordination_pb2.SyntheticRows, columns: int, classes: Sequence[int]
) -> tuple[Rows, NDArray[np.int64]]:
    """Rows from outside, float32[rows, columns] in [0, 1], and their labels, int64[rows].

    Args:
      columns: of this party's own rows; classes: of the run.

    Raises:
      WireError: no rows, another width or length, a value that is not from 0 to 1, a class that the run does not have.
    """
    if message.columns != columns or message.rows < 1:
        raise WireError(f"{message.rows} synthetic rows of {message.columns} columns came; rows here have {columns}")
    values, labels = decode_synthetic(message)
    unknown = sorted(set(labels.tolist()) - set(classes))
    if unknown:
        raise WireError(f"synthetic rows came of classes {unknown[:5]}, which the run does not have ({list(classes)})")
    return values, labels
