"""The frontier, on tables worked by hand."""

from itertools import product

import pytest

from coordinator.sweeps.pareto import frontier


@pytest.mark.parametrize(
    ("points", "kept"),
    [
        ([], []),
        ([(0.9, 0.5)], [0]),
        # (0.9, 0.5) beats (0.8, 0.6); (0.7, 0.1) leaks less; (0.95, 0.9) scores more
        ([(0.8, 0.6), (0.9, 0.5), (0.95, 0.9), (0.7, 0.1)], [3, 1, 2]),
        ([(0.9, 0.5), (0.9, 0.4), (0.9, 0.6)], [1]),  # one score: the least leakage
        ([(0.7, 0.5), (0.9, 0.5), (0.8, 0.5)], [1]),  # one leakage: the best score
        ([(0.9, 0.5), (0.9, 0.5)], [0]),  # of equals the first
    ],
)
def test_by_hand(points, kept):
    assert frontier(points) == kept


def test_it_is_what_the_definition_says_on_every_small_table():
    def dominated(one, points):
        return any(o[0] >= one[0] and o[1] <= one[1] and o != one for o in points)

    grid = [(x / 2, y / 2) for x in range(3) for y in range(3)]
    for points in product(grid, repeat=4):
        kept = {points[place] for place in frontier(points)}
        assert kept == {one for one in points if not dominated(one, points)}
