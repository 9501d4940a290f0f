"""No row and no label in a message, a log or a file of anybody but its owner."""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import numpy as np
import pytest
from recordings import OwnedRows, Recording, labels_of, order_of, rows_of, split_of

pytestmark = pytest.mark.e2e

ROWS = 220
"""Sampled rows of each owner, evenly over the table."""


def _sampled(owned: OwnedRows) -> np.ndarray:
    return np.linspace(0, len(owned.encoded) - 1, ROWS).astype(int)


def _row_patterns(owned: OwnedRows) -> set[bytes]:
    """Encodings of raw and encoded rows, of pairs of values, and of single ones: little endian, and as text.

    Raw values of this table have at most four digits. Alone they are sought as float64 where they have four (the ROC is
    reported on a grid of hundredths), as text in pairs of six digits or more; encoded ones as text with nine.
    """
    raw = np.stack([owned.table.values[name] for name in owned.names], axis=1)
    patterns: set[bytes] = set()
    for row in _sampled(owned):
        for values in (raw[row], owned.encoded[row]):
            patterns |= {values.astype("<f4").tobytes(), values.astype("<f8").tobytes()}
            patterns |= {one.tobytes() for one in values.astype("<f4").reshape(-1, 2) if _digits(*one) >= 6}
            patterns |= {one.tobytes() for one in values.astype("<f8") if _digits(one) >= 4}
        patterns |= {f"{value:.9g}".encode() for value in owned.encoded[row] if abs(value) > 1e-3}
        for separator in (",", ", ", ";", "\t", " "):
            pairs = (pair for pair in pairwise(raw[row].tolist()) if _digits(*pair) >= 6)
            patterns |= {f"{one!r}{separator}{other!r}".encode() for one, other in pairs}
    return {pattern for pattern in patterns if len(pattern) >= 8}


def _digits(*values: float) -> int:
    """Significant decimal digits of the values together."""
    return sum(len(f"{value:.9g}".partition("e")[0].replace(".", "").lstrip("-0").rstrip("0")) for value in values)


def _elsewhere(recording: Recording, owner: str) -> Iterator[tuple[str, bytes]]:
    """All that other roles received or keep; of the owner only its log, which an administrator may send away."""
    for role in recording.roles:
        if role != owner:
            for one in recording.received(role):
                yield f"{role} received {one.kind}", one.data
            yield from recording.left_on_disk(role)
        else:
            yield f"{role}/log", (recording.run.roles / role / "log").read_bytes()


def _found(patterns: set[bytes], places: Iterable[tuple[str, bytes]]) -> dict[str, int]:
    """How many patterns each place holds. Patterns are looked for by their first eight bytes, then whole."""
    heads: dict[bytes, list[bytes]] = {}
    for pattern in patterns:
        heads.setdefault(pattern[:8], []).append(pattern)
    wanted = np.sort(np.frombuffer(b"".join(heads), "<u8"))
    found: dict[str, int] = {}
    for place, data in places:
        for shift in range(min(8, len(data) // 8)):
            windows = np.frombuffer(data, "<u8", count=(len(data) - shift) // 8, offset=shift)
            at = np.minimum(np.searchsorted(wanted, windows), len(wanted) - 1)
            for index in np.flatnonzero(wanted[at] == windows):
                start = shift + 8 * int(index)
                hits = sum(data.startswith(pattern, start) for pattern in heads[data[start : start + 8]])
                if hits:
                    found[place] = found.get(place, 0) + hits
    return found


def test_no_row_leaves_its_owner(recording: Recording):
    _check_rows(recording)


def test_no_row_leaves_its_owner_with_a_defender(defended_recording: Recording):
    """Whose targets are rows: neither its share nor its barrier holds one."""
    _check_rows(defended_recording)


def _check_rows(recording: Recording) -> None:
    for owner in recording.parties:
        patterns = _row_patterns(rows_of(recording.run, owner))
        places = list(_elsewhere(recording, owner))
        assert len(patterns) > 20 * ROWS
        assert len(places) > 150
        assert _found(patterns, places) == {}


@pytest.mark.parametrize(
    "dump",
    [
        lambda raw, encoded: encoded.tobytes(),
        lambda raw, encoded: b"\x00\x01\x02" + encoded.astype("<f8").tobytes(),  # not aligned
        lambda raw, encoded: raw.astype("<f4").tobytes(),
        lambda raw, encoded: raw.tobytes(),
        lambda raw, encoded: np.asfortranarray(raw).tobytes(order="F"),  # column by column
        lambda raw, encoded: "\n".join(",".join(map(repr, row)) for row in raw.tolist()).encode(),
        lambda raw, encoded: repr(encoded.astype(np.float64).round(9).tolist()).encode(),
    ],
    ids=["encoded float32", "encoded float64", "raw float32", "raw float64", "raw by column", "csv", "encoded text"],
)
def test_the_search_finds_rows_in_a_dump(masked_sum_recording: Recording, dump: Callable[..., bytes]):
    """Positive control: in whatever form an owner's table is dumped, most of the sampled rows are found in it."""
    for owner in masked_sum_recording.parties:
        owned = rows_of(masked_sum_recording.run, owner)
        raw = np.stack([owned.table.values[name] for name in owned.names], axis=1)
        hits = _found(_row_patterns(owned), [("dump", dump(raw, owned.encoded))])
        assert hits["dump"] > ROWS


def _label_patterns(labels: np.ndarray) -> set[bytes]:
    """A label vector in the encodings a program might use, in one of which it would have to travel."""
    bits = labels.astype(np.uint8)
    patterns = {labels.astype(kind).tobytes() for kind in ("u1", "<i2", "<i4", "<i8", "<f4", "<f8", "<f2")}
    patterns |= {np.packbits(bits, bitorder=order).tobytes() for order in ("big", "little")}
    signs = np.where(bits > 0, 1, -1)
    patterns |= {signs.astype(kind).tobytes() for kind in ("i1", "<i4", "<i8", "<f4", "<f8")}
    texts = ["".join(map(str, bits)), str(bits.tolist()), ",".join(map(str, bits)), "\n".join(map(str, bits))]
    texts += [str(bits.astype(bool).tolist()), ",".join(map(str, bits.astype(float)))]
    return patterns | {text.encode() for text in texts}


def _label_orders(recording: Recording, labels: np.ndarray) -> list[np.ndarray]:
    """Every full batch of every epoch, whole epochs, the test rows, and the table's order."""
    run, rows, size = recording.run, len(labels), recording.run.plan.batch_rows
    orders = [order_of(run, rows, epoch) for epoch in range(1, run.plan.epochs + 1)]
    batches = [order[start : start + size] for order in orders for start in range(0, len(order) - size + 1, size)]
    test = split_of(run, rows).test
    return [labels[order] for order in [*orders, *batches, test, test[:size], np.arange(rows), np.arange(size)]]


def test_no_label_leaves_its_holder(recording: Recording):
    labels = labels_of(recording.run)
    patterns = {one for order in _label_orders(recording, labels) for one in _label_patterns(order)}
    places = list(_elsewhere(recording, recording.label_holder))
    assert len(patterns) > 400
    assert [(place, len(one)) for place, data in places for one in patterns if one in data] == []


def test_the_search_finds_labels_in_a_message(masked_sum_recording: Recording):
    """Positive control: a head gradient whose sign is the label, or a dump of a batch, would be found."""
    labels = labels_of(masked_sum_recording.run)
    order = order_of(masked_sum_recording.run, len(labels), 2)
    patterns = {one for one_order in _label_orders(masked_sum_recording, labels) for one in _label_patterns(one_order)}
    for dump in (labels[order].astype("<f4").tobytes(), np.where(labels[order[:57]], 1, -1).astype("<i8").tobytes()):
        assert any(one in b"head" + dump + b"tail" for one in patterns)
