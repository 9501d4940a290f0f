"""Numbers as people read them."""

from collections.abc import Callable
from typing import Any

import pytest

from coordinator.report import quantities


@pytest.mark.parametrize(
    ("write", "number", "text"),
    [
        (quantities.count, 227_845, "227,845"),
        (quantities.payload, 12, "12 B"),
        (quantities.payload, 35_840_000, "35.8 MB"),
        (quantities.payload, 1_500_000_000, "1.5 GB"),
        (quantities.payload, 999_999, "1 MB"),
        (quantities.payload, 2_345e9, "2,345 GB"),
        (quantities.duration, 0.99999, "1 s"),
        (quantities.duration, 59.9, "1 min 0 s"),
        (quantities.duration, 0.0583, "58.3 ms"),
        (quantities.duration, 1.5, "1.5 s"),
        (quantities.duration, 93, "1 min 33 s"),
        (quantities.duration, 119.7, "2 min 0 s"),
        (quantities.duration, 3_599.8, "1 h 0 min"),
        (quantities.duration, 7_260, "2 h 1 min"),
        (quantities.score, 0.96604, "0.9660"),
        (quantities.score, 1234.56, "1,235"),
        (quantities.gap, -0.00004, "-4.0e-05"),
        (quantities.gap, 0.0125, "+0.0125"),
        (quantities.gap, 0.0, "0"),
        (quantities.ratio, 1.234, "1.23 ×"),
    ],
)
def test_a_quantity_is_written_with_its_unit(write: Callable[[Any], str], number: float, text: str) -> None:
    assert write(number) == text


def test_what_is_unknown_is_a_dash() -> None:
    writers = (quantities.count, quantities.payload, quantities.duration, quantities.score, quantities.ratio)
    assert {write(None) for write in writers} == {quantities.gap(None)} == {"–"}
