"""`tertium bench depth`: its cases, its clock, and its figures against their parts."""

import json

import numpy as np
import pytest
from command_line import tertium_here

from coordinator.forecast import forecast
from coordinator.local.federation import local_table
from coordinator.local.tables import table_size
from coordinator.plan import parse_plan
from coordinator.sweeps import depth as bench
from coordinator.sweeps.bench_log import BenchLog, Spread
from coordinator.sweeps.depth import DepthCase, case_of, measure_depth, paper_cases, time_products
from coordinator.sweeps.secret_layers import opened_words, secret_links, secret_products, server_links
from kernel.errors import BadInputError, SettingsError
from kernel.ring import multiply_add

REPEATS = 3
DEPTH_PLAN = """
name = "depth"
epochs = 1
batch_rows = 60

[network]
widths = [6, 4, 2]
activations = ["tanh", "tanh", "tanh"]

[optimizer]
name = "sgd"
learning_rate = 0.1

[[parties]]
name = "a"
table = "breast_cancer"
columns = ["mean radius..mean area"]
label = "target"

[[parties]]
name = "b"
table = "breast_cancer"
columns = ["mean smoothness..mean concavity"]
"""


@pytest.fixture(scope="module")
def case():
    return DepthCase(parse_plan(DEPTH_PLAN), 60, (4, 3))


@pytest.fixture(scope="module")
def figures(case):
    return measure_depth(case, REPEATS)


def test_the_paper_shapes():
    fraud, distress = paper_cases(2)
    assert (fraud.rows, fraud.encoded_columns, fraud.plan.network.widths) == (5000, (14, 14), (8, 8))
    assert (distress.rows, distress.encoded_columns, distress.plan.network.widths) == (2570, (278, 277), (400, 16, 8))
    for case in paper_cases(5):
        assert len(case.plan.parties) == len(case.encoded_columns) == 5
        assert sum(case.encoded_columns) in (28, 555)
        assert case.plan.batch_rows == case.rows


@pytest.mark.parametrize("parties", [0, 1, 29])
def test_columns_that_cannot_be_shared_out_are_refused(parties):
    with pytest.raises(SettingsError, match=f"{parties} parties cannot share the 28 columns of fraud; say 2 to 28"):
        paper_cases(parties)


def test_a_plans_case_is_its_tables_and_its_batch():
    plan = parse_plan(DEPTH_PLAN)
    rows, _ = table_size("breast_cancer", local_table(plan, "breast_cancer"), plan.parties[0].columns)
    assert rows == 569
    assert case_of(plan) == DepthCase(plan, 60, (4, 3))
    whole = plan.model_copy(update={"batch_rows": 10_000})
    assert case_of(whole).rows == rows - round(0.2 * rows)  # a batch has no more rows than there are to train


def test_bytes_are_those_of_the_model_and_of_the_plan_as_it_is(case, figures):
    message, columns, widths = case.plan.message(), case.encoded_columns, case.plan.network.widths
    as_planned = forecast(message, case.rows, columns).epoch_bytes
    assert figures["server"]["all_bytes"] == sum(as_planned.values())
    assert figures["server"]["busiest_bytes"] == max(as_planned.values())
    assert [depth["kind"] for depth in figures["depths"]] == ["protocol", "model", "model"]
    for number, depth in enumerate(figures["depths"], 1):
        server = server_links(message, case.rows, columns, number)
        for once, found in ((False, depth), (True, depth["least"])):
            links = server + secret_links(message, case.rows, columns, number, masked_once=once)
            assert found["all_bytes"] == links.total()
            assert found["busiest_bytes"] == links[found["busiest_link"]] == max(links.values())
        assert depth["all_bytes"] == depth["server_bytes"] + depth["secret_bytes"]
        products = secret_products(case.rows, sum(columns), widths, number)
        assert depth["opened_words"] == opened_words(products, masked_once=False)


def test_each_layer_more_costs_more(figures):
    """Of bytes, which are counted; the clock is asked for no order."""
    for key in ("all_bytes", "busiest_bytes", "opened_words"):
        counts = [depth[key] for depth in figures["depths"]]
        assert counts == sorted(set(counts)), key
    assert figures["depths"][0]["least"]["all_bytes"] == figures["depths"][0]["all_bytes"]  # beaver opens F alone
    assert all(depth["least"]["all_bytes"] < depth["all_bytes"] for depth in figures["depths"][1:])


def test_the_products_of_the_deepest_step_are_listed(case, figures):
    expected = secret_products(case.rows, 7, case.plan.network.widths, 3)
    assert [(one["layer"], one["kind"], one["shape"]) for one in figures["products"]] == [
        (one.layer, one.kind, one.shape) for one in expected
    ]
    for one in figures["products"]:
        for spread in (one["ring_ms"], one["plain_ms"]):
            assert isinstance(spread, Spread)
            assert spread.n == REPEATS
            assert 0 < spread.lowest <= spread.median <= spread.highest


def test_a_steps_time_is_the_sum_of_its_products(case, monkeypatch):
    """A clock that moves one second a look: each call takes 1000 ms, so a step takes as many as it has calls."""
    seconds = iter(range(10**6))
    monkeypatch.setattr(bench.time, "perf_counter", lambda: float(next(seconds)))
    figures = measure_depth(case, 2)
    # two of every triple of matrices, one of every element-wise and local product; in the order of secret_layers' table
    calls = [2, (4 + 3) + (1 + 1) + 2, (6 + 9) + (6 + 4)]
    for number, (depth, in_ring) in enumerate(zip(figures["depths"], calls, strict=True), 1):
        in_float = len(secret_products(case.rows, 7, case.plan.network.widths, number))
        assert depth["ring_ms"] == Spread(*[1000.0 * in_ring] * 5, 2)
        assert depth["plain_ms"] == Spread(*[1000.0 * in_float] * 5, 2)
        assert depth["ring_to_plain"].median == in_ring / in_float


def test_what_is_timed_is_the_product_itself(monkeypatch):
    """Ring calls against Python's integers, plain calls against float64."""
    results, operands = [], []
    monkeypatch.setattr(bench, "_milliseconds", lambda call: results.append(call()) or 1.0)

    class Watched(np.random.Generator):
        def integers(self, *args, **kwargs):
            operands.append(super().integers(*args, **kwargs))
            return operands[-1]

        def standard_normal(self, *args, **kwargs):
            operands.append(super().standard_normal(*args, **kwargs))
            return operands[-1]

    total_before = []

    def watched_multiply_add(left, right, total):
        total_before.append(total.copy())
        multiply_add(left, right, total)
        return total

    monkeypatch.setattr(bench, "multiply_add", watched_multiply_add)
    monkeypatch.setattr(bench.np.random, "default_rng", lambda seed: Watched(np.random.PCG64(seed)))
    times = time_products(secret_products(6, 4, [3, 2], 2)[:3], 1)  # forward, and square and cube of one shape
    assert times.ring == times.plain == {(6, 4, 3): [1.0], (6, 3): [1.0]}
    left, right, _, x, theta, e, u, f, v, c, one, other = operands
    product, plain, elements, plain_elements = results
    exact = np.array(total_before[0], object) + np.array(left, object) @ np.array(right, object)
    assert product.tolist() == (exact % 2**64).tolist()
    np.testing.assert_allclose(plain.numpy(), x.astype(float) @ theta.astype(float), rtol=1e-5, atol=1e-6)
    e, u, f, v, c = (np.array(words, object) for words in (e, u, f, v, c))
    assert elements.tolist() == ((e * f + e * v + u * f + c) % 2**64).tolist()
    np.testing.assert_array_equal(plain_elements.numpy(), one * other)


def test_no_repeat_is_refused(case):
    with pytest.raises(BadInputError, match="0 repeats measure nothing"):
        measure_depth(case, 0)


def test_the_command_logs_a_record_and_writes_the_page(tmp_path, capfd):
    file = tmp_path / "plan.toml"
    file.write_text(DEPTH_PLAN)
    shown = tertium_here(capfd, "bench", "depth", file, "--repeats", 1, "--out", tmp_path / "out")
    assert shown.code == 0, shown
    assert all(words in shown.out for words in ("masked_sum, as is", "1: beaver", "2: cost model", "3: cost model"))
    assert f"page: {tmp_path / 'out' / 'benchmarks.md'}" in shown.out
    (record,) = BenchLog(tmp_path / "out").records("depth")
    assert record["plan"] == "depth"
    assert record["shape"] == {"columns": 7, "widths": [6, 4, 2], "rows": 60, "parties": 2}
    json.dumps(record)
    page = (tmp_path / "out" / "benchmarks.md").read_text()
    assert "## Depth" in page
    assert (tmp_path / "out" / "benchmarks" / "depth.png").read_bytes().startswith(b"\x89PNG")


def test_a_plan_has_its_own_parties(tmp_path, capfd):
    file = tmp_path / "plan.toml"
    file.write_text(DEPTH_PLAN)
    tertium_here(capfd, "bench", "depth", file, "--parties", 3).refused(2, "--parties", "a plan file names its own")
