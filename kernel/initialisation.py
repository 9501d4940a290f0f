"""Where training starts: Glorot-uniform weights (Glorot & Bengio 2010), zero biases.

Every number is derived from an experiment seed by a written rule, so that the network does not depend on who
computes it. A row of the first layer depends on its column's name alone, neither on the party that holds the
column nor on the
neighbours: two, three or five parties start from the same network, and so does the plain one.

Guarantees: SHA-256 -> ``SeedSequence`` -> raw Philox words is a stream that numpy keeps stable between
versions, so parties with other numpy versions agree. These are experiment seeds, not masks: Philox hides
nothing from a reader of its output. The secret keeps the first layer's start from those who lack it (the
neutral server).
"""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernel.errors import RowsError, SettingsError
from kernel.network import ACTIVATIONS, LOSSES, NetworkSpec


def check_network(spec: NetworkSpec) -> None:
    """Refuses a network that cannot be built.

    Raises:
      SettingsError: no or empty layers, unknown names, or a number of outputs that does not fit the loss.
    """
    if not spec.widths or min(spec.widths) < 1:
        raise SettingsError(f"widths are {spec.widths}; name at least the first layer, each width 1 or more.")
    if len(spec.activations) != len(spec.widths):
        raise SettingsError(
            f"{len(spec.activations)} activations for {len(spec.widths)} widths; name one for each width."
        )
    if unknown := sorted(set(spec.activations) - set(ACTIVATIONS)):
        raise SettingsError(f"activations {unknown} are unknown; use {', '.join(ACTIVATIONS)}.")
    if spec.loss not in LOSSES:
        raise SettingsError(f"loss {spec.loss!r} is unknown; use one of {', '.join(LOSSES)}.")
    wanted = {"binary": "exactly 1", "multiclass": "at least 2 (one a class)", "regression": "at least 1"}
    fits = {"binary": spec.outputs == 1, "multiclass": spec.outputs >= 2, "regression": spec.outputs >= 1}
    if not fits[spec.loss]:
        raise SettingsError(f"{spec.outputs} outputs for loss {spec.loss!r}; it needs {wanted[spec.loss]}.")


def glorot_rows(secret: bytes, seed: int, columns: Sequence[str], fan_in: int, width: int) -> NDArray[np.float32]:
    """Rows of the first layer for the named columns.

    Args:
      secret: bytes that all parties share and nobody else; may be empty for the plain network.
      seed: the experiment's seed, a signed 64-bit integer.
      columns: the names of the columns, in the order of the wanted rows; distinct.
      fan_in: the number of columns of *all* parties together.
      width: the first layer's width.

    Returns:
      float32[len(columns), width], uniform in +-sqrt(6 / (fan_in + width)); row i depends on ``columns[i]``,
      the secret, the seed, ``fan_in`` and ``width`` only.

    Raises:
      RowsError: a column is named twice (two equal rows would train as one), or ``fan_in`` is below their
        number.
      SettingsError: the seed or a width is out of range.
    """
    if twice := sorted(name for name, count in Counter(columns).items() if count > 1):
        raise RowsError(f"columns {twice} are named twice; every column of the network needs its own name.")
    if fan_in < len(columns):
        raise RowsError(f"fan_in is {fan_in} with {len(columns)} columns here; give the columns of all parties.")
    limit = _glorot_limit(fan_in, width)
    prefix = b"tertium first layer row\x00" + _seed_bytes(seed) + len(secret).to_bytes(4, "big") + secret
    rows = np.empty((len(columns), width), np.float32)
    for row, name in zip(rows, columns, strict=True):
        row[:] = _uniform(prefix + name.encode(), width, limit)
    return rows


def glorot_layer(seed: int, layer: int, fan_in: int, fan_out: int) -> NDArray[np.float32]:
    """The kernel of a layer that no party's rows touch.

    Args:
      seed: the experiment's seed, a signed 64-bit integer.
      layer: which layer, so that layers of equal shape differ: k for the hidden layer of width ``widths[k]``,
        ``len(widths)`` for the label head.
      fan_in: width of the layer below.
      fan_out: width of this layer.

    Returns:
      float32[fan_in, fan_out], uniform in +-sqrt(6 / (fan_in + fan_out)).

    Raises:
      SettingsError: the seed, the layer or a width is out of range.
    """
    if not 0 <= layer < 2**32:
        raise SettingsError(f"layer is {layer}; count layers from 0.")
    limit = _glorot_limit(fan_in, fan_out)
    name = b"tertium layer\x00" + _seed_bytes(seed) + layer.to_bytes(4, "big")
    return _uniform(name, fan_in * fan_out, limit).reshape(fan_in, fan_out)


def glorot_secret_layer(
    secret: bytes, party: str, seed: int, layer: int, fan_in: int, fan_out: int
) -> NDArray[np.float32]:
    """One party's own draw for a layer on shares, as `glorot_layer` but of the party's ``secret``, which nobody else knows.

    Two parties draw differently even where they start from one secret, as in a local run.
    """
    if not 0 <= layer < 2**32:
        raise SettingsError(f"layer is {layer}; count layers from 0.")
    name = b"tertium secret layer\x00" + _seed_bytes(seed) + layer.to_bytes(4, "big") + len(secret).to_bytes(4, "big")
    return _uniform(name + secret + party.encode(), fan_in * fan_out, _glorot_limit(fan_in, fan_out)).reshape(
        fan_in, fan_out
    )


def initial_stack(spec: NetworkSpec) -> dict[str, NDArray[Any]]:
    """The neutral server's weights at step 0, in the order of the layers.

    Returns:
      ``bias_0`` float32[widths[0]] (the first layer's), then for k = 1 ... len(widths) - 1 ``kernel_k``
      float32[widths[k-1], widths[k]] and ``bias_k`` float32[widths[k]].

    Raises:
      SettingsError: see ``check_network``.
    """
    check_network(spec)
    weights: dict[str, NDArray[Any]] = {"bias_0": np.zeros(spec.widths[0], np.float32)}
    for k in range(1, len(spec.widths)):
        weights[f"kernel_{k}"] = glorot_layer(spec.seed, k, spec.widths[k - 1], spec.widths[k])
        weights[f"bias_{k}"] = np.zeros(spec.widths[k], np.float32)
    return weights


def initial_head(spec: NetworkSpec) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The label head's kernel float32[widths[-1], outputs] and bias float32[outputs] at step 0.

    Raises:
      SettingsError: see ``check_network``.
    """
    check_network(spec)
    kernel = glorot_layer(spec.seed, len(spec.widths), spec.widths[-1], spec.outputs)
    return kernel, np.zeros(spec.outputs, np.float32)


def _glorot_limit(fan_in: int, fan_out: int) -> float:
    if fan_in < 1 or fan_out < 1:
        raise SettingsError(f"a layer of {fan_in} inputs and {fan_out} outputs; both must be 1 or more.")
    return math.sqrt(6.0 / (fan_in + fan_out))


def _seed_bytes(seed: int) -> bytes:
    if not -(2**63) <= seed < 2**63:
        raise SettingsError("the seed does not fit a signed 64-bit integer; choose a smaller one.")
    return seed.to_bytes(8, "big", signed=True)


def _uniform(name: bytes, count: int, limit: float) -> NDArray[np.float32]:
    digest = np.frombuffer(hashlib.sha256(name).digest(), ">u4").astype(np.uint32)
    words = np.random.Philox(np.random.SeedSequence(digest.tolist())).random_raw(count)
    # The top 53 bits as a double in [0, 1), the way numpy's own Generator does, then to [-limit, limit).
    unit = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return ((2.0 * unit - 1.0) * limit).astype(np.float32)
