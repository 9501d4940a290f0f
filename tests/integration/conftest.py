"""A run of either protocol that several files hold a variant against."""

import pytest
from house import House, cut_plan
from recordings import Recording


@pytest.fixture(params=["masked_sum", "beaver"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def whole(house: House, protocol: str) -> Recording:
    """``cut_plan`` in float32 and with batches in one piece."""
    return house.record(f"breast-cancer-full-{protocol}", cut_plan(protocol))
