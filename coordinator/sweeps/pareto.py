"""The frontier of what can be had: points that no other point beats in score and in leakage at once."""

from collections.abc import Sequence

Point = tuple[float, float]
"""(utility, leakage): more of the first and less of the second is better."""


def frontier(points: Sequence[Point]) -> list[int]:
    """Positions of the points that no other dominates, by rising utility.

    A point is dominated when another has no less utility and no more leakage, and is better in one of them. Of equal points
    the first stays.
    """
    best_first = sorted(range(len(points)), key=lambda place: (-points[place][0], points[place][1], place))
    kept: list[int] = []
    for place in best_first:
        if not kept or points[place][1] < points[kept[-1]][1]:
            kept.append(place)
    return kept[::-1]
