"""Records of the network benchmarks as the log gives them back."""

import pytest

from coordinator.sweeps.bench_log import BenchLog, spread_of


def point(rate_mbps, seconds, rows=45_885, **more):
    """1.25 MB on the busiest link: 10 Mbit in all, so the wire limit is 10 / rate."""
    found = {
        "rate_mbps": rate_mbps,
        "seconds": spread_of(seconds),
        "rows": rows,
        "link": {"party": "party-a", "up_bytes": 1_000_000, "down_bytes": 250_000},
        "achieved_mbps": {"party-a": {"up": 95.0, "down": 94.0}, "party-b": {"up": 93.0, "down": 96.0}},
        "set_up": {"seconds": 1.5, "up_bytes": 2_000_000, "down_bytes": 2_000_000},
        **more,
    }
    if rate_mbps is not None:
        wire = 10 / rate_mbps
        found |= {"wire_seconds": wire, "over_wire": spread_of([one / wire for one in seconds])}
    return found


def common(protocol, points):
    return {
        "protocol": protocol,
        "shaping": "namespaces",
        "delay_ms": 0.0,
        "parties": 2,
        "plan": "fraud",
        "batch_rows": 5000,
        "points": points,
        "baseline": {"seconds": {"keras_fit": spread_of([0.2]), "tf_function": spread_of([0.05])}},
    }


@pytest.fixture
def log(tmp_path):
    """An empty benchmark log."""
    return BenchLog(tmp_path)


@pytest.fixture
def add_bandwidth(log):
    """Appends a record of a protocol; ``slow`` is its seconds over the wire limit."""

    def add(protocol, slow, *, free=True):
        points = [point(rate, [slow * 10 / rate, slow * 10 / rate + 0.01]) for rate in (10.0, 100.0)]
        points += [point(None, [0.1, 0.12])] if free else []
        ratio = {"ratio": {"keras_fit": 0.5, "tf_function": 2.0}} if free else {}
        return log.append("bandwidth", common(protocol, points) | ratio)

    return add


@pytest.fixture
def add_size(log):
    def add(protocol, r_squared):
        rows = (10_000, 20_000, 40_000)
        points = [point(100.0, [0.1 + 2e-5 * count], rows=count, fraction=count / 40_000) for count in rows]
        fit = {"slope_us_per_row": 20.0, "intercept_seconds": 0.1, "r_squared": r_squared}
        return log.append("size", common(protocol, points) | {"rate_mbps": 100.0, "fit": fit})

    return add
