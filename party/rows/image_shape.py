"""Whether the parties' columns, side by side, are the pixels of an image in reading order."""

import re
from collections.abc import Mapping, Sequence
from math import isqrt

from party.rows.schema import Column

_NUMBERED = re.compile(r"p(?:ixel)?_?(\d+)")
_PLACED = re.compile(r"p(?:ixel)?_(\d+)_(\d+)")


def image_shape(schemas: Sequence[Mapping[str, Column]]) -> tuple[int, int] | None:
    """(height, width), or None where a row is no image or not a whole one.

    Columns are called ``p0`` or ``pixel0`` and on, of a square image, or ``pixel_ROW_PLACE``; all of one scale, and the
    first party's come first.
    """
    columns = {name: column for schema in schemas for name, column in schema.items()}
    if len(columns) != sum(map(len, schemas)) or any(column.scale != "unit" for column in columns.values()):
        return None
    placed = [match for name in columns if (match := _PLACED.fullmatch(name))]
    numbered = [match for name in columns if (match := _NUMBERED.fullmatch(name))]
    if len(placed) == len(columns):
        places = [(int(one[1]), int(one[2])) for one in placed]
        height, width = (1 + max(axis) for axis in zip(*places, strict=True))
        wanted = [(row, place) for row in range(height) for place in range(width)]
        return (height, width) if places == wanted else None
    side = isqrt(len(columns))
    in_order = [int(one[1]) for one in numbered] == list(range(side * side))
    return (side, side) if len(numbered) == len(columns) and in_order and side > 1 else None
